"""The page of indicators: every update with its arguments and results, and the candle on which it is ready."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import pytest
from msgspec.structs import asdict, fields

from papertape.engine.kernel import indicators
from tests.kernel.indicators.every import Every, Fold, Periods
from tests.kernel.indicators.test_starts import walk
from tests.support import REPOSITORY

UPDATES = [name for name in indicators.__all__ if name.startswith("update_")]
STATES = {item.type.__name__: item.name for item in fields(Every)}


@cache
def rows() -> dict[str, list[str]]:
    """The cells of the table by the name of the update."""
    lines = (REPOSITORY / "docs" / "indicators.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[1].strip("`").split("(")[0]: row for row in cells if "update_" in row[1]}


@cache
def states() -> Any:
    """The state after each candle of a market."""
    return Fold(compiled=False).run(walk(200))


@pytest.mark.parametrize("name", UPDATES)
def test_the_page_shows_the_call(name: str) -> None:
    _, call, results, _, _ = rows()[name]
    update = getattr(indicators, name)
    kind, *arguments = re.findall(r"\w+", call.split("(")[1])
    assert arguments == list(inspect.signature(update).parameters)[1:]
    assert set(re.findall(r"`(\w+)`", results)) <= {item.name for item in fields(getattr(indicators, kind))}


@pytest.mark.parametrize("name", [name for name in UPDATES if name not in ("update_cross", "update_bars_since")])
def test_the_page_says_when_it_is_ready(name: str) -> None:
    _, call, _, candle, _ = rows()[name]
    state = STATES[re.findall(r"\w+", call.split("(")[1])[0]]
    expression = candle.split("`")[1]
    expected = eval(expression, {"max": max, **asdict(Periods())})
    ready = states()[state]["ready"]
    assert ready.tolist().index(1) + 1 == expected


def test_the_page_names_nothing_that_is_gone() -> None:
    assert set(rows()) == set(UPDATES)
