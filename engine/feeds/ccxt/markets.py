"""Contracts from ccxt's markets: symbols, tick, lot, minimum, fees and margin, in coins and in the quote currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct

from papertape.engine.feeds.files.derived_contract import MAINTENANCE_TIERS
from papertape.engine.feeds.live.exchange import FEE_FRACTION_MAX, NORMAL, STEP_PARTS_MAX, ContractBody, ContractList

QUOTES: Final = ("USDT", "USDC")
"""The second is used only if an exchange has no perpetuals margined in the first."""
FAULT_CHARS_MAX: Final = 60


class Units(Struct, frozen=True):
    """Whether an exchange counts candle volumes and open interest in contracts, rather than in coins."""

    volume_in_contracts: bool
    open_interest_in_contracts: bool


UNITS: Final[Mapping[str, Units]] = {
    "okx": Units(volume_in_contracts=False, open_interest_in_contracts=True),
    "okxus": Units(volume_in_contracts=False, open_interest_in_contracts=True),
    "htx": Units(volume_in_contracts=False, open_interest_in_contracts=True),
    "gate": Units(volume_in_contracts=True, open_interest_in_contracts=True),
    "kucoin": Units(volume_in_contracts=True, open_interest_in_contracts=True),
    "kucoinfutures": Units(volume_in_contracts=True, open_interest_in_contracts=True),
    "mexc": Units(volume_in_contracts=True, open_interest_in_contracts=True),
}
"""ccxt passes these numbers on as the exchange writes them. On exchanges not listed, a contract must be one coin."""


class Market(Struct, frozen=True):
    """One perpetual: its name in ccxt, and the coins of one contract (None if that cannot be read)."""

    name: str
    coins: float | None


class Markets(Struct, frozen=True):
    """The perpetuals of an exchange: by symbol, their contracts, and the quote currency that all of them have."""

    by_symbol: dict[str, Market]
    contracts: ContractList
    leverage_max: dict[str, float]
    quote: str


def read_markets(exchange_id: str, markets: Iterable[Any]) -> Markets:
    """Read ccxt's list of markets. A market that cannot be read affects only its own symbol."""
    linear = [one for one in markets if isinstance(one, dict) and one.get("swap") and one.get("linear")]
    settled = {one.get("settle") for one in linear}
    quote = next((one for one in QUOTES if one in settled), QUOTES[0])
    read = Markets({}, ContractList({}, {}), {}, quote)
    for market in linear:
        if market.get("settle") != quote or market.get("quote") != quote or not market.get("base"):
            continue
        symbol = symbol_of(market)
        body = _contract(exchange_id, symbol, market)
        if isinstance(body, str):
            read.contracts.unreadable.setdefault(symbol, body)
        else:
            read.contracts.readable.setdefault(symbol, body)
        coins = _step(market.get("contractSize"))
        read.by_symbol.setdefault(symbol, Market(market["symbol"], None if coins is None else float(coins)))
        leverage = _step(_within(market, "limits", "leverage", "max"))
        if leverage is not None:
            read.leverage_max.setdefault(symbol, float(leverage))
    return read


def symbol_of(market: Mapping[str, Any]) -> str:
    """Return our name for a market: BTCUSDT for BTC/USDT:USDT, in capitals as everywhere."""
    return f"{market['base']}{market['quote']}".upper()


def _contract(exchange_id: str, symbol: str, market: Mapping[str, Any]) -> ContractBody | str:
    """Return the contract, or which of its fields cannot be read."""
    coins, tick = _step(market.get("contractSize")), _step(_within(market, "precision", "price"))
    lot = _step(_within(market, "precision", "amount"))
    if coins is None:
        return _fault("contractSize", market.get("contractSize"))
    if coins != 1 and exchange_id not in UNITS:
        return f"contractSize {coins}: unknown whether its volumes are in coins or in contracts"
    if tick is None:
        return _fault("precision.price", _within(market, "precision", "price"))
    if lot is None:
        return _fault("precision.amount", _within(market, "precision", "amount"))
    # The smallest order may be several lots; taken as the lot, it is never undercut.
    lot = max(lot, _step(_within(market, "limits", "amount", "min")) or lot) * coins
    steps = [one.as_integer_ratio() for one in (tick, lot)]
    if max(max(ratio) for ratio in steps) > STEP_PARTS_MAX:
        return _fault("precision", market.get("precision"))
    minimum = _step(_within(market, "limits", "cost", "min"))
    status = "not open for trading" if market.get("active") is False else NORMAL
    fees = _fee(market.get("maker")), _fee(market.get("taker"))
    return ContractBody(symbol, *steps[0], *steps[1], float(minimum or 0), *fees, status)


def _within(market: Mapping[str, Any], *path: str) -> Any:
    value: Any = market
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _step(value: Any) -> Decimal | None:
    """Return a positive number exactly as it is written."""
    try:
        step = Decimal(str(value))
    except InvalidOperation:
        return None
    return step if step.is_finite() and step > 0 else None


def _fault(name: str, value: object) -> str:
    return f"{name} {'missing' if value is None else repr(value)[:FAULT_CHARS_MAX]}"


def _fee(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) <= FEE_FRACTION_MAX else None


def read_tiers(rows: Any) -> tuple[tuple[float, float], ...] | None:
    """Return (lowest notional, maintenance margin as a fraction) of every tier; None unless all of them are valid."""
    tiers: list[tuple[float, float]] = []
    for row in rows if isinstance(rows, list) else ():
        low, rate = _within(row, "minNotional"), _within(row, "maintenanceMarginRate")
        if not isinstance(low, int | float) or not isinstance(rate, int | float) or not 0.0 < rate < 1.0:
            return None
        tiers.append((float(low), float(rate)))
    tiers.sort()
    rising = all(low < high and before <= after for (low, before), (high, after) in pairwise(tiers))
    return tuple(tiers) if tiers and tiers[0][0] == 0.0 and rising else None


def assumed_tiers(leverage_max: float | None) -> tuple[tuple[float, float], ...]:
    """Return one tier with half of the initial margin at the maximum leverage, or 1 % if that is unknown too."""
    return MAINTENANCE_TIERS if leverage_max is None or leverage_max < 1.0 else ((0.0, 0.5 / leverage_max),)
