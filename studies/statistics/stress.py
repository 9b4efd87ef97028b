"""Harder conditions than those a study assumed."""

from __future__ import annotations

from msgspec.structs import replace

from papertape.engine.kernel.risk_settings import RiskSettings

FEES_FACTOR, SLIPPAGE_FACTOR = 1.5, 2.0
FEE_PERCENT_MAX, SLIPPAGE_PERCENT_MAX = 5.0, 10.0
"""The most that RiskSettings accept."""


def with_higher_costs(risk: RiskSettings) -> RiskSettings:
    """Return the settings with fees of one and a half times, rebates smaller by as much, and twice the slippage."""
    return replace(
        risk,
        maker_fee_percent=_higher_fee(risk.maker_fee_percent),
        taker_fee_percent=_higher_fee(risk.taker_fee_percent),
        slippage_percent=min(SLIPPAGE_PERCENT_MAX, risk.slippage_percent * SLIPPAGE_FACTOR),
    )


def _higher_fee(fee_percent: float) -> float:
    """Return a fee that costs more; a negative one is a rebate."""
    return min(FEE_PERCENT_MAX, fee_percent * FEES_FACTOR if fee_percent > 0.0 else fee_percent / FEES_FACTOR)
