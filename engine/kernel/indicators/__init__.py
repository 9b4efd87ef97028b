"""Indicators for strategies, each a small Struct with a fold over one series."""

from papertape.engine.kernel.indicators.averages import update_ema, update_macd, update_sma, update_wma
from papertape.engine.kernel.indicators.dispersion import (
    update_bollinger,
    update_slope,
    update_standard_deviation,
    update_z_score,
)
from papertape.engine.kernel.indicators.ranges import roll_highest, roll_lowest, update_donchian, update_stochastic
from papertape.engine.kernel.indicators.ranks import typical_price, update_cci, update_percent_rank, update_percentile
from papertape.engine.kernel.indicators.signs import update_bars_since, update_cross, update_heikin_ashi
from papertape.engine.kernel.indicators.structs import (
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
)
from papertape.engine.kernel.indicators.volume import (
    is_volume_spike,
    update_mfi,
    update_obv,
    update_session_vwap,
    update_volume_average,
    update_vwap,
)
from papertape.engine.kernel.indicators.wilder import (
    true_range,
    update_adx,
    update_atr,
    update_keltner,
    update_rsi,
    update_supertrend,
)

__all__ = [
    "Adx",
    "Atr",
    "BarsSince",
    "Bollinger",
    "Cci",
    "Cross",
    "Donchian",
    "Ema",
    "HeikinAshi",
    "Keltner",
    "Macd",
    "Mfi",
    "Obv",
    "PercentRank",
    "Percentile",
    "Rsi",
    "SessionVwap",
    "Slope",
    "Sma",
    "StandardDeviation",
    "Stochastic",
    "Supertrend",
    "VolumeAverage",
    "Vwap",
    "Wma",
    "ZScore",
    "is_volume_spike",
    "roll_highest",
    "roll_lowest",
    "true_range",
    "typical_price",
    "update_adx",
    "update_atr",
    "update_bars_since",
    "update_bollinger",
    "update_cci",
    "update_cross",
    "update_donchian",
    "update_ema",
    "update_heikin_ashi",
    "update_keltner",
    "update_macd",
    "update_mfi",
    "update_obv",
    "update_percent_rank",
    "update_percentile",
    "update_rsi",
    "update_session_vwap",
    "update_slope",
    "update_sma",
    "update_standard_deviation",
    "update_stochastic",
    "update_supertrend",
    "update_volume_average",
    "update_vwap",
    "update_wma",
    "update_z_score",
]

RSI_READY_ROW = 14
ATR_READY_ROW = 14
DI_READY_ROW = 14
ADX_READY_ROW = 27
VWAP_READY_ROW = 287
VOLUME_READY_ROW = 19
