"""`papertape positions`: open positions, pending orders, kill switches, pauses and problems of the market."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace
from rich.text import Text

from papertape.cli.kept_views import kept_views
from papertape.cli.log_reader import fold_log
from papertape.cli.render.console import (
    BAD,
    DOUBT,
    GOOD,
    NOTHING,
    SIDES,
    Column,
    emit,
    fields_of,
    gain_cell,
    notes,
    percent_cell,
    plain,
    print_table,
    signed_cell,
    stdout,
)
from papertape.events.facts import GLOBAL_SCOPE, Action
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.pending_orders import OrderView
from papertape.projections.folds.portfolio import Portfolio, PortfolioView, PositionView
from papertape.projections.text.formats import duration, gain, money, percent, price, quantity, utc
from papertape.projections.text.order_words import expiry_words
from papertape.projections.text.reasons import reason_words
from papertape.projections.watchdog.checks import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from papertape.cli.log_reader import OpenedLog
    from papertape.events.facts import ContractListed

Listed = dict[str, "ContractListed"]
ORDER_VERBS: dict[Action, str] = {
    "entry": "open",
    "exit": "close",
    "add": "add to",
    "reduce": "reduce",
    "target": "reduce",
}


def show_positions(reader: OpenedLog, *, as_json: bool) -> None:
    """Show the positions at the head of the log."""
    with kept_views(reader) as views:
        if views is not None:
            portfolio, contracts = views.portfolio, views.contracts
        else:
            portfolio, contracts = Portfolio(), Contracts()
            fold_log(reader, [portfolio, contracts])
        view = portfolio.view()
    if as_json:
        emit(fields_of(view))
        return
    console = stdout()
    at = (
        f"at {utc(view.at_ms)} UTC, seq {view.seq:,}" if view.at_ms else f"at seq {view.seq:,}, before the first candle"
    )
    show_standing(console, view, contracts.by_symbol, at)
    day = f", {gain(view.day_result_usdt)} on {utc(view.at_ms)[:10]}" if view.at_ms else ""
    total = f"{money(view.equity_usdt)} USDT equity of {money(view.capital_usdt)}{day}"
    notes(console, [total if view.accounts else ""])


def show_standing(console: Console, view: PortfolioView, contracts: Listed, at: str) -> None:
    """Show a view's positions, pending orders and kill switches."""
    _positions(console, view, contracts, at)
    _orders(console, view, contracts)
    _switches(console, view)
    others = tuple(one for one in view.anomalies if one.kind != AnomalyKind.STRATEGY_FAILED)
    for line in market_lines(replace(view, anomalies=others)):
        console.print(line)


def _positions(console: Console, view: PortfolioView, contracts: Listed, at: str) -> None:
    if view.positions:
        notes(console, [print_table(position_columns(view.positions, contracts), console, f"Open positions {at}")])
        return
    count = len(view.accounts)
    none = f"none of the {count} strategies has one" if count else "no strategy is configured in this log"
    console.print(Text(f"No open positions {at}: {none}."))


def position_columns(positions: Sequence[PositionView], contracts: Listed) -> list[Column]:
    """Return all columns; the rank decides which stay on a narrow terminal."""
    return [
        Column("strategy", plain(p.strategy for p in positions), justify="left"),
        Column("symbol", plain(p.symbol for p in positions), justify="left"),
        Column("side", plain(SIDES[p.side] for p in positions), justify="left"),
        Column("quantity", plain(quantity(p.quantity_base, p.symbol, contracts) for p in positions), rank=3),
        Column("entry", plain(price(p.entry_price_usdt, p.symbol, contracts) for p in positions), rank=1),
        Column("mark", plain(price(p.mark_price_usdt, p.symbol, contracts) for p in positions)),
        Column("open USDT", [gain_cell(p.unrealised_usdt) for p in positions]),
        Column("open %", [percent_cell(p.unrealised_percent) for p in positions], rank=6),
        Column("R", [signed_cell(p.unrealised_r, "+.2f") for p in positions], rank=2),
        Column("stop", [_stop(p, contracts) for p in positions], rank=2),
        Column("target", [_targets(p, contracts) for p in positions], rank=2),
        *_part_columns(positions),
        Column("liquidation", [_price(p.liquidation_price_usdt, p.symbol, contracts) for p in positions], rank=7),
        Column("notional", plain(money(p.notional_usdt) for p in positions), rank=5),
        Column("margin", plain(money(p.margin_usdt) for p in positions), rank=8),
        Column("funding", [gain_cell(p.funding_usdt) for p in positions], rank=9),
        Column("age", plain(duration(p.age_ms) for p in positions), rank=4),
        Column("seq", plain(f"{p.opened_seq:,}" for p in positions), rank=6),
    ]


