"""The owner's settings of an account's costs and limits: percents and plain numbers, each with its valid range."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.state import AccountRules, GlobalKillSwitch


class RiskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Capital, costs and limits of one strategy's account."""

    capital_usdt: Annotated[float, positive(1e12, "USDT", "virtual capital")] = 10_000.0
    leverage: Annotated[float, between(1.0, 125.0, "x", "leverage of every position")] = 3.0
    maker_fee_percent: Annotated[float, between(-0.1, 5.0, "%", "fee of a resting order")] = 0.02
    taker_fee_percent: Annotated[float, between(0.0, 5.0, "%", "fee of a market order")] = 0.06
    slippage_percent: Annotated[float, between(0.0, 10.0, "%", "slippage of a market order")] = 0.05
    high_volatility_multiplier: Annotated[
        float, between(1.0, 20.0, "x", "slippage is multiplied by this in high volatility")
    ] = 2.0
    max_risk_per_trade_percent: Annotated[float, positive(100.0, "%", "equity a trade may lose at its stop")] = 2.0
    max_concurrent_positions: Annotated[int, between(1, 100, "positions", "positions and pending entries at once")] = 3
    max_same_direction: Annotated[int, between(1, 100, "positions", "positions of one direction in one group")] = 2
    free_margin_percent: Annotated[
        float, Meta(ge=0.0, lt=100.0, description="equity never tied up as margin", extra={"unit": "%"})
    ] = 20.0
    liquidation_distance_min: Annotated[
        float, between(1.0, 100.0, "x", "liquidation must be this many stop distances away")
    ] = 1.5
    max_cost_to_stop: Annotated[float, between(0.0, 10.0, "ratio", "costs against the stop's distance; 0 is off")] = 0.0
    maintenance_margin_percent: Annotated[
        float, positive(50.0, "%", "maintenance margin where the contract has no tiers")
    ] = 1.0
    max_session_loss_percent: Annotated[
        float, positive(100.0, "%", "loss since the start or the last reset that stops the strategy")
    ] = 5.0
    max_daily_loss_percent: Annotated[float, positive(100.0, "%", "loss since 00:00 UTC that stops the strategy")] = (
        10.0
    )
    global_max_loss_percent: Annotated[
        float, positive(100.0, "%", "fall of the total equity that stops everything")
    ] = 45.0
    global_window_hours: Annotated[int, between(1, 168, "h", "the window of the global limit")] = 24


def rules_of(risk: RiskSettings) -> AccountRules:
    """Return the kernel's form of the settings: every percent divided by 100 once."""
    return AccountRules(
        capital_usdt=risk.capital_usdt,
        leverage=risk.leverage,
        maker_fee=risk.maker_fee_percent / 100.0,
        taker_fee=risk.taker_fee_percent / 100.0,
        slippage=risk.slippage_percent / 100.0,
        high_volatility_multiplier=risk.high_volatility_multiplier,
        risk_per_trade=risk.max_risk_per_trade_percent / 100.0,
        positions_max=risk.max_concurrent_positions,
        same_direction_max=risk.max_same_direction,
        free_margin=risk.free_margin_percent / 100.0,
        liquidation_distance_min=risk.liquidation_distance_min,
        cost_to_stop_max=risk.max_cost_to_stop,
        session_loss=risk.max_session_loss_percent / 100.0,
        daily_loss=risk.max_daily_loss_percent / 100.0,
        session_loss_percent=risk.max_session_loss_percent,
        daily_loss_percent=risk.max_daily_loss_percent,
    )


def guard_of(risk: RiskSettings, total_usdt: float) -> GlobalKillSwitch:
    """Return the global kill switch over accounts that start with `total_usdt` together."""
    return GlobalKillSwitch(
        max_loss=risk.global_max_loss_percent / 100.0,
        max_loss_percent=risk.global_max_loss_percent,
        hours=risk.global_window_hours + 1,
        total_usdt=total_usdt,
    )
