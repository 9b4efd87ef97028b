"""Fills in words: how a position was opened, enlarged, reduced and closed, and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import Liquidated
from papertape.projections.text.formats import duration, gain, gain_percent, money, price, quantity, signed
from papertape.projections.text.order_words import opened_words, targets_words
from papertape.projections.text.reasons import reason_words, uncertain_fills

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.facts import (
        Closing,
        ContractListed,
        PositionIncreased,
        PositionOpened,
        PositionReduced,
    )


def opening_words(event: PositionOpened, contracts: Mapping[str, ContractListed]) -> str:
    """Say what was opened, at which price, with which stop and targets."""
    size = quantity(event.quantity_base, event.symbol, contracts)
    at, stop = (price(p, event.symbol, contracts) for p in (event.price_usdt, event.stop_price_usdt))
    notional, how = money(event.quantity_base * event.price_usdt), opened_words(event.kind)
    targets = targets_words(event.targets, event.symbol, contracts)
    plan = f"stop {stop}{f', {targets}' if targets else ''}"
    return f"opened {size} at {at}{how} ({notional} USDT), {plan}, fee {money(event.fee_usdt)}"


def increase_words(event: PositionIncreased, contracts: Mapping[str, ContractListed]) -> str:
    """Say what was added, and what the position is now."""
    size, total = (quantity(q, event.symbol, contracts) for q in (event.quantity_base, event.position_base))
    at, average = (price(p, event.symbol, contracts) for p in (event.price_usdt, event.entry_price_usdt))
    now = f"now {total} at an average of {average}, fee {money(event.fee_usdt)}"
    return f"added {size} at {at}{opened_words(event.kind)}, {now}"


def reduction_words(event: PositionReduced, contracts: Mapping[str, ContractListed]) -> str:
    """Say which part was closed, why, with which result, and what is still open."""
    size, rest = (quantity(q, event.symbol, contracts) for q in (event.quantity_base, event.position_base))
    at = price(event.price_usdt, event.symbol, contracts)
    return f"closed {size} at {at}: {reason_words(event.reason)}, {gain(event.net_usdt)} USDT, {rest} still open"


def closing_words(event: Closing, contracts: Mapping[str, ContractListed]) -> str:
    """Say how a trade ended, and its result."""
    at = price(event.part_price_usdt, event.symbol, contracts)
    how = (
        f"was liquidated at {at}" if isinstance(event, Liquidated) else f"closed at {at}: {reason_words(event.reason)}"
    )
    entry = event.quantity_base * event.entry_price_usdt
    share = gain_percent(event.net_usdt / entry * 100.0) if entry > 0.0 else "0 %"
    parts = f" in {event.parts} parts" if event.parts > 1 else ""
    holding_time = duration(event.at_ms - event.entry_time_ms)
    result = f"{gain(event.net_usdt)} USDT{parts} ({share}, {signed(event.r_multiple)} R) after {holding_time}"
    doubt = uncertain_fills(event.parts, event.entry_time_ms, event.at_ms) if event.ambiguous else ""
    return f"{how}, {result}{f', {doubt} in one candle' if doubt else ''}"
