"""Orders and positions in words: what an order does and when, the targets of a position, how its stop trails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from papertape.projections.text.formats import percent, price, quantity, utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.events.facts import Action, ContractListed, OrderKind, OrderPlaced, Side, StopMoved, Target

FULL_PART = 1.0 - 1e-9


class _OfPosition(Protocol):
    """An event that concerns a position or an order for one."""

    @property
    def side(self) -> Side: ...

    @property
    def symbol(self) -> str: ...


def position_name(event: _OfPosition) -> str:
    """Return a position's side and symbol: `LONG BTCUSDT`."""
    return f"{event.side.upper()} {event.symbol}"


def order_words(event: OrderPlaced, contracts: Mapping[str, ContractListed]) -> str:
    """Say what an order does and at which price: `limit order: buy 0.1 at 99.5, expires 2025-01-01 00:10 UTC`."""
    name = order_name(event.action, event.kind, event.rung)
    size = quantity(event.quantity_base, event.symbol, contracts)
    at = f"at {price(event.price_usdt, event.symbol, contracts)}{expiry_words(event.expires_at_ms)}"
    place = "at the next open" if event.kind == "market" else at
    act = "buy" if event.side == "long" else "sell"
    match event.action:
        case "exit" | "target":
            return f"{name}: close {size} {place}"
        case "reduce":
            return f"{name}: close {percent(event.reduce_fraction * 100.0)} of the position {place}"
        case "add":
            return f"{name}: {act} {size} {place}"
        case "entry":
            about = f" (about {price(event.planned_price_usdt, event.symbol, contracts)})"
            return f"{name}: {act} {size}{about if event.kind == 'market' else ''} {place}"
        case _:
            assert_never(event.action)


def order_name(action: Action, kind: OrderKind, rung: int) -> str:
    """Return the name of an order: `order`, `limit order`, `stop order, add 2`."""
    name = "order" if kind == "market" else f"{kind} order"
    return f"{name}, add {rung}" if action == "add" else name


def expiry_words(expires_at_ms: int) -> str:
    """Say when an order expires; nothing for one that never does."""
    return f", expires {utc(expires_at_ms)} UTC" if expires_at_ms else ""


def waiting_words(action: Action, kind: OrderKind, rung: int) -> str:
    """Return the name of an order that waits, by what it does: `entry`, `add 2`, `exit`; `limit entry` if it rests."""
    name = f"add {rung}" if action == "add" else action
    return name if kind == "market" else f"{kind} {name}"


def cancelled_words(action: Action, rung: int) -> str:
    """Return the name of an order that was cancelled: `entry`, `add 2`, `target 1`."""
    match action:
        case "entry" | "exit":
            return action
        case "add" | "target":
            return f"{action} {rung}"
        case "reduce":
            return "reduction"
        case _:
            assert_never(action)


def opened_words(kind: str) -> str:
    """Say by which order a fill came about; nothing for a market order."""
    return "" if kind == "market" else f" by a {kind} order"


def targets_words(targets: Sequence[Target], symbol: str, contracts: Mapping[str, ContractListed]) -> str:
    """Name the targets of a position: `target 102.0`, `targets 102.0 for 50 %, 104.0 for 50 %`; nothing without one."""
    priced = [target for target in targets if target.price_usdt > 0.0]
    if not priced:
        return ""
    shown = [f"{price(target.price_usdt, symbol, contracts)}{part_words(target.part)}" for target in priced]
    return f"{'target' if len(shown) == 1 else 'targets'} {', '.join(shown)}"


def score_words(score: float) -> str:
    """Return a signal's score: `, score 0.75`; nothing for 0, for a strategy need not give one."""
    return f", score {score:.2f}" if score else ""


def part_words(part: float) -> str:
    """Return for how much of a position something is: ` for 50 %`; nothing for the whole."""
    return "" if part >= FULL_PART else f" for {percent(part * 100.0)}"


def stop_moved_words(event: StopMoved, contracts: Mapping[str, ContractListed]) -> str:
    """Say what a strategy did with its stop: `moved the stop from 97.0 to 98.5, trailing by 1 %`."""
    stop = price(event.stop_price_usdt, event.symbol, contracts)
    trailing = trailing_words(event.trail_fraction, event.trail_after_fraction, event.breakeven_after_fraction)
    if event.stop_price_usdt == event.from_price_usdt:
        return f"leaves the stop at {stop}, {trailing or 'no longer trailing'}"
    before = price(event.from_price_usdt, event.symbol, contracts)
    return f"moved the stop from {before} to {stop}{', ' if trailing else ''}{trailing}"


def trailing_words(trail: float, after: float, breakeven_after: float) -> str:
    """Say how a stop follows the price: `trailing by 1 % once 2 % ahead, break-even once 1 % ahead`."""
    shown = []
    if trail > 0.0:
        shown.append(f"trailing by {percent(trail * 100.0)}{_ahead(after)}")
    if breakeven_after > 0.0:
        shown.append(f"break-even{_ahead(breakeven_after)}")
    return ", ".join(shown)


def _ahead(fraction: float) -> str:
    return f" once {percent(fraction * 100.0)} ahead" if fraction > 0.0 else ""
