"""Every indicator at once, folded over candles in CPython or compiled, as a strategy's `observe` would."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, field

from papertape.engine.kernel.indicators import (
    Adx,
    Atr,
    BarsSince,
    Bollinger,
    Cci,
    Cross,
    Donchian,
    Ema,
    HeikinAshi,
    Keltner,
    Macd,
    Mfi,
    Obv,
    Percentile,
    PercentRank,
    Rsi,
    SessionVwap,
    Slope,
    Sma,
    StandardDeviation,
    Stochastic,
    Supertrend,
    VolumeAverage,
    Vwap,
    Wma,
    ZScore,
    update_adx,
    update_atr,
    update_bars_since,
    update_bollinger,
    update_cci,
    update_cross,
    update_donchian,
    update_ema,
    update_heikin_ashi,
    update_keltner,
    update_macd,
    update_mfi,
    update_obv,
    update_percent_rank,
    update_percentile,
    update_rsi,
    update_session_vwap,
    update_slope,
    update_sma,
    update_standard_deviation,
    update_stochastic,
    update_supertrend,
    update_volume_average,
    update_vwap,
    update_wma,
    update_z_score,
)
from papertape.engine.kernel.series import complete_candle
from papertape.engine.kernel.state import Bar, Series
from papertape.engine.kernel.view import SeriesView
from papertape.engine.research.compiled_kernel import make_known
from papertape.engine.research.copying import deep_copy
from papertape.engine.research.numba_callees import make_loop, make_part
from papertape.engine.research.records import records_of
from papertape.engine.research.shared_parts import compiled_digest, load_shared
from papertape.events.units import DAY_MS, MINUTE_MS
from tests.support import file_tape

if TYPE_CHECKING:
    from collections.abc import Callable

Array = Any


class Periods(Struct):
    """The settings of every indicator."""

    period: int = 14
    fast: int = 12
    slow: int = 26
    signal: int = 9
    smooth_k: int = 3
    smooth_d: int = 4
    atr_period: int = 10
    session_ms: int = DAY_MS
    width: float = 2.0
    percent: float = 75.0


class Every(Struct):
    """Every indicator."""

    sma: Sma = field(default_factory=Sma)
    ema: Ema = field(default_factory=Ema)
    wma: Wma = field(default_factory=Wma)
    macd: Macd = field(default_factory=Macd)
    rsi: Rsi = field(default_factory=Rsi)
    atr: Atr = field(default_factory=Atr)
    adx: Adx = field(default_factory=Adx)
    deviation: StandardDeviation = field(default_factory=StandardDeviation)
    bollinger: Bollinger = field(default_factory=Bollinger)
    score: ZScore = field(default_factory=ZScore)
    slope: Slope = field(default_factory=Slope)
    keltner: Keltner = field(default_factory=Keltner)
    supertrend: Supertrend = field(default_factory=Supertrend)
    donchian: Donchian = field(default_factory=Donchian)
    stochastic: Stochastic = field(default_factory=Stochastic)
    cci: Cci = field(default_factory=Cci)
    rank: PercentRank = field(default_factory=PercentRank)
    percentile: Percentile = field(default_factory=Percentile)
    mfi: Mfi = field(default_factory=Mfi)
    obv: Obv = field(default_factory=Obv)
    volume: VolumeAverage = field(default_factory=VolumeAverage)
    vwap: Vwap = field(default_factory=Vwap)
    session: SessionVwap = field(default_factory=SessionVwap)
    heikin: HeikinAshi = field(default_factory=HeikinAshi)
    cross: Cross = field(default_factory=Cross)
    since: BarsSince = field(default_factory=BarsSince)


class Candles(Struct):
    """Candles as columns."""

    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array


def update_every(every: Every, series: SeriesView, periods: Periods) -> None:
    """Fold one candle into every indicator."""
    period, width = periods.period, periods.width
    update_sma(every.sma, series, period)
    update_ema(every.ema, series, period)
    update_wma(every.wma, series, period)
    update_macd(every.macd, series, periods.fast, periods.slow, periods.signal)
    update_rsi(every.rsi, series, period)
    update_atr(every.atr, series, period)
    update_adx(every.adx, series, period)
    update_standard_deviation(every.deviation, series, period)
    update_bollinger(every.bollinger, series, period, width)
    update_z_score(every.score, series, period)
    update_slope(every.slope, series, period)
    update_keltner(every.keltner, series, period, periods.atr_period, width)
    update_supertrend(every.supertrend, series, periods.atr_period, width)
    update_donchian(every.donchian, series, period)
    update_stochastic(every.stochastic, series, period, periods.smooth_k, periods.smooth_d)
    update_cci(every.cci, series, period)
    update_percent_rank(every.rank, series, period)
    update_percentile(every.percentile, series, period, periods.percent)
    update_mfi(every.mfi, series, period)
    update_obv(every.obv, series)
    update_volume_average(every.volume, series, period)
    update_vwap(every.vwap, series, period)
    update_session_vwap(every.session, series, periods.session_ms)
    update_heikin_ashi(every.heikin, series)
    if every.ema.ready == 1:
        update_cross(every.cross, series, series.candle.close, every.ema.value)
    update_bars_since(every.since, series, every.cross.value == 1)


def make_run(update: Callable[..., None]) -> Callable[..., None]:
    """Make the loop that folds candles and keeps the state after each; it begins at row `first`."""

    def run(
        mains: Any, bars: Any, columns: Any, first: int, end: int, states: Any, periods: Any, kept: Any, step: int
    ) -> None:
        opens, highs, lows, closes, volumes = columns
        candle, state = mains[0], states[0]
        for k in range(first, end):
            candle.completed = 1
            candle.forming_open, candle.forming_high, candle.forming_low = opens[k], highs[k], lows[k]
            candle.forming_volume = volumes[k]
            candle.end_ms = (k + 1) * candle.timeframe_ms
            complete_candle(candle, bars, closes[k])
            update(state, SeriesView(candle, bars), periods[0])
            if (k + 1) % step == 0:
                kept[k // step] = state

    return run


class Copies:
    """Rows for CPython that hold copies of what is put into them, as rows of an array do."""

    def __init__(self, count: int) -> None:
        self.rows = [Every() for _ in range(count)]

    def __setitem__(self, at: int, state: Every) -> None:
        self.rows[at] = deep_copy(state)


@cache
def compiled_run() -> Callable[..., None]:
    """Return the compiled loop."""
    make_known()
    load_shared()
    return make_loop(make_run(make_part(update_every)), compiled_digest())  # type: ignore[arg-type]


class Fold:
    """A fold of every indicator over candles that can be continued; `ring` is the length of the history."""

    def __init__(self, compiled: bool, ring: int = 512, periods: Periods | None = None) -> None:
        self.compiled, self.periods = compiled, periods or Periods()
        mains = [Series(timeframe_ms=5 * MINUTE_MS, base_ms=5 * MINUTE_MS)]
        bars, states = [Bar() for _ in range(ring)], [Every()]
        self.mains: Any = records_of(mains) if compiled else mains
        self.bars: Any = records_of(bars) if compiled else bars
        self.states: Any = records_of(states) if compiled else states

    def run(self, candles: Candles, first: int = 0, end: int | None = None, step: int = 1) -> Array:
        """Return the state after each `step`-th candle as rows of a structured array."""
        end = len(candles.close) if end is None else end
        columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        if self.compiled:
            kept = np.repeat(records_of([Every()]), end // step)
            periods = records_of([self.periods])
            compiled_run()(self.mains, self.bars, columns, first, end, self.states, periods, kept, step)
            return kept
        copies = Copies(end // step)
        lists = tuple(column.tolist() for column in columns)
        plain = make_run(update_every)
        plain(self.mains, self.bars, lists, first, end, self.states, [self.periods], copies, step)
        return records_of(copies.rows)


@cache
def candles_of(name: str, skip: int = 0, count: int = 1_500) -> Candles:
    """Return recorded candles of a file."""
    facts = file_tape([name]).arrays()
    part = slice(skip, skip + count)
    return Candles(
        *(np.array(column[part]) for column in (facts.open, facts.high, facts.low, facts.close, facts.volume))
    )
