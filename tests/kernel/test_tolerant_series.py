"""Series of 1h and longer tolerate holes, shorter ones do not: both against a fold that looks at everything at once."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.indicators.structs import HISTORY_BARS_MIN
from papertape.engine.kernel.series import missing_max, observe_series
from papertape.engine.kernel.state import Bar, Fact, Series
from papertape.engine.reducer.state import GAP_RESET_MS
from papertape.events.units import HOUR_MS, MINUTE_MS, SERIES_MS
from tests.build import DAY_0_MS
from tests.support import examples

BASES_MS = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS)


class Seen(NamedTuple):
    """A series after a base candle."""

    completed: int
    row: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def folded(facts: list[Fact], timeframe_ms: int, base_ms: int) -> list[Seen]:
    """What the kernel makes of the facts."""
    series = Series(timeframe_ms, base_ms, missing_max=missing_max(timeframe_ms, base_ms))
    bars, seen, until_ms = [Bar() for _ in range(HISTORY_BARS_MIN)], [], -1
    for fact in facts:
        observe_series(series, bars, fact, int(until_ms >= 0 and fact.open_time_ms - until_ms > GAP_RESET_MS))
        until_ms = fact.time_ms
        seen.append(Seen(*(asdict(series)[name] for name in Seen._fields)))
    return seen


def worked_out(facts: list[Fact], timeframe_ms: int, base_ms: int) -> list[Seen]:
    """The same by the words of the specification: which candles exist, and with which fact each of them completes."""
    is_long = timeframe_ms >= HOUR_MS
    size, needed = timeframe_ms // base_ms, 0.9 if is_long else 1.0
    gap_ms = max(GAP_RESET_MS, 3 * timeframe_ms) if is_long else GAP_RESET_MS
    candles: dict[int, list[Fact]] = {}
    seen: list[Seen] = []
    now = Seen(0, -1, 0.0, 0.0, 0.0, 0.0, 0.0)
    for number, fact in enumerate(facts):
        before = facts[number - 1] if number else None
        if before is not None and fact.open_time_ms - before.time_ms > gap_ms:
            candles, now = {}, now._replace(row=-1)
        start = fact.open_time_ms - fact.open_time_ms % timeframe_ms
        due = [one for one in candles if one < start] if is_long else []
        candles.setdefault(start, []).append(fact)
        if fact.time_ms == start + timeframe_ms:
            due.append(start)
        whole = [candles.pop(one) for one in due]
        made = [parts for parts in whole if len(parts) >= needed * size - 1e-9]
        assert len(made) <= 1, "one base candle completes one candle"
        now = now._replace(completed=len(made))
        for parts in made:
            highs, lows = [one.high for one in parts], [one.low for one in parts]
            volume = 0.0
            for one in parts:
                volume += one.volume
            now = Seen(1, now.row + 1, parts[0].open, max(highs), min(lows), parts[-1].close, volume)
        seen.append(now)
    return seen


def market(seed: int, base_ms: int, count: int, lost: float, holes: int) -> list[Fact]:
    """Base candles some of which are lost, one by one and in holes of any length."""
    random, facts, open_ms = Random(seed), [], DAY_0_MS + Random(seed).randrange(50) * base_ms
    for number in range(count):
        if holes and number % (count // holes + 1) == count // holes:
            open_ms += random.choice([1, 2, 5, 30, 239, 240, 241, 700, 3_000, 5_000]) * MINUTE_MS // base_ms * base_ms
        if random.random() >= lost:
            low, high = sorted(random.uniform(90.0, 110.0) for _ in range(2))
            first, last = random.uniform(low, high), random.uniform(low, high)
            facts.append(
                Fact(CANDLE, 0, 0, open_ms, open_ms + base_ms, first, high, low, last, random.choice([0.0, 1.5, 3.25]))
            )
        open_ms += base_ms
    return facts


@examples(60)
@given(
    st.integers(0, 2**32),
    st.sampled_from(BASES_MS),
    st.sampled_from(sorted(SERIES_MS.values())),
    st.sampled_from([0.0, 0.02, 0.08, 0.2]),
    st.integers(0, 6),
)
def test_a_series_is_what_the_specification_says(
    seed: int, base_ms: int, timeframe_ms: int, lost: float, holes: int
) -> None:
    if timeframe_ms % base_ms == 0:
        facts = market(seed, base_ms, 700, lost, holes)
        assert folded(facts, timeframe_ms, base_ms) == worked_out(facts, timeframe_ms, base_ms)


def hours(minutes: list[int]) -> list[Fact]:
    """Minutes of a market whose close is the number of the minute."""
    return [
        Fact(CANDLE, 0, 0, DAY_0_MS + one * MINUTE_MS, DAY_0_MS + (one + 1) * MINUTE_MS, one, one, one, one, 1.0)
        for one in minutes
    ]


def completions(minutes: list[int], timeframe_ms: int = HOUR_MS) -> list[tuple[int, float, float, float]]:
    """The minutes at which a candle completed, each with its open, close and volume."""
    seen = folded(hours(minutes), timeframe_ms, MINUTE_MS)
    return [
        (minute, one.open, one.close, one.volume) for minute, one in zip(minutes, seen, strict=True) if one.completed
    ]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([], [(59, 0, 59, 60.0)]),
        ([0, 1], [(59, 2, 59, 58.0)]),
        (list(range(20, 26)), [(59, 0, 59, 54.0)]),
        (list(range(20, 27)), []),
        ([58, 59], [(60, 0, 57, 58.0)]),
        ([59, 60, 61], [(62, 0, 58, 59.0)]),
        ([0, 5, 10, 57, 58, 59], [(60, 1, 56, 54.0)]),
        ([0, 5, 10, 56, 57, 58, 59], []),
    ],
)
def test_an_hour_needs_nine_tenths_of_its_minutes(
    missing: list[int], expected: list[tuple[int, float, float, float]]
) -> None:
    assert completions([one for one in range(70) if one not in missing]) == expected


def test_half_an_hour_needs_all_of_its_minutes() -> None:
    assert completions([one for one in range(60) if one != 7], 30 * MINUTE_MS) == [(59, 30, 59, 30.0)]


@pytest.mark.parametrize(("timeframe", "longest"), [("1h", 240), ("2h", 360), ("4h", 720), ("1d", 4_320)])
def test_a_series_starts_over_after_a_hole_of_more_than_three_of_its_candles(timeframe: str, longest: int) -> None:
    timeframe_ms = SERIES_MS[timeframe]
    first = 2 * timeframe_ms // MINUTE_MS
    for hole, row in ((longest, 1), (longest + 1, -1)):
        seen = folded(hours([*range(first), first + hole]), timeframe_ms, MINUTE_MS)
        assert seen[-1].row == row
