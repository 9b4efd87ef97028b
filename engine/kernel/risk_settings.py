"""What an account may risk, as the owner writes it: percents and plain numbers, each with its valid range."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.state import AccountRules, GlobalKillSwitch

Percent = Annotated[float, Meta(ge=0.0, le=100.0, extra={"unit": "%"})]


class RiskSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Capital, costs and limits of one strategy's account."""

    capital_usdt: Annotated[float, Meta(gt=0.0, le=1e12, description="virtual capital", extra={"unit": "USDT"})] = (
        10_000.0
    )
    leverage: Annotated[
        float, Meta(ge=1.0, le=125.0, description="leverage of every position", extra={"unit": "x"})
    ] = 3.0
    maker_fee_percent: Annotated[
        float, Meta(ge=-0.1, le=5.0, description="fee of a resting order", extra={"unit": "%"})
    ] = 0.02
    taker_fee_percent: Annotated[
        float, Meta(ge=0.0, le=5.0, description="fee of a market order", extra={"unit": "%"})
    ] = 0.06
    slippage_percent: Annotated[
        float, Meta(ge=0.0, le=10.0, description="slippage of a market order", extra={"unit": "%"})
    ] = 0.05
    high_volatility_multiplier: Annotated[
        float,
        Meta(ge=1.0, le=20.0, description="slippage is multiplied by this in high volatility", extra={"unit": "x"}),
    ] = 2.0
    max_risk_per_trade_percent: Annotated[
        float, Meta(gt=0.0, le=100.0, description="equity a trade may lose at its stop", extra={"unit": "%"})
    ] = 2.0
    max_concurrent_positions: Annotated[
        int, Meta(ge=1, le=100, description="positions and pending entries at once", extra={"unit": "positions"})
    ] = 3
    max_same_direction: Annotated[
        int, Meta(ge=1, le=100, description="positions of one direction in one group", extra={"unit": "positions"})
    ] = 2
    free_margin_percent: Annotated[
        float, Meta(ge=0.0, lt=100.0, description="equity never tied up as margin", extra={"unit": "%"})
    ] = 20.0
    liquidation_distance_min: Annotated[
        float,
        Meta(ge=1.0, le=100.0, description="liquidation must be this many stop distances away", extra={"unit": "x"}),
    ] = 1.5
    max_cost_to_stop: Annotated[
        float, Meta(ge=0.0, le=10.0, description="costs against the stop's distance; 0 is off", extra={"unit": "ratio"})
    ] = 0.0
    maintenance_margin_percent: Annotated[
        float,
        Meta(gt=0.0, le=50.0, description="maintenance margin where the contract has no tiers", extra={"unit": "%"}),
    ] = 1.0
    max_session_loss_percent: Annotated[
        float,
        Meta(
            gt=0.0,
            le=100.0,
            description="loss since the start or the last reset that stops the strategy",
            extra={"unit": "%"},
        ),
    ] = 5.0
    max_daily_loss_percent: Annotated[
        float, Meta(gt=0.0, le=100.0, description="loss since 00:00 UTC that stops the strategy", extra={"unit": "%"})
    ] = 10.0
    global_max_loss_percent: Annotated[
        float, Meta(gt=0.0, le=100.0, description="fall of the total equity that stops everything", extra={"unit": "%"})
    ] = 45.0
    global_window_hours: Annotated[
        int, Meta(ge=1, le=168, description="the window of the global limit", extra={"unit": "h"})
    ] = 24


def rules_of(risk: RiskSettings) -> AccountRules:
    """The kernel's form: every percent divided by 100 once."""
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
    """The global kill switch over accounts that start with `total_usdt` together."""
    return GlobalKillSwitch(
        max_loss=risk.global_max_loss_percent / 100.0,
        max_loss_percent=risk.global_max_loss_percent,
        hours=risk.global_window_hours + 1,
        total_usdt=total_usdt,
    )