def _part_columns(positions: Sequence[PositionView]) -> list[Column]:
    """Return what only positions with adds or with closed parts have."""
    columns = []
    if any(position.units != 1.0 for position in positions):
        columns.append(Column("units", plain(f"{p.units:g}" for p in positions), rank=4))
    if any(position.parts for position in positions):
        realised = [gain_cell(p.realised_usdt) if p.parts else NOTHING for p in positions]
        columns.append(Column("realised", realised, rank=3))
    return columns


def _stop(position: PositionView, contracts: Listed) -> Text:
    """Return the stop, and what tightened it unless that was the strategy."""
    at = _price(position.stop_price_usdt, position.symbol, contracts)
    match position.stop_kind:
        case "stop":
            return at
        case "trailing_stop":
            return Text(f"{at.plain} trailing")
        case "breakeven_stop":
            return Text(f"{at.plain} break-even")
        case _:
            assert_never(position.stop_kind)


def _targets(position: PositionView, contracts: Listed) -> Text:
    """Return the nearest target, and how many more rest behind it."""
    nearest, more = _price(position.target_price_usdt, position.symbol, contracts), len(position.targets) - 1
    return Text(f"{nearest.plain} +{more}") if more > 0 else nearest


def _price(value: float, symbol: str, contracts: Listed) -> Text:
    return Text(price(value, symbol, contracts)) if value else NOTHING


def _orders(console: Console, view: PortfolioView, contracts: Listed) -> None:
    if view.orders:
        notes(console, [print_table(_order_columns(view.orders, contracts), console, "Pending orders")])
    else:
        console.print("No pending orders.")


def _order_columns(orders: Sequence[OrderView], contracts: Listed) -> list[Column]:
    return [
        Column("placed UTC", plain(utc(o.placed_at_ms) for o in orders), rank=2, justify="left"),
        Column("strategy", plain(o.strategy for o in orders), justify="left"),
        Column("symbol", plain(o.symbol for o in orders), justify="left"),
        Column("order", plain(f"{ORDER_VERBS[o.action]} {SIDES[o.side]}" for o in orders), justify="left"),
        Column("quantity", [_order_size(o, contracts) for o in orders]),
        Column("at", [_order_price(o, contracts) for o in orders], rank=1, justify="left"),
        Column("score", [Text(f"{o.score:.2f}") if o.score else NOTHING for o in orders], rank=3),
        Column("why", plain(reason_words(o.reason) for o in orders), rank=1, justify="left"),
        Column("seq", plain(f"{o.seq:,}" for o in orders), rank=4),
    ]


def _order_size(order: OrderView, contracts: Listed) -> Text:
    """Return the quantity of an order; that of a reduction is known at its fill only."""
    if order.action == "reduce":
        return Text(percent(order.reduce_fraction * 100.0))
    return Text(quantity(order.quantity_base, order.symbol, contracts))


def _order_price(order: OrderView, contracts: Listed) -> Text:
    """Return where an order is filled: at the next open, about at its planned price, or at the price where it rests."""
    if order.is_resting:
        at = price(order.price_usdt, order.symbol, contracts)
        return Text(f"{order.kind} {at}{expiry_words(order.expires_at_ms)}")
    planned = order.planned_price_usdt
    return Text(f"next open, about {price(planned, order.symbol, contracts)}" if planned else "next open")


def market_lines(view: PortfolioView) -> list[Text]:
    """Return a line for a lost feed, for each symbol that is not tradable, and for each anomaly."""
    feed = view.feed
    lines = []
    if feed is not None and not feed.delivers:
        lines.append(Text(f"▲ feed {feed.name} lost since {utc(feed.since_ms)} UTC: {feed.why}", style=BAD))
    for symbol in view.suspended:
        text = f"▲ {symbol.symbol} not tradable since {utc(symbol.since_ms)} UTC: {symbol.why}"
        lines.append(Text(text, style=DOUBT))
    for one in view.anomalies:
        text = f"▲ {reason_words(one.kind)} since {utc(one.since_ms)} UTC, {one.subject}: {one.detail}"
        lines.append(Text(text, style=DOUBT))
    return lines


def _switches(console: Console, view: PortfolioView) -> None:
    """Show tripped kill switches and pauses."""
    for trip in view.trips:
        scope = "ALL STRATEGIES" if trip.scope == GLOBAL_SCOPE else trip.scope
        since = f"since {utc(trip.tripped_at_ms)} UTC, trip {trip.trip_seq:,}"
        console.print(Text(f"■ {scope} stopped {since}: {trip.why}", style=BAD))
    for account in view.accounts:
        if account.state == "parked":
            console.print(Text(f"⚠ {account.strategy} is parked: {account.why}", style=BAD))
    paused = [account for account in view.accounts if account.state == "paused"]
    for account in paused:
        console.print(Text(f"‖ {account.strategy} {account.why}", style=DOUBT))
    if all(account.state == "active" for account in view.accounts) and view.accounts and not view.trips:
        console.print(Text("● No kill switch is tripped and nothing is paused.", style=GOOD))
