"""The state of every indicator: small Structs of numbers, to be held in a strategy's own `State`.

All of them begin alike. `row` is the newest candle that was folded and `first` the one it began with, both counted as
the series counts them; `window` is the number of candles it looks back; `ready` is 1 once every result is defined, and
0 before. Results are 0 until then.
"""

from __future__ import annotations

from msgspec import Struct, field

from papertape.engine.kernel.writes import ease_writes

HISTORY_BARS_MIN = 512
HISTORY_BARS_MAX = 4_096
"""The length of a series' history, which bounds every window: a power of two, so that a row is found with one `&`."""


class Sma(Struct, array_like=True):
    """Simple moving average of the close: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    total: float = 0.0
    fresh: float = 0.0
    turn: int = 0


class Ema(Struct, array_like=True):
    """Exponential moving average of the close: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    seed: float = 0.0


class Wma(Struct, array_like=True):
    """Linearly weighted moving average of the close, the newest one weighing most: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    total: float = 0.0
    weighted: float = 0.0
    fresh_total: float = 0.0
    fresh_weighted: float = 0.0
    turn: int = 0


class Macd(Struct, array_like=True):
    """Moving average convergence and divergence: `value`, its average `signal`, and the `histogram` between them."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    signal: float = 0.0
    histogram: float = 0.0
    fast_period: int = 0
    slow_period: int = 0
    fast: float = 0.0
    slow: float = 0.0
    seed: float = 0.0


class Rsi(Struct, array_like=True):
    """Wilder's relative strength index, 0 to 100: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    average_gain: float = 0.0
    average_loss: float = 0.0


class Atr(Struct, array_like=True):
    """Wilder's average true range: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    total: float = 0.0


class Adx(Struct, array_like=True):
    """Wilder's directional movement: the index `value`, and the indicators `plus_di` and `minus_di`, ready before it.

    `di_ready` is 1 once the two indicators are defined.
    """

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    plus_di: float = 0.0
    minus_di: float = 0.0
    di_ready: int = 0
    plus_sum: float = 0.0
    minus_sum: float = 0.0
    range_sum: float = 0.0
    dx_sum: float = 0.0


class StandardDeviation(Struct, array_like=True):
    """Standard deviation of the close over the whole window: `value`, around the `mean`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    mean: float = 0.0
    origin: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    squares_max: float = 0.0
    fresh_origin: float = 0.0
    fresh_total: float = 0.0
    fresh_squares: float = 0.0
    turn: int = 0


class Bollinger(Struct, array_like=True):
    """Bollinger's bands: `middle`, `upper` and `lower`."""

    ready: int = 0
    middle: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    deviation: StandardDeviation = field(default_factory=StandardDeviation)


class ZScore(Struct, array_like=True):
    """How many standard deviations the close lies above its mean: `value`."""

    ready: int = 0
    value: float = 0.0
    deviation: StandardDeviation = field(default_factory=StandardDeviation)


class Slope(Struct, array_like=True):
    """Slope of the regression line through the closes, in USDT a candle: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    origin: float = 0.0
    total: float = 0.0
    weighted: float = 0.0
    fresh_origin: float = 0.0
    fresh_total: float = 0.0
    fresh_weighted: float = 0.0
    turn: int = 0


class Keltner(Struct, array_like=True):
    """Keltner's channel: `middle`, `upper` and `lower`."""

    ready: int = 0
    middle: float = 0.0
    upper: float = 0.0
    lower: float = 0.0
    ema: Ema = field(default_factory=Ema)
    atr: Atr = field(default_factory=Atr)


class Supertrend(Struct, array_like=True):
    """Supertrend: `side` is 1 in a rising and -1 in a falling trend, `value` the line that would end it."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    side: int = 0
    upper: float = 0.0
    lower: float = 0.0
    atr: Atr = field(default_factory=Atr)


class Extremes(Struct, array_like=True):
    """The highest high and the lowest low of a window, and the rows where they are."""

    highest: float = 0.0
    highest_row: int = 0
    lowest: float = 0.0
    lowest_row: int = 0


class Donchian(Struct, array_like=True):
    """Donchian's channel: `upper`, `middle` and `lower`, and the channel before this candle: what a breakout breaks."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    upper: float = 0.0
    middle: float = 0.0
    lower: float = 0.0
    previous_upper: float = 0.0
    previous_lower: float = 0.0
    extremes: Extremes = field(default_factory=Extremes)


class StochasticLine(Struct, array_like=True):
    """The smoothed %K of one candle: a mean of raw values, whose ranges are tracked where they enter and leave it."""

    value: float = 0.0
    total: float = 0.0
    fresh: float = 0.0
    turn: int = 0
    entering: Extremes = field(default_factory=Extremes)
    leaving: Extremes = field(default_factory=Extremes)


class Stochastic(Struct, array_like=True):
    """Slow stochastic, 0 to 100: `k` and its average `d`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    k: float = 0.0
    d: float = 0.0
    period: int = 0
    smooth_k: int = 0
    total: float = 0.0
    fresh: float = 0.0
    turn: int = 0
    line: StochasticLine = field(default_factory=StochasticLine)
    delayed: StochasticLine = field(default_factory=StochasticLine)


class Cci(Struct, array_like=True):
    """Commodity channel index: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0


class PercentRank(Struct, array_like=True):
    """Share of the closes before this one that are not above it, 0 to 100: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0


class Percentile(Struct, array_like=True):
    """Percentile of the closes by nearest rank, so always one of them: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    pivot: float = 0.0
    below: int = 0
    equal: int = 0


class Mfi(Struct, array_like=True):
    """Money flow index, 0 to 100: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    rising: float = 0.0
    falling: float = 0.0
    fresh_rising: float = 0.0
    fresh_falling: float = 0.0
    turn: int = 0


class Obv(Struct, array_like=True):
    """On-balance volume since the series began: `value`."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0


class VolumeAverage(Struct, array_like=True):
    """Mean volume: `value`; `traded` counts the candles with volume."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    volume_sum: float = 0.0
    traded: int = 0


class Vwap(Struct, array_like=True):
    """Volume-weighted mean price of a window: `value`; `traded` counts the candles with volume."""

    row: int = -1
    first: int = 0
    window: int = 0
    ready: int = 0
    value: float = 0.0
    turnover_sum: float = 0.0
    volume_sum: float = 0.0
    traded: int = 0


class SessionVwap(Struct, array_like=True):
    """Volume-weighted mean price since the session began: `value`."""

    row: int = -1
    ready: int = 0
    value: float = 0.0
    session_ms: int = 0
    end_ms: int = -1
    turnover_sum: float = 0.0
    volume_sum: float = 0.0


class HeikinAshi(Struct, array_like=True):
    """The newest candle as Heikin-Ashi: `open`, `high`, `low` and `close`."""

    row: int = -1
    ready: int = 0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0


class Cross(Struct, array_like=True):
    """Crossing of two values: `value` is 1 if the first rose above the second, -1 if it fell below, else 0."""

    row: int = -1
    ready: int = 0
    value: int = 0
    difference: float = 0.0


class BarsSince(Struct, array_like=True):
    """Candles since a condition last held: `value` is 0 if it holds now; ready once it has held."""

    row: int = -1
    ready: int = 0
    value: int = 0


ease_writes(vars())
