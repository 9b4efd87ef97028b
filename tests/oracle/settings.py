"""Names and default values of all parameters (strategies.md sections 5 to 9, model sections 1 to 12)."""

from __future__ import annotations

STRATEGIES = ("vwap_rsi", "momentum", "funding", "liquidation")
MINUTE = 60_000
TIMEFRAME = {"vwap_rsi": 5 * MINUTE, "momentum": 5 * MINUTE, "funding": 15 * MINUTE, "liquidation": 5 * MINUTE}
FILTER = 15 * MINUTE

RISK: dict[str, float] = {
    "capital_usdt": 10_000.0,
    "leverage": 3.0,
    "maker_fee_percent": 0.02,
    "taker_fee_percent": 0.06,
    "slippage_percent": 0.05,
    "high_volatility_multiplier": 2.0,
    "max_risk_per_trade_percent": 2.0,
    "free_margin_percent": 20.0,
    "max_concurrent_positions": 3,
    "liquidation_distance_min": 1.5,
    "maintenance_margin_percent": 1.0,
    "max_cost_to_stop": 0.0,
    "max_session_loss_percent": 5.0,
    "max_daily_loss_percent": 10.0,
    "max_same_direction": 2,
}
SHARED: dict[str, float] = {"global_max_loss_percent": 45.0, "global_window_hours": 24, "gap_reset_minutes": 240}

PARAMETERS: dict[str, dict[str, float]] = {
    "vwap_rsi": {
        "trend_adx_threshold": 25.0,
        "rsi_long_threshold": 30.0,
        "rsi_short_threshold": 70.0,
        "vwap_deviation_entry": 0.3,
        "volume_spike_multiplier": 2.0,
        "tp_percent": 0.8,
        "sl_percent": 0.3,
    },
    "momentum": {
        "trend_adx_threshold": 25.0,
        "exit_adx_threshold": 20.0,
        "breakout_lookback": 20,
        "volume_confirmation_multiplier": 2.0,
        "atr_multiplier_tp": 2.0,
        "atr_multiplier_sl": 1.0,
        "tp_percent": 0.6,
        "sl_percent": 0.3,
    },
    "funding": {
        "extreme_negative_threshold": -0.03,
        "extreme_positive_threshold": 0.03,
        "entry_delay_minutes": 5,
        "exit_threshold": 0.01,
        "tp_percent": 0.4,
        "sl_percent": 0.2,
    },
    "liquidation": {
        "oi_window_minutes": 60,
        "anchor_halflife_minutes": 240,
        "leverage_estimate": 50.0,
        "oi_change_threshold": 1.5,
        "zone_buffer_percent": 0.5,
        "oi_exit_threshold": 3.0,
        "tp_percent": 0.8,
        "sl_percent": 0.4,
    },
}


def strategy_settings(strategy: str, given: dict[str, float]) -> dict[str, float]:
    """Defaults, then `risk.NAME` (all strategies), then `STRATEGY.NAME`."""
    values = {**RISK, **PARAMETERS[strategy]}
    for scope in ("risk", strategy):
        for name, value in given.items():
            head, _, tail = name.partition(".")
            if head == scope and tail in values:
                values[tail] = value
    return values


def shared_settings(given: dict[str, float]) -> dict[str, float]:
    """The settings of the whole run: the global kill switch and the hole reset (`risk.NAME`, or bare `NAME`)."""
    values = dict(SHARED)
    for name, value in given.items():
        tail = name.removeprefix("risk.")
        if tail in values:
            values[tail] = value
    return values


def refuse_unknown(given: dict[str, float]) -> None:
    """A name that nothing reads is an error, so that a misspelt test cannot pass by accident."""
    for name in given:
        head, _, tail = name.partition(".")
        known_shared = name.removeprefix("risk.") in SHARED
        known_risk = head == "risk" and tail in RISK
        known_own = head in PARAMETERS and (tail in RISK or tail in PARAMETERS[head])
        if not (known_shared or known_risk or known_own):
            raise ValueError(f"unknown setting {name}")
