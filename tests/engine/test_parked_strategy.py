"""An engine goes on without a strategy that cannot run, and lets it go on once its file is fixed."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.offline.verify import place_text
from papertape.engine.command_queue import command_events
from papertape.engine.ports.clock import ManualClock
from papertape.engine.reducer.parking import PAUSED_TO_WARM_UP
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import open_engine
from papertape.engine.strategy_registry import load_all_strategies, load_from
from papertape.engine.verify import VerificationReport, first_difference, verify
from papertape.events.commands import Resume
from papertape.events.errors import CommandRefused, ConfigError
from papertape.events.facts import CandleClosed, OrderPlaced, RunnerConfigured, RunnerResumed, StrategyFailed
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteLogReader
from tests.build import BTC, candle, listed, ordered
from tests.build import recorded as numbered
from tests.engine.logs import recorded
from tests.engine.parts import Given, live, settings
from tests.events.loop import in_loop
from tests.support import NO_LIMITS, STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.startup import Engine, EngineSettings

DIPS = '''"""Buys every candle; fails on a volume of 7."""
from typing import Annotated
from msgspec import Meta, Struct
NAME = "dips"
SERIES = ("1m",)
class Parameters(Struct, frozen=True):
    """Where the stop lies."""
    stop_percent: Annotated[float, Meta(ge=0.1, le=5.0, description="stop")] = 1.0
class State(Struct):
    """What it has seen."""
    seen: int = 0
class Reading(Struct):
    """What it saw."""
    seen: float = 0.0
def observe(view, params):
    """Count candles."""
    view.state.seen += 1
def enter(view, params, answer):
    """Buy."""
    if view.candle.volume == 7.0:
        answer.score = view.candle.close / 0.0
    answer.stop_fraction = params.stop_percent / 100.0
    answer.reading.seen = float(view.state.seen)
    return 1
'''
FIXED = DIPS.replace("== 7.0", "== 8.0")
PLACE = f"dips.py:{DIPS.splitlines().index('        answer.score = view.candle.close / 0.0') + 1}"
ANNA = ("anna", "mended")


def candles(first: int, *volumes: float) -> Given:
    """Return a market of calm candles with these volumes."""
    facts = [candle(first + number, 100.0, volume=volume) for number, volume in enumerate(volumes)]
    return Given([listed()], facts)


def with_file(folder: Path, text: str | None = DIPS) -> EngineSettings:
    """Return the settings of an engine whose owner has this file, or none any more."""
    own = folder / "own"
    own.mkdir(exist_ok=True)
    path = own / "dips.py"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    strategies = {"scripted": STRATEGIES["scripted"], **load_all_strategies([own])}
    names: list[str] = [name for name in ("dips", "scripted") if name in strategies and not strategies[name].fault]
    runners = {name: RunnerSettings(risk=NO_LIMITS) for name in names}
    what = settings(folder / "log.db", strategies=strategies, runners=runners)
    return replace(what, load=load_from([own]))


def failures(folder: Path) -> list[StrategyFailed]:
    """Return the failures in the log."""
    return [item.event for item in recorded(folder / "log.db") if isinstance(item.event, StrategyFailed)]


def verified(what: EngineSettings) -> VerificationReport:
    """Return what a verification of the log finds."""
    with closing(SqliteLogReader(what.db)) as reader:
        return verify(reader, None, what.strategies)


@in_loop
async def test_a_failure_is_in_the_commit_of_its_candle(tmp_path: Path) -> None:
    what = with_file(tmp_path)
    await live(what, candles(0, 7.0, 1.0))
    (failure,) = failures(tmp_path)
    assert (failure.place, failure.error) == (PLACE, "ZeroDivisionError: float division by zero")
    with closing(SqliteLogReader(what.db)) as reader:
        (row,) = [one.events for one in reader.commits() if failure in one.events]
    assert isinstance(row[row.index(failure) - 1], CandleClosed)
    assert verified(what).difference is None


@pytest.mark.parametrize(
    ("text", "place", "error"),
    [
        (None, "", "its file is missing"),
        ("NAME = 'dips'\nx = = 1\n", "dips.py:2", "is not Python: invalid syntax"),
        (DIPS.replace("le=5.0", "le=0.5").replace("= 1.0\n", "= 0.4\n", 1), "", ""),
    ],
    ids=["missing", "broken", "other range"],
)
@in_loop
async def test_an_engine_starts_without_a_usable_file(tmp_path: Path, text: str | None, place: str, error: str) -> None:
    await live(with_file(tmp_path), candles(0, 1.0, 1.0))
    before = len(recorded(tmp_path / "log.db"))
    without = with_file(tmp_path, text)
    await live(without, candles(2, 1.0, 1.0))
    await live(without, candles(4, 1.0))
    assert sum(isinstance(item.event, CandleClosed) for item in recorded(tmp_path / "log.db")[before:]) == 3
    assert [(one.strategy, one.place, one.error) for one in failures(tmp_path)] == (
        [("dips", place, error)] if error else []
    )
    found = verified(without)
    assert found.difference is None
    assert list(found.folded) == ["dips"]


@in_loop
async def test_a_new_log_does_not_begin_with_a_broken_file(tmp_path: Path) -> None:
    what = replace(with_file(tmp_path, "NAME = 'dips'\nx = = 1\n"), unusable={"dips": "dips.py:2: SyntaxError"})
    with pytest.raises(ConfigError, match=r"dips\.py:2: SyntaxError"):
        await live(what, candles(0, 1.0))


@in_loop
async def test_resume_is_refused_until_the_file_can_be_used_and_then_runs_what_it_says(tmp_path: Path) -> None:
    what = with_file(tmp_path)
    await live(what, candles(0, 7.0, 1.0))
    path = tmp_path / "own" / "dips.py"

    def resume(running: Engine) -> None:
        order = partial(command_events, running.loop.state, Resume(*ANNA, strategy="dips"), what.load)
        path.write_text("NAME = 'dips'\nx = = 1\n")
        with pytest.raises(CommandRefused, match=r"dips stays parked: dips\.py:2: is not Python"):
            order()
        path.unlink()
        with pytest.raises(CommandRefused, match="dips stays parked: its file is missing"):
            order()
        path.write_text(FIXED)
        events = order()
        assert [type(event) for event in events] == [RunnerConfigured, RunnerResumed]

    await live(what, candles(2, 1.0), resume)


@in_loop
async def test_a_resumed_strategy_trades_again_in_the_same_engine_and_after_the_next_start(tmp_path: Path) -> None:
    what = with_file(tmp_path)
    await live(what, candles(0, 7.0, 1.0))
    (tmp_path / "own" / "dips.py").write_text(FIXED)

    ordered_before = sum(isinstance(item.event, OrderPlaced) for item in recorded(what.db))
    async with open_engine(what, [listed()], ManualClock(), print) as running:
        make = partial(command_events, command=Resume(*ANNA, strategy="dips"), load=what.load)
        await running.loop.order(make)
        running.loop.adopt_code()
        assert running.loop.state.runner("dips").account.paused == PAUSED_TO_WARM_UP
        await running.loop.run(candles(2, 7.0, 7.0, 7.0))
        assert running.loop.state.runner("dips").failure is None
    fixed = with_file(tmp_path, FIXED)
    warnings = await live(fixed, candles(5, 7.0))
    assert warnings == []  # The snapshot of the engine that loaded the file again belongs to this code.
    assert sum(isinstance(item.event, OrderPlaced) for item in recorded(what.db)) >= ordered_before
    assert verified(fixed).difference is None


def test_a_difference_names_strategy_and_symbol() -> None:
    group = numbered([candle(0, 100.0), ordered()])
    found = first_difference(group, [Entry(group[0].event), Entry(replace(ordered(), quantity_base=2.0))])
    assert found is not None
    assert place_text(found) == f"seq 2: momentum on {BTC}"
