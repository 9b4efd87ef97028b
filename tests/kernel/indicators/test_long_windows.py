"""Windows of 2,048 candles: the history is as long as its strategies need, in runs, snapshots and restarts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.engine.inspect.state_chunks import join_state, split_state
from papertape.engine.kernel.indicators.progress import history_rows
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MAX, HISTORY_BARS_MIN
from papertape.engine.reducer.reducer import fold, is_decision
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.research.compiled_kernel import CompiledEngine
from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import load_strategies
from papertape.events.facts import OrderPlaced, PositionClosed
from papertape.events.log import Recorded
from papertape.events.units import MINUTE_MS
from tests.engine.logs import recorded, story, trades_csv
from tests.engine.processes import kill_until_done, ok
from tests.reducer.random_market import Recipe, market
from tests.support import NO_LIMITS, configured_world, feed, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.engine.reducer.series_set import SeriesSet
    from tests.reducer.random_market import RandomTape

FOLDER = Path(__file__).parent / "long_window"
OWN = load_strategies([FOLDER])
WINDOW = 2_048
CUTS = (700, 2_300, 4_500, 5_200)


@pytest.fixture(scope="module")
def tape() -> RandomTape:
    return market(Recipe(5, 2, 5_500, MINUTE_MS))


def settings(window: int = WINDOW) -> Mapping[str, RunnerSettings]:
    return {"long_window": RunnerSettings({"window": window}, risk=NO_LIMITS)}


def minutes(world: EngineState) -> SeriesSet:
    return world.series[MINUTE_MS]


def played(tape: RandomTape, window: int = WINDOW) -> tuple[EngineState, list[Recorded]]:
    """The world at the end of a tape, and the log that led there."""
    world, log = new_state(OWN), list[Recorded]()
    for event in configuration(OWN, tape.contracts, settings(window)):
        take(world, log, event)
    feed(world, log, tape.events())
    return world, log


@pytest.mark.parametrize(
    ("window", "rows"),
    [(1, 512), (510, 512), (511, 1_024), (2_046, 2_048), (2_048, 4_096), (4_094, 4_096), (9_999, 4_096)],
)
def test_a_history_is_the_shortest_that_holds_the_window(window: int, rows: int) -> None:
    assert history_rows(window) == rows


def test_a_history_is_as_long_as_the_strategies_of_its_timeframe_need(tape: RandomTape) -> None:
    assert minutes(configured_world(tape.contracts, settings(20), OWN)).rows == HISTORY_BARS_MIN
    world = configured_world(tape.contracts, settings(), OWN)
    assert minutes(world).rows == HISTORY_BARS_MAX
    assert {len(bars) for bars in minutes(world).bars} == {HISTORY_BARS_MAX}


@pytest.mark.system
def test_it_trades_alike_compiled_and_in_cpython(tape: RandomTape) -> None:
    python, compiled = (configured_world(tape.contracts, settings(), OWN) for _ in range(2))
    expected = run_tape(python, PlainEngine(python, tape)).decided
    assert sum(isinstance(one.event, PositionClosed) for one in expected) > 10
    assert run_tape(compiled, CompiledEngine(compiled, tape)).decided == expected
    assert state_digest(compiled) == state_digest(python)


@pytest.mark.slow
def test_a_state_restored_at_any_time_goes_on_to_the_same_bits(tape: RandomTape) -> None:
    world, log = played(tape)
    assert sum(is_decision(item.event) for item in log) > 20
    for cut in CUTS:
        restored = new_state(OWN)
        fold(restored, log[:cut])
        restored = decode(encode(restored), OWN)
        chunks = join_state([partial(bytes, chunk) for chunk in split_state(restored)], OWN)
        assert minutes(restored).rows == minutes(chunks).rows == HISTORY_BARS_MAX
        for other in (restored, chunks):
            fold(other, log[cut:])
            assert encode(other) == encode(world), cut


@pytest.mark.system
def test_a_history_that_is_lengthened_keeps_its_candles_and_lets_nobody_enter_too_soon(tape: RandomTape) -> None:
    """A strategy is given a longer window while the market is known: it waits for the candles that are missing."""
    events, world, log = list(tape.events()), new_state(OWN), list[Recorded]()
    for event in configuration(OWN, tape.contracts, settings(100)):
        take(world, log, event)
    feed(world, log, events[:6_000])
    before = [[(bar.high, bar.close) for bar in bars] for bars in minutes(world).bars]
    rows = [one.row for one in minutes(world).series]
    longer = configuration(OWN, tape.contracts, settings())[-1]
    at, changed_ms = len(log), min(market.close_time_ms for market in world.markets)
    take(world, log, longer)
    assert minutes(world).rows == HISTORY_BARS_MAX
    for symbol, (one, bars) in enumerate(zip(minutes(world).series, minutes(world).bars, strict=True)):
        assert one.oldest_row == rows[symbol] - HISTORY_BARS_MIN + 1 > 0
        for row in range(one.oldest_row, rows[symbol] + 1):
            bar = bars[row & (HISTORY_BARS_MAX - 1)]
            assert (bar.high, bar.close) == before[symbol][row & (HISTORY_BARS_MIN - 1)]
    feed(world, log, events[6_000:])
    after = [item.event for item in log[at + 1 :] if isinstance(item.event, OrderPlaced)]
    entered_ms = [event.at_ms for event in after if event.action == "entry"]
    assert entered_ms
    assert min(entered_ms) >= changed_ms + (WINDOW + 1 - HISTORY_BARS_MIN) * MINUTE_MS
    refolded = new_state(OWN)
    fold(refolded, log)
    assert encode(refolded) == encode(world)
    assert encode(decode(encode(world), OWN)) == encode(world)


@pytest.mark.system
def test_a_run_with_long_windows_killed_at_random_instants_ends_as_if_it_had_never_been(tmp_path: Path) -> None:
    arguments = (
        *("run", "--feed", "sim", "--speed", "max", "--until-end", "--json", "--db", "log.db", "--set"),
        *("feed.sim.days=2", "feed.sim.warm_up_days=2", "feed.sim.symbols=BTCUSDT", "engine.snapshot_every_events=700"),
        *(f"strategies.folders={FOLDER}", "strategies.enabled=long_window"),
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    ok(whole, *arguments)
    kill_until_done(killed, 1, 5, *arguments)
    assert story(killed / "log.db") == story(whole / "log.db")
    assert trades_csv(killed / "log.db") == trades_csv(whole / "log.db")
    assert trades_csv(whole / "log.db").count("\n") > 3
    digests = set()
    for folder in (killed, whole):
        state = new_state(OWN)
        fold(state, recorded(folder / "log.db"))
        assert minutes(state).rows == HISTORY_BARS_MAX
        digests.add(state_digest(state))
    assert len(digests) == 1
