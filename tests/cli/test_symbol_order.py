"""A strategy whose reference comes after a symbol that follows it is told so: by `check`, a start and a backtest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.runner_settings import late_references
from tests.cli.test_backtest import candles
from tests.cli.test_instances import LOOKS_AT
from tests.engine.processes import ok, papertape
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

MOMENTUM = STRATEGIES["momentum"]
LATE = (
    "looks_at looks at BTCUSDT (leader), which comes after ETHUSDT at equal times: it sees BTCUSDT one candle late "
    "there; write the symbols in the order BTCUSDT, ETHUSDT"
)


def late(order: str, references: str, traded: str = "") -> list[str]:
    """The orders that are proposed for symbols, references and traded symbols of one letter each."""
    strategy = replace(MOMENTUM, references=tuple((f"r{one}", one) for one in references))
    return [line.rpartition("order ")[2] for line in late_references(strategy, order, traded or None)]


@pytest.mark.parametrize(
    ("order", "references", "traded", "proposed"),
    [
        ("BES", "B", "", []),
        ("EBS", "B", "", ["B, E, S"]),
        ("EBS", "B", "S", []),
        ("EBS", "B", "B", []),
        ("EBS", "X", "", []),
        ("SEB", "EB", "S", ["E, B, S", "E, B, S"]),
        ("SEB", "B", "", ["B, S, E"]),
        ("BE", "BE", "", []),
        ("BES", "BE", "BS", ["E, B, S"]),
    ],
)
def test_the_order_that_is_proposed_is_one_without_a_warning(
    order: str, references: str, traded: str, proposed: list[str]
) -> None:
    assert late(order, references, traded) == proposed
    for one in proposed:
        assert late(one.replace(", ", ""), references, traded) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a strategy that looks at BTCUSDT, behind ETHUSDT in the configuration, and with candles."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "looks_at.py").write_text(LOOKS_AT, encoding="utf-8")
    symbols = '[feed.sim]\nsymbols = ["ETHUSDT", "BTCUSDT"]\ndays = 1\nwarm_up_days = 0\n'
    text = f'{symbols}[strategies]\nfolders = ["own"]\nenabled = ["looks_at"]\n'
    (tmp_path / "papertape.toml").write_text(text, encoding="utf-8")
    for name in ("ETHUSDT", "BTCUSDT"):
        candles(tmp_path / f"{name}.csv", 20, {})
    return tmp_path


def test_check_names_both_symbols_and_the_order_to_write(folder: Path) -> None:
    done = papertape(folder, "check", "own/looks_at.py")
    assert done.returncode == 0, done.stderr
    assert f"! {LATE}\n" in done.stdout
    right = (folder / "papertape.toml").read_text().replace('"ETHUSDT", "BTCUSDT"', '"BTCUSDT", "ETHUSDT"')
    (folder / "right.toml").write_text(right, encoding="utf-8")
    assert json.loads(ok(folder, "check", "own/looks_at.py", "--config", "right.toml", "--json"))["warnings"] == []


def test_a_start_a_backtest_and_the_check_of_the_configuration_say_it_too(folder: Path) -> None:
    played = papertape(folder, "run", "--speed", "max", "--until-end", "--db", "log.db")
    assert (played.returncode, played.stderr) == (0, f"warning: {LATE}\n")
    files = ("--candles", "ETHUSDT=ETHUSDT.csv", "BTCUSDT=BTCUSDT.csv")
    tested = papertape(folder, "backtest", "--engine", "python", *files)
    assert (tested.returncode, tested.stderr) == (0, f"warning: {LATE}\n")
    in_order = papertape(folder, "backtest", "--engine", "python", files[0], *reversed(files[1:]))
    assert (in_order.returncode, in_order.stderr) == (0, "")
    assert f"! {LATE}" in " ".join(ok(folder, "config", "check").split())
