"""A chart draws what a strategy's `PLOT` names: the numbers of its decisions, as of any event, and why none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.service import page_inspector
from papertape.cli.service.page_inspector import LogInspector
from papertape.engine.inspect.entry_conditions import has_completed, is_ready, reading_of
from papertape.engine.inspect.plot_reader import PLOT_EVENTS_MAX, PlotQuery, PlotReader
from papertape.engine.inspect.state_history import StateHistory
from papertape.engine.kernel.strategy import PRICE, Strategy
from papertape.engine.reducer.reducer import apply, groups
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_all_strategies, load_strategies
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, OrderPlaced, Timing
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.tail import make_tail
from papertape.events.units import MINUTE_MS
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, listed
from tests.engine.logs import recorded
from tests.engine.parts import Given, busy, live, settings
from tests.reducer.random_market import Recipe
from tests.reducer.runs import BUILT_IN, eager
from tests.support import NO_LIMITS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from papertape.engine.inspect.plot_fold import Plot
    from papertape.events.log import Recorded
    from papertape.projections.site.ports import ChartView, PlotView

pytestmark = pytest.mark.system

STRATEGIES = load_strategies()
FIFTEEN_MS, HOUR_MS = 3 * FIVE_MINUTES_MS, 12 * FIVE_MINUTES_MS
SYMBOLS = ("AAA", "BBB", "CCC")
OWN = '''"""Draws the close of its last candle; fails on a volume of 7."""
from msgspec import Struct
NAME = "own"
SERIES = ("1m",)
PLOT = {"close": "price", "ratio": "pane:ratio"}
class Parameters(Struct, frozen=True):
    """Nothing to choose."""
class Reading(Struct):
    """What it saw."""
    close: float = 0.0
    ratio: float = 0.0
def read(view, params, reading):
    """Fill in the numbers of this moment."""
    reading.close = view.candle.close
    reading.ratio = 1.0 / (view.candle.volume - 9.0)
def enter(view, params, answer):
    """Fail, or wait."""
    answer.score = 1.0 / (view.candle.volume - 7.0)
    return 0
'''


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a log of the built-in strategies in a market with holes, late candles and a warm-up."""
    path = tmp_path_factory.mktemp("plotted") / "log.db"
    what = settings(path, strategies=STRATEGIES, runners=eager(BUILT_IN))
    recipe = Recipe(4, 3, 900, FIVE_MINUTES_MS, holes=2, late_share=0.02, warm_up=120)
    asyncio.run(live(what, busy(recipe)))
    return path


@asynccontextmanager
async def inspector_of(
    db: Path, strategies: Mapping[str, Strategy] = STRATEGIES, query_s_max: float = page_inspector.QUERY_S_MAX
) -> AsyncIterator[LogInspector]:
    """Yield an inspector beside a timeline, as in the page's process."""
    timeline = LogTimeline(lambda: (make_tail(db, 0.005), LogThread(lambda: SqliteLogReader(db))), Views)
    running = asyncio.ensure_future(timeline.run())
    inspector = LogInspector(db, strategies, timeline, query_s_max)
    try:
        await timeline.wait_beyond(recorded(db)[-1].seq - 1)
        yield inspector
    finally:
        inspector.close()
        timeline.close()
        await running


def inspected(
    db: Path, use: Callable[[LogInspector], Awaitable[None]], strategies: Mapping[str, Strategy] = STRATEGIES
) -> None:
    """Run a test with an inspector."""

    async def main() -> None:
        async with inspector_of(db, strategies) as inspector:
            await use(inspector)

    asyncio.run(main())


def readings_in(chart: ChartView) -> PlotView:
    """Return the readings of a chart, which belong to its candles one by one."""
    assert chart.plot is not None
    assert all(len(line.values) == len(chart.candles) for line in chart.plot.lines)
    return chart.plot


def newest(chart: ChartView) -> dict[str, float | None]:
    """Return the readings at the newest candle."""
    return {line.name: line.values[-1] for line in readings_in(chart).lines}


def by_candle(chart: ChartView) -> dict[int, tuple[float | None, ...]]:
    """Return the readings at each complete candle."""
    rows = zip(*(line.values for line in readings_in(chart).lines), strict=True)
    return {one.open_time_ms: row for one, row in zip(chart.candles, rows, strict=True) if one.complete}


