"""Markets out of a seed: calm and wild stretches, gaps, holes, late candles, funding and open interest."""

from __future__ import annotations

from array import array
from random import Random
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from msgspec import Struct

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.engine.kernel.codes import CANDLE, LATE, WARM_UP
from papertape.engine.research.tape import Tape, fact_event
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, listed

if TYPE_CHECKING:
    from papertape.engine.kernel.state import FactColumns
    from papertape.events.facts import MarketFact, SignalReceived

NAMES = ("AAA", "BBB", "CCC", "DDD", "EEE")
CLEARLY_LONGER_THAN_A_RESET_MS = 400 * MINUTE_MS


class Recipe(Struct, frozen=True):
    """What a market is made of; the same recipe gives the same market. `told_of` is the share of scripted orders."""

    seed: int
    symbols: int = 1
    candles: int = 300
    timeframe_ms: int = MINUTE_MS
    move_percent: float = 0.3
    holes: int = 0
    long_holes: int = 0
    late_share: float = 0.0
    told_of: float = 0.0
    funding_minutes: int = 60
    warm_up: int = 0


class RandomTape(Tape):
    """A tape some of whose candles came late, which no file can say."""

    late: frozenset[tuple[int, int]] = frozenset()

    def columns(self) -> FactColumns:
        """The facts as plain arrays."""
        found = super().columns()
        for index, place in enumerate(zip(found.symbol, found.open_time_ms, strict=True)):
            if found.kind[index] == CANDLE and found.timing[index] != WARM_UP and place in self.late:
                found.timing[index] = LATE
        return found

    def arrays(self) -> FactColumns:
        """The facts as numpy's arrays."""
        found = super().arrays()
        found.timing[:] = self.columns().timing
        return found

    def events(self) -> list[MarketFact | SignalReceived]:
        """The facts as they come from a feed."""
        return [fact_event(self, fact) for fact in self.structs()]


def recipes(timeframe_ms: int = MINUTE_MS, candles: int = 300, told_of: float = 0.1) -> st.SearchStrategy[Recipe]:
    """Markets of every kind."""
    return st.builds(
        Recipe,
        seed=st.integers(0, 2**32),
        symbols=st.integers(1, 3),
        candles=st.just(candles),
        timeframe_ms=st.just(timeframe_ms),
        move_percent=st.sampled_from([0.1, 0.3, 1.0]),
        holes=st.integers(0, 4),
        long_holes=st.integers(0, 1),
        late_share=st.sampled_from([0.0, 0.02]),
        told_of=st.just(told_of),
        funding_minutes=st.sampled_from([30, 60, 480]),
        warm_up=st.sampled_from([0, candles // 3]),
    )


def market(recipe: Recipe) -> RandomTape:
    """The market of a recipe."""
    random = Random(recipe.seed)
    names, frame_ms = NAMES[: recipe.symbols], recipe.timeframe_ms
    tables = [_candles(random, recipe) for _ in names]
    late = [
        (symbol, time_ms)
        for symbol, table in enumerate(tables)
        for time_ms in table.open_time_ms
        if random.random() < recipe.late_share
    ]
    end_ms = max(table.open_time_ms[-1] for table in tables)
    return RandomTape(
        [listed(name, tick=(1, 100), lot=(1, 1_000), timeframe_ms=frame_ms) for name in names],
        tables,
        [_settlements(random, recipe, end_ms) for _ in names],
        [_readings(random, end_ms) for _ in names],
        start_ms=DAY_0_MS + recipe.warm_up * frame_ms if recipe.warm_up else None,
        late=frozenset(late),
    )


def _candles(random: Random, recipe: Recipe) -> CandleColumns:
    """One symbol's candles, on a tick of 0.01."""
    columns = CandleColumns("random", recipe.timeframe_ms)
    holes, time_ms = _holes(random, recipe), DAY_0_MS
    close, move = 100.0, recipe.move_percent / 100.0
    for number in range(recipe.candles):
        if random.random() < 0.02:
            move = recipe.move_percent / 100.0 * random.choice([0.2, 1.0, 4.0])
        gap = random.gauss(0.0, move) if random.random() < 0.1 else 0.0
        opening = close * (1.0 + gap)
        close = max(1.0, opening * (1.0 + random.gauss(0.0, move)))
        high = max(opening, close) * (1.0 + abs(random.gauss(0.0, move / 2.0)))
        low = min(opening, close) * (1.0 - abs(random.gauss(0.0, move / 2.0)))
        columns.open_time_ms.append(time_ms)
        time_ms += (1 + holes.get(number, 0)) * recipe.timeframe_ms
        for column, price in zip(columns.values(), (opening, high, low, close), strict=False):
            column.append(round(price, 2))
        columns.volume.append(_volume(random, recipe))
    return columns


def _holes(random: Random, recipe: Recipe) -> dict[int, int]:
    """After which candle how many are missing."""
    lengths = [random.randint(1, 20) for _ in range(recipe.holes)]
    lengths += [CLEARLY_LONGER_THAN_A_RESET_MS // recipe.timeframe_ms for _ in range(recipe.long_holes)]
    return {random.randrange(recipe.candles): length for length in lengths}


def _volume(random: Random, recipe: Recipe) -> float:
    """Mostly ordinary, sometimes none, a spike, or an order to the scripted strategy."""
    if random.random() < recipe.told_of:
        return random.choice([1001.0, 1002.0, 1003.0])
    if random.random() < 0.03:
        return 0.0
    spike = 6.0 if random.random() < 0.1 else 1.0
    return round(random.uniform(5.0, 15.0) * spike, 3)


def _settlements(random: Random, recipe: Recipe, end_ms: int) -> SeriesColumns:
    """Settlements on a grid, now and then extreme."""
    step_ms = recipe.funding_minutes * MINUTE_MS
    times = range(DAY_0_MS, end_ms, step_ms)
    rates = [random.choice([0.0001, -0.0001, 0.00002, 0.0005, -0.0006]) for _ in times]
    return SeriesColumns("random", array("q", times), array("d", rates))


def _readings(random: Random, end_ms: int) -> SeriesColumns:
    """Open interest every five minutes, with readings missing."""
    times = [time_ms for time_ms in range(DAY_0_MS, end_ms, FIVE_MINUTES_MS) if random.random() < 0.95]
    value, values = 50_000.0, []
    for _ in times:
        value = max(1_000.0, value * (1.0 + random.gauss(0.0, 0.004)))
        values.append(round(value, 3))
    return SeriesColumns("random", array("q", times), array("d", values))
