"""Charts show the candles that base candles add up to, and the indicators that strategies read."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from papertape.engine.inspect.chart_fold import CANDLES_MAX, WARM_UP_CANDLES, Candle, Chart
from papertape.engine.inspect.chart_reader import CHARTS_MAX, NEAR_EVENTS, ChartReader, seq_before
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.research.tape import fact_event
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, Event, OrderPlaced, Timing
from papertape.events.log import Entry, Recorded
from papertape.events.log_thread import LogThread
from papertape.events.memory_log import MemoryEventLog
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, listed, settled
from tests.reducer.random_market import Recipe, market
from tests.support import NO_LIMITS, configured_world, file_tape, needs_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from papertape.events.log import LogReader

FIRST_FIVE_MS = 1_735_603_200_000
PERIOD = "2024-12-31_2025-09-30"
FIFTEEN_MS = 15 * MINUTE_MS


class Given(Struct):
    """A log in memory, and what stands in it."""

    log: MemoryEventLog
    recorded: list[Recorded]


def given(events: Sequence[Event], a_row: int = 100) -> Given:
    """A log of these events."""
    log = MemoryEventLog(clock_ms=lambda: 0)

    async def write() -> None:
        for first in range(0, len(events), a_row):
            await log.append(log.head.seq, [Entry(event) for event in events[first : first + a_row]])

    asyncio.run(write())
    return Given(log, [Recorded(seq, 0, 0, event) for seq, event in enumerate(events, start=1)])


@asynccontextmanager
async def charts_of(log: MemoryEventLog) -> AsyncIterator[ChartReader]:
    """Charts over it."""
    thread = LogThread(log.reader)
    try:
        yield ChartReader(thread)
    finally:
        thread.close()


def added_up(events: Sequence[Recorded], seq: int, symbol: str, frame_ms: int, base_ms: int) -> list[Candle]:
    """The candles of a timeframe, the plain way: whole ones, and whatever there is of the last one."""
    parts: dict[int, list[CandleClosed]] = {}
    for item in events[:seq]:
        if isinstance(item.event, CandleClosed) and item.event.symbol == symbol:
            opened_ms = item.event.open_time_ms
            parts.setdefault(opened_ms - opened_ms % frame_ms, []).append(item.event)
    found: list[Candle] = []
    for opened_ms, part in parts.items():
        whole = len(part) == frame_ms // base_ms
        if not whole and opened_ms != max(parts):
            continue
        if not whole:
            part = part[_begins_anew(part) :]  # noqa: PLW2901 - a hole in it, and it begins anew.
        found.append(_candle(opened_ms, part, whole=whole))
    return found


def _begins_anew(part: list[CandleClosed]) -> int:
    """The index behind the last hole."""
    return max((k for k in range(1, len(part)) if part[k].open_time_ms != part[k - 1].at_ms), default=0)


def _candle(opened_ms: int, part: list[CandleClosed], *, whole: bool) -> Candle:
    volume = 0.0
    for one in part:
        volume += one.volume
    return Candle(
        opened_ms,
        part[0].open,
        max(one.high for one in part),
        min(one.low for one in part),
        part[-1].close,
        volume,
        whole,
        any(one.timing is Timing.LATE for one in part),
    )


def plain(chart: Chart) -> list[Candle]:
    """Candles without what the kernel says of them; a candle spoilt by a hole keeps its late parts to itself."""
    names = ("open_time_ms", "open", "high", "low", "close", "volume", "complete", "late")
    return [Candle(*(getattr(one, name) for name in names)) for one in chart.candles]


@cache
def busy() -> Given:
    """Three symbols of minutes with holes and late candles, in a long log."""
    tape = market(Recipe(3, 3, 6_000, holes=4, long_holes=1, late_share=0.005, funding_minutes=60))
    return given([*tape.contracts, *tape.events()])


@pytest.mark.parametrize("timeframe_ms", [MINUTE_MS, FIVE_MINUTES_MS, FIFTEEN_MS, HOUR_MS, 4 * HOUR_MS])
def test_candles_as_of_any_event_in_any_order_are_the_base_candles_added_up(timeframe_ms: int) -> None:
    log = busy()

    async def look() -> None:
        random = Random(timeframe_ms)
        async with charts_of(log.log) as charts:
            for seq in [len(log.recorded), *random.sample(range(1, len(log.recorded)), 12), 5]:
                count = random.choice([1, 20, 200])
                chart = await charts.chart(seq, "BBB", MINUTE_MS, timeframe_ms, count)
                wanted = added_up(log.recorded, seq, "BBB", timeframe_ms, MINUTE_MS)[-count:]
                late = [(one.complete, one.late) for one in wanted if one.complete]
                assert [(one.complete, one.late) for one in chart.candles if one.complete] == late
                assert [x for one in plain(chart) for x in _numbers(one)] == pytest.approx(
                    [x for one in wanted for x in _numbers(one)]
                )

    asyncio.run(look())
    assert any(isinstance(one.event, CandleClosed) and one.event.timing is Timing.LATE for one in busy().recorded)


def _numbers(one: Candle) -> tuple[float, ...]:
    return (one.open_time_ms, one.open, one.high, one.low, one.close, one.volume)


def test_a_look_back_and_a_look_on_show_what_a_fresh_look_shows() -> None:
    log = busy()

    async def fresh(seq: int, count: int) -> Chart:
        async with charts_of(log.log) as charts:
            return await charts.chart(seq, "AAA", MINUTE_MS, FIVE_MINUTES_MS, count)

    async def look() -> None:
        random, head = Random(2), len(log.recorded)
        async with charts_of(log.log) as charts:
            for seq in (head - 900, head - 899, head, head - 5_000, head - 4_990, head, head - 100, 3):
                count = random.choice([10, 300])
                found = await charts.chart(seq, "AAA", MINUTE_MS, FIVE_MINUTES_MS, count)
                assert near(found, await fresh(seq, count))

    asyncio.run(look())


def near(one: Chart, other: Chart) -> bool:
    """The same to a millionth of a millionth: where a window began shows in the last digits of its sums."""
    assert plain(one) == plain(other) and one.funding == other.funding
    for a, b in zip(one.candles, other.candles, strict=True):
        for x, y in ((a.vwap, b.vwap), (a.rsi, b.rsi)):
            # Who went on with an older window may know an indicator that who began later does not show yet.
            assert x is None or y is None or x == pytest.approx(y, rel=1e-11)
    return True


def test_many_at_once_each_get_their_own() -> None:
    log = busy()

    async def look() -> None:
        async with charts_of(log.log) as charts:
            seqs = range(2_000, len(log.recorded), 1_500)
            frames = (MINUTE_MS, FIVE_MINUTES_MS)
            asked = [(seq, frame) for seq in seqs for frame in frames]
            found = await asyncio.gather(*(charts.chart(seq, "CCC", MINUTE_MS, frame, 30) for seq, frame in asked))
            for (seq, frame), chart in zip(asked, found, strict=True):
                wanted = added_up(log.recorded, seq, "CCC", frame, MINUTE_MS)[-30:]
                assert [one.close for one in chart.candles] == [one.close for one in wanted]

    asyncio.run(look())


# ---------------------------------------------------------------- the kernel's numbers


class Order(Struct):
    """An order that a strategy placed: where it stands, and what it read."""

    seq: int
    event: OrderPlaced


def traded(days: int) -> tuple[Given, list[Order]]:
    """A log of recorded months with the orders of vwap_rsi in it."""
    names = [f"binance_{symbol}_5m_{PERIOD}.csv.gz" for symbol in ("BTCUSDT", "SOLUSDT")]
    tape = file_tape(names, end_ms=FIRST_FIVE_MS + days * DAY_MS)
    risk, asked = NO_LIMITS, {"rsi_long_threshold": 40.0, "rsi_short_threshold": 60.0}
    world = configured_world(tape.contracts, {"vwap_rsi": RunnerSettings(asked, risk=risk)})
    events: list[Event] = []
    for fact in tape.structs():
        event = fact_event(tape, fact)
        if is_new(world, event):
            events += [entry.event for entry in decide(world, event, len(events) + 1)]
    orders = [Order(seq, one) for seq, one in enumerate(events, start=1) if isinstance(one, OrderPlaced)]
    return given(events, a_row=1_000), [order for order in orders if order.event.action == "entry"]


def read_then(chart: Chart) -> tuple[float | None, float | None, float]:
    """What the last complete candle says: VWAP, RSI, close."""
    last = [one for one in chart.candles if one.complete][-1]
    return last.vwap, last.rsi, last.close


@needs_data
def test_a_chart_from_the_beginning_shows_the_very_numbers_a_strategy_decided_on() -> None:
    log, orders = traded(days=6)

    async def look() -> None:
        async with charts_of(log.log) as charts:
            for order in orders:
                chart = await charts.chart(order.seq, order.event.symbol, FIVE_MINUTES_MS, FIVE_MINUTES_MS, 1_500)
                readings = order.event.readings
                assert read_then(chart) == (readings["vwap"], readings["rsi"], readings["close"])

    asyncio.run(look())
    assert len(orders) > 10


@pytest.mark.system
@needs_data
def test_a_chart_from_the_middle_shows_the_numbers_a_strategy_decided_on_to_the_eleventh_digit() -> None:
    log, orders = traded(days=60)
    late = [order for order in orders if order.seq > 3 * WARM_UP_CANDLES * 2]

    async def look() -> None:
        async with charts_of(log.log) as charts:
            for order in late[:: max(1, len(late) // 40)]:
                chart = await charts.chart(order.seq, order.event.symbol, FIVE_MINUTES_MS, FIVE_MINUTES_MS, 60)
                assert len(chart.candles) == 60
                readings = order.event.readings
                expected = (readings["vwap"], readings["rsi"], readings["close"])
                assert read_then(chart) == pytest.approx(expected, rel=1e-11)
                assert all(one.vwap is not None and one.rsi is not None for one in chart.candles if one.complete)

    asyncio.run(look())
    assert len(late) > 40


# ---------------------------------------------------------------- by hand


def chart_of(
    log: Given,
    timeframe_ms: int = FIVE_MINUTES_MS,
    candles: int = 10,
    symbol: str = "X",
    before_ms: int | None = None,
) -> Chart:
    """The chart at the head."""

    async def look() -> Chart:
        async with charts_of(log.log) as charts:
            return await charts.chart(len(log.recorded), symbol, MINUTE_MS, timeframe_ms, candles, before_ms)

    return asyncio.run(look())


def test_the_forming_candle_is_the_last_one_and_is_marked() -> None:
    minutes = [
        candle(number, (100.0 + number, 110.0 + number, 90.0 + number, 101.0 + number), "X") for number in range(8)
    ]
    chart = chart_of(given([listed("X"), *minutes]))
    assert [(one.complete, one.open_time_ms - DAY_0_MS) for one in chart.candles] == [
        (True, 0),
        (False, FIVE_MINUTES_MS),
    ]
    assert (chart.candles[1].open, chart.candles[1].high, chart.candles[1].low) == (105.0, 117.0, 95.0)
    assert (chart.candles[1].close, chart.candles[1].volume) == (108.0, 3.0)
    assert (chart.candles[1].vwap, chart.candles[1].rsi) == (None, None)
    assert len(chart_of(given([listed("X"), *minutes[:5]])).candles) == 1, "nothing is forming at a boundary"


def test_a_candle_that_was_fetched_late_in_part_is_marked() -> None:
    minutes = [
        candle(number, 100.0, "X", timing=Timing.LATE if number == 7 else Timing.ON_TIME) for number in range(18)
    ]
    assert [one.late for one in chart_of(given([listed("X"), *minutes])).candles] == [False, True, False, False]


def test_settlements_within_the_candles_are_shown() -> None:
    events = [candle(number, 100.0, "X") for number in range(60)]
    log = given([listed("X"), settled(0, 0.01, "X"), *events[:40], settled(35 * MINUTE_MS, 0.0003, "X"), *events[40:]])
    assert chart_of(log, candles=6).funding == ((DAY_0_MS + 35 * MINUTE_MS, 0.0003),)
    assert len(chart_of(log, candles=100).funding) == 2


def test_before_the_first_candle_there_is_an_empty_chart() -> None:
    assert chart_of(given([listed("X")])) == Chart(1, (), ())
    assert chart_of(given([listed("X"), candle(0, 1.0, "X")]), symbol="Y") == Chart(2, (), ())


def test_after_a_hole_that_resets_indicators_begin_again() -> None:
    minutes = [candle(number, 100.0 + number % 7, "X") for number in (*range(100), *range(500, 540))]
    shown = chart_of(given([listed("X"), *minutes]), MINUTE_MS, 200).candles
    assert [one.rsi is not None for one in shown] == [False] * 14 + [True] * 86 + [False] * 14 + [True] * 26


@pytest.mark.parametrize(
    ("timeframe_ms", "candles", "words"),
    [
        (120_000, 10, "there are no candles of 120000 ms; there are 1m, 5m, 15m, 1h, 4h, 1d"),
        (MINUTE_MS, 0, "a chart has 1 to 1,500 candles, not 0"),
        (MINUTE_MS, CANDLES_MAX + 1, "not 1,501"),
    ],
)
def test_what_no_chart_can_have_is_refused(timeframe_ms: int, candles: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chart_of(given([listed("X"), candle(0, 1.0, "X")]), timeframe_ms, candles)


def test_a_timeframe_finer_than_the_log_is_refused() -> None:
    log = given([listed("X")]).log

    async def look() -> None:
        async with charts_of(log) as charts:
            with pytest.raises(UsageError, match="there are 5m, 15m"):
                await charts.chart(1, "X", FIVE_MINUTES_MS, MINUTE_MS, 5)

    asyncio.run(look())


def test_only_so_many_charts_are_kept() -> None:
    log = given([listed("X"), candle(0, 1.0, "X")]).log

    async def look() -> None:
        async with charts_of(log) as charts:
            for number in range(3 * CHARTS_MAX):
                await charts.chart(2, f"S{number}", MINUTE_MS, MINUTE_MS, 5)
            assert len(charts._windows) == CHARTS_MAX

    asyncio.run(look())


def test_a_moment_is_found_by_halving_also_where_symbols_come_one_behind_the_other() -> None:
    """A warm-up brings the whole history of one symbol, then that of the next."""
    alone = [candle(number, 1.0, "A") for number in range(9_000)]
    later = [candle(number, 1.0, "B") for number in range(9_000)]
    log = given([*alone, *later], a_row=700)

    class CountingReader:
        """Counts how often it is asked."""

        def __init__(self, reader: LogReader) -> None:
            self.reader, self.asked = reader, 0

        def commits(self, after_seq: int = 0) -> object:
            self.asked += 1
            return self.reader.commits(after_seq)

    for symbol, number, wanted in (("A", 4_000, 4_001), ("B", 5_000, 14_001), ("B", 0, 9_001), ("A", 9_999, 9_000)):
        reader = CountingReader(log.log.reader())
        found = seq_before(reader, symbol, DAY_0_MS + number * MINUTE_MS, 18_000)  # type: ignore[arg-type]
        assert found < wanted
        assert wanted - found <= NEAR_EVENTS + 1 or (symbol == "B" and number == 0)
        assert reader.asked <= 6


def test_behind_such_a_hole_a_chart_from_the_middle_is_exact_at_once() -> None:
    minutes = [candle(number, 100.0 + number % 7, "X") for number in (*range(5_000), *range(5_300, 5_500))]
    shown = chart_of(given([listed("X"), *minutes]), MINUTE_MS, 256).candles
    assert [one.rsi is not None for one in shown] == [False] * (56 + 14) + [True] * 186