def whole_fold(db: Path, name: str, symbol: str) -> dict[int, tuple[float | None, ...]]:
    """Return what a fold of the whole log reads on each close of a strategy's candle, by the close."""
    state, found = new_state(STRATEGIES), {}
    for group in groups(recorded(db)):
        apply(state, group)
        event = group[0].event
        if not isinstance(event, CandleClosed) or event.symbol != symbol:
            continue
        runner, index = state.runner(name), state.symbols[symbol]
        if not has_completed(runner, index):
            continue
        places, reading = STRATEGIES[name].plot, reading_of(state, runner, index)
        values: tuple[float | None, ...] = (None,) * len(places)
        if is_ready(state, runner, index):
            values = tuple(
                float(getattr(reading, field)) if place != PRICE or getattr(reading, field) > 0.0 else None
                for field, place in places
            )
        found[event.at_ms] = values
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_readings_at_an_entry_are_those_that_it_recorded(db: Path, name: str) -> None:
    orders = [one for one in recorded(db) if isinstance(one.event, OrderPlaced) and one.event.action == "entry"]
    own = [one for one in orders if isinstance(one.event, OrderPlaced) and one.event.strategy == name]
    assert len(own) > 5

    async def use(inspector: LogInspector) -> None:
        for one in own[:: max(1, len(own) // 12)]:
            event = one.event
            assert isinstance(event, OrderPlaced)
            chart = await inspector.chart(one.seq, event.symbol, FIVE_MINUTES_MS, 50, strategy=name)
            found = newest(chart)
            assert found == {field: event.readings[field] for field in found}
            assert list(found.items()) == [(field, found[field]) for field, _ in STRATEGIES[name].plot]

    inspected(db, use)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_reading_is_that_of_a_fold_of_the_whole_log(db: Path, name: str) -> None:
    head_seq = recorded(db)[-1].seq

    async def use(inspector: LogInspector) -> None:
        for symbol in SYMBOLS:
            known = whole_fold(db, name, symbol)
            for timeframe_ms in (FIVE_MINUTES_MS, FIFTEEN_MS, HOUR_MS):
                chart = await inspector.chart(head_seq, symbol, timeframe_ms, 1_000, strategy=name)
                found = by_candle(chart)
                for open_ms, row in found.items():
                    closes = [at_ms for at_ms in known if at_ms <= open_ms + timeframe_ms]
                    nothing = (None,) * len(row)
                    assert row == (known[max(closes)] if closes else nothing)
                assert sum(None not in row for row in found.values()) > len(found) // 3

    inspected(db, use)


def test_the_past_shows_nothing_later_and_the_same_as_the_present(db: Path) -> None:
    log = recorded(db)
    candles = [one for one in log if isinstance(one.event, CandleClosed) and one.event.symbol == "BBB"]

    async def use(inspector: LogInspector) -> None:
        whole = by_candle(await inspector.chart(log[-1].seq, "BBB", FIVE_MINUTES_MS, 1_000, strategy="momentum"))
        for one in [*candles[::37], *reversed(candles[::53])]:
            event = one.event
            assert isinstance(event, CandleClosed)
            chart = await inspector.chart(one.seq, "BBB", FIVE_MINUTES_MS, 120, strategy="momentum")
            then = by_candle(chart)
            assert then == {open_ms: whole[open_ms] for open_ms in then}
            assert max(then, default=event.open_time_ms) == event.open_time_ms, "also that of the candle itself"

    inspected(db, use)


def test_pages_of_the_past_are_stretches_of_one_long_chart(db: Path) -> None:
    head_seq = recorded(db)[-1].seq

    async def use(inspector: LogInspector) -> None:
        whole = by_candle(await inspector.chart(head_seq, "AAA", FIVE_MINUTES_MS, 1_000, strategy="vwap_rsi"))
        before_ms = max(whole) + FIVE_MINUTES_MS
        found: dict[int, tuple[float | None, ...]] = {}
        while True:
            chart = await inspector.chart(head_seq, "AAA", FIVE_MINUTES_MS, 70, before_ms, "vwap_rsi")
            if not chart.candles:
                break
            found |= by_candle(chart)
            before_ms = chart.candles[0].open_time_ms
        assert found == whole
        assert readings_in(chart).lines == ()

    inspected(db, use)


def test_a_chart_that_would_fold_too_much_begins_its_readings_later(db: Path) -> None:
    head_seq, known = recorded(db)[-1].seq, whole_fold(db, "momentum", "AAA")
    opens_ms = tuple(at_ms - FIVE_MINUTES_MS for at_ms in known)[-400:]
    query = PlotQuery("momentum", "AAA", FIVE_MINUTES_MS, FIVE_MINUTES_MS, opens_ms, head_seq)

    async def plot(events_max: int) -> Plot:
        thread = LogThread(lambda: SqliteLogReader(db))
        with closing(thread):
            return await PlotReader(thread, StateHistory(thread, STRATEGIES, None), events_max).plot(query)

    cut, whole = asyncio.run(plot(600)), asyncio.run(plot(PLOT_EVENTS_MAX))
    assert (cut.is_cut, whole.is_cut) == (True, False)
    begins = next(place for place, value in enumerate(cut.lines[0]) if value is not None)
    assert 100 < begins < 350
    for short, long in zip(cut.lines, whole.lines, strict=True):
        assert short[begins:] == long[begins:]


def test_whoever_does_not_wait_is_told_to_ask_again(db: Path) -> None:
    head_seq = recorded(db)[-1].seq

    async def main() -> None:
        async with inspector_of(db, query_s_max=0.0) as hurried:
            found = readings_in(await hurried.chart(head_seq, "AAA", FIVE_MINUTES_MS, 50, strategy="momentum"))
            assert (found.pending, found.lines) == (True, ())
            assert found.note.startswith("momentum: the log is being read up to there for the first time: event ")

    asyncio.run(main())


def test_an_unknown_strategy_is_refused(db: Path) -> None:
    async def use(inspector: LogInspector) -> None:
        with pytest.raises(UsageError, match="no strategy 'nobody' runs; there are: vwap_rsi, momentum"):
            await inspector.chart(50, "AAA", FIVE_MINUTES_MS, 50, strategy="nobody")
        assert (await inspector.chart(50, "AAA", FIVE_MINUTES_MS, 50)).plot is None
        assert newest(await inspector.chart(50, "AAA", FIVE_MINUTES_MS, 50, strategy="momentum")) == {
            "highest": None,
            "lowest": None,
            "adx_5m": None,
            "adx_15m": None,
        }

    inspected(db, use)


# ---------------------------------------------------------------- why there are none


def log_of(folder: Path, *volumes: float, text: str = OWN) -> tuple[Path, dict[str, Strategy]]:
    """Write the log of a strategy of the owner in a calm market with these volumes."""
    own = folder / "own"
    own.mkdir(exist_ok=True)
    (own / "own.py").write_text(text)
    strategies, path = load_all_strategies([own]), folder / "log.db"
    facts = [candle(number, 100.0 + number, volume=volume) for number, volume in enumerate(volumes)]
    what = settings(path, strategies=strategies, runners={"own": RunnerSettings(risk=NO_LIMITS)})
    asyncio.run(live(what, Given([listed()], facts)))
    return path, strategies


def chart_of(db: Path, strategies: Mapping[str, Strategy], back: int = 0) -> ChartView:
    """Return the last candles with the readings of `own`, as of so many events before the newest."""
    found: list[ChartView] = []

    async def use(inspector: LogInspector) -> None:
        seq = recorded(db)[-1].seq - back
        found.append(await inspector.chart(seq, "BTCUSDT", MINUTE_MS, 50, strategy="own"))

    inspected(db, use, strategies)
    return found[0]


def test_a_parked_strategy_has_readings_until_it_failed_and_says_why(tmp_path: Path) -> None:
    db, strategies = log_of(tmp_path, 1.0, 2.0, 3.0, 7.0, 1.0, 1.0)
    chart = chart_of(db, strategies)
    place = OWN.splitlines().index("    answer.score = 1.0 / (view.candle.volume - 7.0)") + 1
    assert readings_in(chart).note == f"own is parked: own.py:{place}: ZeroDivisionError: float division by zero"
    assert [line.values for line in readings_in(chart).lines] == [
        (100.0, 101.0, 102.0, None, None, None),
        (-1.0 / 8.0, -1.0 / 7.0, -1.0 / 6.0, None, None, None),
    ]
    assert [line.place for line in readings_in(chart).lines] == ["price", "pane:ratio"]


def test_a_read_that_fails_says_so_and_stops_nothing(tmp_path: Path) -> None:
    db, strategies = log_of(tmp_path, 1.0, 9.0, 3.0, 9.0)
    chart = chart_of(db, strategies)
    place = f"own.py:{OWN.splitlines().index('    reading.ratio = 1.0 / (view.candle.volume - 9.0)') + 1}"
    assert readings_in(chart).note == f"own failed in read: {place}: ZeroDivisionError: float division by zero"
    assert readings_in(chart).lines[0].values == (100.0, None, 102.0, None)


def test_a_strategy_without_its_file_or_without_a_plot_says_so(tmp_path: Path) -> None:
    db, strategies = log_of(tmp_path, 1.0, 2.0, 3.0)
    assert newest(chart_of(db, strategies)) == {"close": 102.0, "ratio": -1.0 / 6.0}
    missing = readings_in(chart_of(db, {name: one for name, one in strategies.items() if name != "own"}))
    assert (missing.note, missing.lines) == ("own cannot run: its file is missing", ())
    plain = readings_in(chart_of(db, {"own": replace(strategies["own"], plot=())}))
    assert (plain.note, plain.lines) == ("own has no PLOT in its file", ())
    before = readings_in(chart_of(db, {"own": replace(strategies["own"], needs_bars=5)}))
    assert (before.note, before.lines[0].values) == ("own has too few candles yet", (None, None, None))


def test_readings_of_a_warm_up_are_shown_too(db: Path) -> None:
    candles = [one for one in recorded(db) if isinstance(one.event, CandleClosed) and one.event.symbol == "AAA"]
    warm = [one for one in candles if isinstance(one.event, CandleClosed) and one.event.timing is Timing.WARM_UP]
    assert len(warm) > 40

    async def use(inspector: LogInspector) -> None:
        last: Recorded = warm[-1]
        chart = await inspector.chart(last.seq, "AAA", FIVE_MINUTES_MS, 300, strategy="momentum")
        assert chart.candles[0].open_time_ms == DAY_0_MS
        assert None not in newest(chart).values()

    inspected(db, use)
