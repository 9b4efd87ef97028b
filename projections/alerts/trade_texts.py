"""The texts of alerts about positions and trades: fills, results, funding."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.projections.alerts.lines import (
    ENTRY,
    FUNDING,
    LIQUIDATED,
    LOST,
    PART,
    WON,
    costs_text,
    position_label,
)
from papertape.projections.alerts.markup import code, text
from papertape.projections.alerts.texts import Stamp, stamped
from papertape.projections.folds.ledger import direction
from papertape.projections.text.formats import (
    duration,
    gain,
    gain_percent,
    money,
    price,
    quantity,
    rate_percent,
    signed,
)
from papertape.projections.text.order_words import opened_words, part_words, score_words, trailing_words
from papertape.projections.text.reasons import reason_words, uncertain_fills

if TYPE_CHECKING:
    from papertape.events.facts import ContractListed, FundingPaid, PositionIncreased, PositionReduced
    from papertape.projections.folds.fills import FillView
    from papertape.projections.folds.pending_orders import OrderView
    from papertape.projections.folds.portfolio import AccountView, PositionView
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.text.event_lines import Contracts

PARTS_NAMED_MAX = 8
TEXTS_KEPT_MAX = 256


class EntryContent(Struct, frozen=True):
    """What the text for an opened position says: the position, the order that was filled, and its contract."""

    stamp: Stamp
    position: PositionView
    order: OrderView | None
    contract: ContractListed | None


class ExitContent(Struct, frozen=True):
    """What the text for a closed position says: the trade, the account afterwards, and the contract."""

    stamp: Stamp
    trade: TradeView
    account: AccountView
    contract: ContractListed | None


@lru_cache(TEXTS_KEPT_MAX)
def write_text(content: EntryContent | ExitContent) -> str:
    """Return the text for an opened or closed position. It is written when somebody reads it: most are never read."""
    contracts = {} if content.contract is None else {content.contract.symbol: content.contract}
    if isinstance(content, EntryContent):
        return entry_text(content.stamp, content.position, content.order, contracts)
    return exit_text(content.stamp, content.trade, content.account, contracts)


def entry_text(stamp: Stamp, position: PositionView, order: OrderView | None, contracts: Contracts) -> str:
    """Return the text for an opened position; `order` is the one that was filled."""
    symbol, entry_usdt = position.symbol, position.entry_price_usdt
    size = quantity(position.quantity_base, symbol, contracts)
    who = position_label(position.strategy, symbol, position.side)
    how = opened_words(position.fills[0].reason) if position.fills else ""
    details = [
        f"opened {code(size)} at {code(price(entry_usdt, symbol, contracts))}{how}",
        *_levels(position, contracts),
        f"notional {text(money(position.quantity_base * entry_usdt))} · margin {text(money(position.margin_usdt))}",
        f"risk {text(money(position.risk_usdt))} · fee {text(money(position.fees_usdt))}",
    ]
    if order is not None:
        details.append(f"reason: {text(reason_words(order.reason))}{score_words(order.score)}")
    return stamped(stamp, f"{ENTRY[position.side]} <b>{who}</b>", details)


def _levels(position: PositionView, contracts: Contracts) -> list[str]:
    """Return the stop, every target and the liquidation price, each with the move to it."""
    trailing = trailing_words(position.trail_fraction, position.trail_after_fraction, position.breakeven_after_fraction)
    levels = [
        ("stop", position.stop_price_usdt, f", {trailing}" if trailing else ""),
        *[("target", target.price_usdt, part_words(target.part)) for target in position.targets],
        ("liquidation", position.liquidation_price_usdt, ""),
    ]
    return [f"{_level(word, value, position, contracts)}{more}" for word, value, more in levels if value > 0.0]


def _level(word: str, at_usdt: float, position: PositionView, contracts: Contracts) -> str:
    """Return a price and the move to it in percent: a loss is negative for both sides."""
    entry_usdt = position.entry_price_usdt
    move = direction(position.side) * (at_usdt - entry_usdt) / entry_usdt * 100.0 if entry_usdt > 0.0 else 0.0
    return f"{word} {code(price(at_usdt, position.symbol, contracts))} ({text(gain_percent(move))})"


def increase_text(stamp: Stamp, event: PositionIncreased, contracts: Contracts) -> str:
    """Return the text for a position that was enlarged."""
    size, total = (code(quantity(one, event.symbol, contracts)) for one in (event.quantity_base, event.position_base))
    at, average = (code(price(one, event.symbol, contracts)) for one in (event.price_usdt, event.entry_price_usdt))
    details = [f"added {size} at {at}{opened_words(event.kind)}", f"now {total} at an average of {average}"]
    return stamped(stamp, f"{PART} <b>{position_label(event.strategy, event.symbol, event.side)}</b>", details)


def reduction_text(stamp: Stamp, event: PositionReduced, contracts: Contracts) -> str:
    """Return the text for a position of which a part was closed."""
    size, rest = (code(quantity(one, event.symbol, contracts)) for one in (event.quantity_base, event.position_base))
    at = code(price(event.price_usdt, event.symbol, contracts))
    who = position_label(event.strategy, event.symbol, event.side)
    details = [f"closed {size} at {at}: {text(reason_words(event.reason))}", f"{rest} still open"]
    return stamped(stamp, f"{PART} <b>{who} {text(gain(event.net_usdt))} USDT</b>", details)


def exit_text(stamp: Stamp, trade: TradeView, account: AccountView, contracts: Contracts) -> str:
    """Return the text for a closed position; `account` is its state afterwards."""
    icon = WON if trade.net_usdt > 0.0 else LOST
    fills = uncertain_fills(trade.parts, trade.entry_time_ms, trade.exit_time_ms)
    doubt = [f"{fills} in the same candle"] if trade.ambiguous else []
    details = [*_exits(trade, contracts), *_result(trade, contracts), *doubt]
    return stamped(stamp, f"{icon} {_trade_head(trade)}", [*details, _account_line(account)])


def liquidation_text(stamp: Stamp, trade: TradeView, account: AccountView, contracts: Contracts) -> str:
    """Return the text for a liquidated position; `account` is its state afterwards."""
    at = price(trade.exit_price_usdt, trade.symbol, contracts)
    details = [f"<b>LIQUIDATED</b> at {code(at)}: entire margin lost", *_result(trade, contracts)]
    return stamped(stamp, f"{LIQUIDATED} {_trade_head(trade)}", [*details, _account_line(account)])


def _exits(trade: TradeView, contracts: Contracts) -> list[str]:
    """Return where a trade was closed, each of several parts on a line of its own."""
    closing = [fill for fill in trade.fills if fill.action in ("reduce", "close")]
    if len(closing) < 2:
        return [_exit(trade.exit_price_usdt, trade.reason, trade.symbol, contracts)]
    shown = closing[-PARTS_NAMED_MAX:]
    more = [f"closed {len(closing) - len(shown)} parts before"] if len(closing) > len(shown) else []
    return [*more, *[_exit_of(fill, contracts) for fill in shown]]


def _exit_of(fill: FillView, contracts: Contracts) -> str:
    size = code(quantity(fill.quantity_base, fill.symbol, contracts))
    at = code(price(fill.price_usdt, fill.symbol, contracts))
    return f"closed {size} at {at}: {text(reason_words(fill.reason))}"


def _exit(price_usdt: float, reason: str, symbol: str, contracts: Contracts) -> str:
    return f"closed at {code(price(price_usdt, symbol, contracts))}: {text(reason_words(reason))}"


def _trade_head(trade: TradeView) -> str:
    return f"<b>{position_label(trade.strategy, trade.symbol, trade.side)} {text(gain(trade.net_usdt))} USDT</b>"


def _result(trade: TradeView, contracts: Contracts) -> list[str]:
    entry = price(trade.entry_price_usdt, trade.symbol, contracts)
    entered_usdt = trade.quantity_base * trade.entry_price_usdt
    share = trade.net_usdt / entered_usdt * 100.0 if entered_usdt > 0.0 else 0.0
    entries = sum(fill.action in ("open", "increase") for fill in trade.fills)
    average = f" on average in {entries} fills" if entries > 1 else ""
    return [
        f"entered at {code(entry)}{average}, held {text(duration(trade.holding_ms))}",
        f"{text(gain_percent(share))} · {text(signed(trade.r_multiple))} R",
        f"gross {text(gain(trade.gross_usdt))} · {costs_text(trade.fees_usdt, trade.funding_usdt)}",
    ]


def _account_line(account: AccountView) -> str:
    return f"account {text(money(account.equity_usdt))} · day {text(gain(account.day_result_usdt))}"


def funding_text(stamp: Stamp, paid: FundingPaid, position: PositionView | None) -> str:
    """Return the text for a funding payment; `position` holds its total so far."""
    who = position_label(paid.strategy, paid.symbol, paid.side)
    notional = money(paid.quantity_base * paid.price_usdt)
    details = [f"funding paid at {text(rate_percent(paid.rate))} on {text(notional)} USDT"]
    if position is not None:
        details.append(f"this position so far: {text(gain(position.funding_usdt))}")
    return stamped(stamp, f"{FUNDING} <b>{who} {text(gain(paid.amount_usdt))} USDT</b>", details)
