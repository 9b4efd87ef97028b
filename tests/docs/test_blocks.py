"""Every block of code in the docs is valid: commands parse, addresses and keys exist, programs run.

`tests/docs/test_pages_run.py` runs them; here is what needs neither processes nor minutes.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import typer.main

from papertape.api.app import api_routes
from papertape.api.openapi import description
from papertape.cli.app import app
from papertape.cli.config.overrides import load_config
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import OrderPlaced, PositionOpened
from tests.docs.blocks import blocks_of, commands_of
from tests.docs.edits import apply_diff
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import begin
from tests.support import NO_LIMITS, REPOSITORY, feed

if TYPE_CHECKING:
    from pathlib import Path

DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(/[^\s'\"]*)")
STRATEGY_PAGES = {"strategies.md": "three_down", "tutorial.md": "dip"}


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [block.text for block in blocks_of(page) if block.language == language]


@cache
def api_paths() -> dict[str, Any]:
    served: Any = SimpleNamespace(settings=SimpleNamespace(version=""), timeline=SimpleNamespace(views=None))
    paths: dict[str, Any] = description(api_routes(served, served, served), "")["paths"]
    return paths


def words_of(command: str) -> list[str]:
    """Return the words of a command up to a pipe, a redirection or a second command."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split, words = True, list[str]()
    for word in lexer:
        if set(word) <= set("|&;<>"):
            break
        words.append(word)
    return words


@cache
def whole_command() -> Any:
    """Return the command line as Click sees it."""
    return typer.main.get_command(app)


def parse(words: list[str]) -> None:
    """Parse the arguments of a papertape command as the command line does, and do nothing. Raise UsageError."""
    command = whole_command()
    context = command.make_context("papertape", words[:1], resilient_parsing=True)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        context = command.context_class(command, parent=context, info_name=name)
    command.parse_args(context, list(words))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_papertape_command_is_one(page: Path) -> None:
    for command in commands_of(page):
        words = words_of(command.text)
        if words[:1] == ["papertape"] and "..." not in words:
            parse(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = {words_of(one.text)[1] for one in commands_of(page) if words_of(one.text)[:1] == ["make"]}
    assert used <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_address_of_the_api_exists_and_takes_its_query(page: Path) -> None:
    for block in blocks_of(page):
        for address in ADDRESS.findall(block.text):
            split = urlsplit(address)
            if split.path.startswith("/api/v1/") and "{" not in split.path:
                assert operation_at(split.path), f"{split.path} does not exist"
                known = {one["name"] for one in operation_at(split.path)["parameters"]}
                assert {name for name, _ in parse_qsl(split.query)} <= known, address


def operation_at(path: str) -> Any:
    """Return the operation of a path, whatever its method; None without one."""
    for template, methods in api_paths().items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return next(iter(methods.values()))
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_toml_block_is_a_valid_configuration(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        examples = json.dumps([str(REPOSITORY / "examples" / "strategies")])
        has_folders = "folders" in tomllib.loads(text).get("strategies", {})
        file.write_text(
            re.sub(r"(?<=folders = )\[.*\]", examples, text)
            if has_folders
            else f"{text}\n[strategies]\nfolders = {examples}\n"
        )
        load_config(file)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_json_block_is_json(page: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(re.sub(r"\{\{.*?\}\}", "0", text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_compiles(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text if not text.startswith("    ") else f"if True:\n{text}")


@pytest.mark.parametrize(("page", "name"), STRATEGY_PAGES.items())
def test_the_strategy_of_a_page_trades(page: str, name: str, tmp_path: Path) -> None:
    source = next(one for one in blocks(DOCS / page, "python") if f'NAME = "{name}"' in one)
    assert trades_of(source, name, tmp_path) >= 3


def test_the_tutorial_s_strategy_trails_its_stop(tmp_path: Path) -> None:
    (source,) = blocks(DOCS / "tutorial.md", "python")
    (change,) = blocks(DOCS / "tutorial.md", "diff")
    assert trades_of(apply_diff(source, change), "dip", tmp_path) >= 3


def test_the_orders_page_places_orders_in_parts(tmp_path: Path) -> None:
    [orders] = blocks(DOCS / "orders.md", "python")
    source = next(one for one in blocks(DOCS / "strategies.md", "python") if "three_down" in one)
    head, _, tail = source.partition("def enter(")
    imports, _, enter = orders.partition("\n\n\n")
    units = re.search(r"`(UNITS_MAX = \d+)`", (DOCS / "orders.md").read_text(encoding="utf-8"))
    assert units
    condition = "    if view.state.fallen < 3:\n        return 0\n"
    documented, _, body = enter.partition('"""\n')
    changed = head.replace("NAME =", f"{imports}\n\n{units[1]}\nNAME =", 1) + documented + '"""\n' + condition + body
    assert tail
    assert trades_of(changed, "three_down", tmp_path, OrderPlaced) > 3


def test_the_indicators_page_folds_what_the_tutorial_folds() -> None:
    [indicators] = blocks(DOCS / "indicators.md", "python")
    dip = next(one for one in blocks(DOCS / "tutorial.md", "python") if "dip" in one)
    assert "class State(Struct):" in indicators
    assert set(re.findall(r"update_\w+", indicators)) == set(re.findall(r"update_\w+", dip))


def trades_of(source: str, name: str, folder: Path, kind: type = PositionOpened) -> int:
    """Run a strategy's source on a drawn market; return the number of events of a kind."""
    (folder / f"{name}.py").write_text(source)
    strategies = load_strategies([folder])
    tape = market(Recipe(seed=3, candles=3_000))
    run = begin(tape.contracts, {name: RunnerSettings(risk=NO_LIMITS)}, strategies)
    feed(run.world, run.log, tape.events())
    return sum(isinstance(event, kind) for event in run.events())
