"""A run that goes on after a trip: resets at the next UTC day, alike in both engines, and a log that holds."""

from __future__ import annotations

import asyncio
import csv
import json
from array import array
from functools import cache
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.research.backtest import RESET_BY, Backtest
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import TapeRunResult, run_tape
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.verify import verify
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    Event,
    KillSwitchReset,
    KillSwitchTripped,
    PositionOpened,
)
from papertape.events.memory_log import MemoryEventLog
from papertape.events.units import DAY_MS
from tests.build import FIVE_MINUTES_MS
from tests.engine.processes import ok, papertape
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, EAGER
from tests.research.ways import Ending, compile_once, encoded
from tests.support import NO_LIMITS, STRATEGIES, configured_world, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.research.guarded import TapeEngine

pytest.importorskip("numba", reason="the extra `research` is not installed: there is no compiled way to compare")

from papertape.engine.research.compiled_kernel import CompiledEngine
from papertape.engine.research.replay import replay_compiled

pytestmark = pytest.mark.system

OWN = replace(NO_LIMITS, max_session_loss_percent=1.2, max_daily_loss_percent=0.7)
BOTH = replace(NO_LIMITS, max_session_loss_percent=1.2, global_max_loss_percent=0.8)
LIMITS = {"of each strategy": OWN, "of each and of all": BOTH}
FLAT_AFTER = 900
DAYS = Recipe(7, symbols=2, candles=3 * 288 + 50, timeframe_ms=FIVE_MINUTES_MS, holes=2, long_holes=1)


def settings(risk: RiskSettings) -> dict[str, RunnerSettings]:
    """Everybody eager, under one risk."""
    return {name: RunnerSettings(EAGER[name], risk=risk) for name in BUILT_IN}


@cache
def run(risk: RiskSettings, engine: type[TapeEngine]) -> tuple[Ending, Backtest]:
    """A run that goes on after trips, as bytes and as a backtest."""
    compile_once()
    tape = market(DAYS)
    world = configured_world(tape.contracts, settings(risk))
    made = engine(world, tape)  # type: ignore[call-arg]
    outcome: TapeRunResult = run_tape(world, made, reset_by=RESET_BY)
    decided = [(int(item.fact), item.runner, encoded(item.event)) for item in outcome.decided]
    ending = Ending(decided, [array("d", one).tobytes() for one in outcome.equities], state_of(world))
    events = configuration(STRATEGIES, tape.contracts, settings(risk))
    return ending, Backtest("", tape, made.facts, events, world, outcome.decided, outcome.equities, [], 0.0)


async def write(log: MemoryEventLog, made: Backtest) -> None:
    """Write a run into a log, an input and its consequences at a time."""
    for group in made.entries([]):
        await log.append(log.head.seq, group)


def of(events: Sequence[Event], *kinds: type[Event]) -> list[Event]:
    """The events of some kinds."""
    return [event for event in events if isinstance(event, kinds)]


@pytest.mark.parametrize("risk", LIMITS.values(), ids=LIMITS)
def test_both_engines_go_on_alike_and_the_log_holds(risk: RiskSettings) -> None:
    python, _ = run(risk, PlainEngine)
    compiled, made = run(risk, CompiledEngine)
    assert compiled == python
    assert made.resets >= 2, "too few resets to prove anything"
    log = MemoryEventLog(clock_ms=lambda: 0)
    asyncio.run(write(log, made))
    proof = verify(log.reader(), None, STRATEGIES)
    assert proof.difference is None
    assert proof.digest == state_digest(made.world) == state_digest(replay_compiled(log.reader(), STRATEGIES))
    followed = new_state(STRATEGIES)
    fold(followed, [item for commit in log.reader().commits() for item in commit.recorded()])
    assert state_digest(followed) == proof.digest


@pytest.mark.parametrize("risk", LIMITS.values(), ids=LIMITS)
def test_every_trip_is_reset_before_the_first_candle_of_the_next_utc_day(risk: RiskSettings) -> None:
    _, made = run(risk, PlainEngine)
    events = [entry.event for group in made.entries([]) for entry in group]
    standing: dict[str, int] = {}
    day = 0
    for event in events:
        if isinstance(event, KillSwitchTripped):
            standing[event.scope] = day
        elif isinstance(event, KillSwitchReset):
            assert (event.who, event.why) == RESET_BY
            assert event.at_ms == (standing.pop(event.scope) + 1) * DAY_MS
        elif isinstance(event, CandleClosed):
            day = max(day, event.open_time_ms // DAY_MS)
            assert all(tripped == day for tripped in standing.values()), "a trip of an earlier day still stands"
    trips = {event.scope for event in of(events, KillSwitchTripped) if isinstance(event, KillSwitchTripped)}
    assert (GLOBAL_SCOPE in trips) is (risk.global_max_loss_percent < 100.0)


def test_a_strategy_trades_again_after_its_reset() -> None:
    _, made = run(OWN, PlainEngine)
    events = [item.event for item in made.decided if getattr(item.event, "strategy", "") or item.runner >= 0]
    reset = next(event for event in events if isinstance(event, KillSwitchReset))
    opened = [event.at_ms for event in events if isinstance(event, PositionOpened) and event.strategy == reset.scope]
    assert any(at_ms > reset.at_ms for at_ms in opened)


def test_without_the_option_a_trip_is_for_good() -> None:
    tape = market(DAYS)
    world = configured_world(tape.contracts, settings(OWN))
    decided = [item.event for item in run_tape(world, PlainEngine(world, tape)).decided]
    assert of(decided, KillSwitchTripped) and not of(decided, KillSwitchReset)


def write_candles(path: Path) -> None:
    """The random market's first symbol as a file."""
    table = market(DAYS).candles[0]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["open_time_ms", "open", "high", "low", "close", "volume"])
        rows.writerows(list(zip(table.open_time_ms, *table.values(), strict=True))[:FLAT_AFTER])


def test_the_option_is_shown_and_its_log_can_be_proved(tmp_path: Path) -> None:
    compile_once()
    write_candles(tmp_path / "x_AAAUSDT_5m_2025.csv")
    eager = [f"{name}.{key}={value}" for name in BUILT_IN for key, value in EAGER[name].items()]
    sets = ["--set", *eager, "risk.max_session_loss_percent=0.5"]
    asked = ["backtest", "--candles", "x_AAAUSDT_5m_2025.csv", *sets, "--after-trip"]
    shown = json.loads(ok(tmp_path, *asked, "continue", "--engine", "compiled", "--db", "log.db", "--json"))
    assert shown["resets"] >= 2
    text = ok(tmp_path, *asked, "continue", "--engine", "python")
    assert f"kill switches were reset {shown['resets']} times, at the next UTC day" in " ".join(text.split())
    ok(tmp_path, "verify", "--db", "log.db")
    told = ok(tmp_path, "log", "--db", "log.db", "--limit", "5000")
    assert told.count("reset by --after-trip continue: a new UTC day began") == shown["resets"]
    assert json.loads(ok(tmp_path, *asked, "stop", "--json"))["resets"] == 0
    refused = papertape(tmp_path, *asked, "sometimes")
    assert refused.returncode == 2 and "--after-trip sometimes: there are stop, continue" in refused.stderr
