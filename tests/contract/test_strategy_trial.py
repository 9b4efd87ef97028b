"""What only a run can prove, each by a strategy that cheats; the source check, which would refuse it, is left out."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from typing import TYPE_CHECKING

import pytest

from papertape.engine.kernel.strategy import Strategy, strategy_from
from papertape.engine.research.strategy_trial import try_strategy
from papertape.engine.research.trial_market import base_timeframe, trial_tape
from papertape.events.units import MINUTE_MS
from tests.contract.strategy_file import GOOD, changed, with_line

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.research.promises import Promise

CANDLES = 600
NUMBERS = itertools.count()


def loaded(folder: Path, text: str) -> Strategy:
    """The strategy of a text that nobody has checked."""
    path = folder / "cheat.py"
    path.write_text(text, encoding="utf-8")
    name = f"cheat_{next(NUMBERS)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return strategy_from(module)


def tried(folder: Path, text: str) -> dict[str, Promise]:
    """Every promise of a text by its name, tried in CPython: compiling is tested once, by the command."""
    return {one.name: one for one in try_strategy(loaded(folder, text), print, CANDLES, is_compiled=False)}


def test_a_strategy_that_keeps_its_contract_keeps_every_promise(tmp_path: Path) -> None:
    promises = tried(tmp_path, GOOD)
    assert [one.name for one in promises.values() if one.kept is False] == []
    assert promises["same in both engines"].kept is None
    assert "numba is not installed" in promises["same in both engines"].numbers
    assert promises["changes only its own"].numbers.endswith("compared")
    assert "observe" in promises["changes only its own"].numbers
    assert promises["trades"].kept is True


def test_a_state_that_enter_moves_is_found(tmp_path: Path) -> None:
    promise = tried(tmp_path, with_line("enter", "view.state.fallen += 1"))["changes only its own"]
    assert promise.kept is False
    assert promise.numbers == "view.state after enter is not what it was before"


def test_a_candle_that_observe_changes_is_found(tmp_path: Path) -> None:
    promise = tried(tmp_path, with_line("observe", "view.candle.volume += 1.0"))["changes only its own"]
    assert promise.kept is False
    assert promise.numbers == "view.candle after observe is not what it was before"


def test_a_float_in_an_int_field_is_found(tmp_path: Path) -> None:
    text = changed("state.fallen + 1 if", "state.fallen + 1.0 if")
    promise = tried(tmp_path, text)["changes only its own"]
    assert promise.kept is False
    assert promise.numbers.startswith("view.state.fallen is ")
    assert promise.numbers.endswith("not of type int")


def test_what_is_kept_beside_the_state_does_not_survive_a_kill(tmp_path: Path) -> None:
    text = with_line("observe", "COUNT.append(1)").replace("WEIGHTS =", "COUNT = []\nWEIGHTS =")
    text = text.replace("if view.state.fallen < params.candles:", "if len(COUNT) % 7:")
    promise = tried(tmp_path, text)["kill and resume"]
    assert promise.kept is False
    assert "at fact" in promise.numbers or "decisions against" in promise.numbers


LOOK_AHEAD = """
def future(view):
    import sys
    frame = sys._getframe(1)
    while frame is not None:
        facts = frame.f_locals.get("facts")
        if facts is not None and hasattr(facts, "run_end"):
            return facts.close[min(frame.f_locals["f"] + 20, len(facts.close) - 1)]
        frame = frame.f_back
    return view.candle.close


def enter("""


def test_a_look_into_later_candles_is_found(tmp_path: Path) -> None:
    text = changed("def enter(", LOOK_AHEAD).replace(
        "if view.state.fallen < params.candles:", "if future(view) <= view.candle.close:"
    )
    promise = tried(tmp_path, text)["no look-ahead"]
    assert promise.kept is False
    assert promise.numbers.endswith("earlier decisions differ")


@pytest.mark.system
def test_a_slow_hook_is_named(tmp_path: Path) -> None:
    text = with_line("observe", "sum(range(20_000))")
    promise = tried(tmp_path, text)["speed"]
    assert promise.kept is None, "it is said, and breaks nothing: it depends on the machine"
    assert "the slowest hook, observe, takes" in promise.numbers
    assert "it delays a live engine" in promise.numbers


def test_a_strategy_that_never_trades_is_told_how_often_it_was_asked(tmp_path: Path) -> None:
    promise = tried(tmp_path, with_line("enter", "return 0"))["trades"]
    assert promise.kept is None
    assert "0 orders, 0 refused; it never traded here" in promise.numbers
    assert not promise.numbers.startswith("enter was asked 0 times")


def test_a_hook_that_raises_ends_the_trial_with_its_place(tmp_path: Path) -> None:
    (only,) = tried(tmp_path, with_line("observe", "view.m5.bars[9_999].close")).values()
    assert only.kept is False
    line = with_line("observe", "view.m5.bars[9_999].close").splitlines().index("    view.m5.bars[9_999].close") + 1
    assert only.numbers.startswith(f"cheat.py:{line}: observe: IndexError: list index out of range (")
    assert "fallen on BTCUSDT at 20" in only.numbers


def test_the_market_of_a_trial_has_holes_funding_and_open_interest() -> None:
    tape = trial_tape(5 * MINUTE_MS, 2_000)
    assert [len(table.open_time_ms) for table in tape.candles] == [2_000, 2_000 - 1 - 60]
    assert all(series is not None and len(series.time_ms) > 10 for series in (*tape.funding, *tape.open_interest))
    assert tape.columns() == trial_tape(5 * MINUTE_MS, 2_000).columns(), "the same in every run"


@pytest.mark.parametrize(("finest", "base"), [(1, 1), (3, 1), (5, 5), (30, 15), (60, 60), (1_440, 60)])
def test_the_base_is_the_coarsest_that_builds_every_series(finest: int, base: int) -> None:
    assert base_timeframe(finest * MINUTE_MS) == base * MINUTE_MS
