"""Answers as HTML, from the view Structs alone: the current state, and the results. Pure.

One idea per line; a table only if columns help, and never wider than a phone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.projections.alerts.lines import (
    FEED_LOST,
    LOST,
    NO_POSITIONS,
    NO_TRIPS,
    STATE_MARKS,
    SUSPENDED,
    WON,
    WRONG,
    closed_text,
    costs_text,
    count_text,
    position_label,
    trip_line,
)
from papertape.projections.alerts.markup import bold, code, footer, message, name, table, text
from papertape.projections.telegram.results import Period, ProfitView, daily, profit, weekly
from papertape.projections.text.formats import (
    day_words,
    duration,
    gain,
    gain_percent,
    money,
    percent,
    price,
    quantity,
    signed,
    utc,
)
from papertape.projections.text.order_words import expiry_words, part_words, waiting_words
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.pending_orders import OrderView
    from papertape.projections.folds.portfolio import AccountView, PortfolioView, PositionView
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.site.views import Views
    from papertape.projections.text.event_lines import Contracts

TABLE_CHARS_MAX: Final = 34
NAME_CHARS: Final = 11
POSITIONS_SHOWN_MAX: Final = 20
STRATEGIES_SHOWN_MAX: Final = 30
WEEKS_SHOWN: Final = 8
SIGNALS_SHOWN_MAX: Final = 30
ON, OFF = "●", "○"
ARROW: Final = "→"


def cut_name(value: str) -> str:
    """Return a name that leaves room for the other columns."""
    return value if len(value) <= NAME_CHARS else f"{value[: NAME_CHARS - 1]}…"


def answer(views: Views, head: str, details: Sequence[str]) -> str:
    """Return a message that ends with the seq and market time of its views."""
    return message(head, details, footer(views.seq, views.at_ms))


# ---------------------------------------------------------------- /status


def status(views: Views, now_ms: int = 0) -> str:
    """Return equity, the day's result, and everything that is not as it should be.

    Only the result of the day that the clock shows is called today's; without `now_ms` none is.
    """
    view = views.portfolio.view()
    delivers = view.feed is not None and view.feed.delivers
    equity, result = text(money(view.equity_usdt)), text(gain(view.day_result_usdt))
    head = f"{ON if delivers else OFF} <b>{equity} USDT, {day_words(views.at_ms, now_ms)} {result}</b>"
    return answer(views, head, [*_totals(view), *feed_lines(view), *_stopped(view), *_wrong(view)])


def _totals(view: PortfolioView) -> list[str]:
    total = view.equity_usdt - view.capital_usdt
    share = total / view.capital_usdt * 100.0 if view.capital_usdt > 0.0 else 0.0
    unrealised = sum(one.unrealised_usdt for one in view.positions)
    active = sum(one.state == "active" for one in view.accounts)
    waiting = [f"pending orders {bold(str(len(view.orders)))}"] if view.orders else []
    return [
        f"since inception {bold(gain(total))} ({text(gain_percent(share))})",
        f"open positions {bold(str(len(view.positions)))}, {text(gain(unrealised))}",
        *waiting,
        f"active strategies {bold(str(active))} of {len(view.accounts)}",
    ]


def feed_lines(view: PortfolioView) -> list[str]:
    """Return the feed's state."""
    if view.feed is None:
        return ["no feed connected yet"]
    if not view.feed.delivers:
        return [
            f"{FEED_LOST} feed {name(view.feed.name)} lost since {text(utc(view.feed.since_ms))}: {text(view.feed.why)}"
        ]
    return [f"feed {name(view.feed.name)} delivering"]


def _stopped(view: PortfolioView) -> list[str]:
    held = [one for one in view.accounts if one.state in ("parked", "paused")]
    paused = [f"{STATE_MARKS[one.state]} {name(one.strategy)}: {text(one.why)}" for one in held]
    stopped = [*map(trip_line, view.trips), *paused][:STRATEGIES_SHOWN_MAX]
    return ["", *stopped] if stopped else []


def _wrong(view: PortfolioView) -> list[str]:
    lines = [f"{SUSPENDED} {name(one.symbol)}: {text(one.why)}" for one in view.suspended]
    lines += [f"{WRONG} {name(reason_words(one.kind))} · {name(one.subject)}" for one in view.anomalies]
    return ["", *lines[:STRATEGIES_SHOWN_MAX]] if lines else []


# ---------------------------------------------------------------- /positions and /trades


def positions(views: Views) -> str:
    """Return every open position with the ID for /close."""
    held, contracts = views.portfolio.positions(), views.contracts.by_symbol
    unrealised = sum(one.unrealised_usdt for one in held)
    if not held:
        return answer(views, f"<b>{NO_POSITIONS}</b>", _orders(views))
    lines = [line for one in held[:POSITIONS_SHOWN_MAX] for line in _position(one, contracts)]
    more = [f"and {len(held) - POSITIONS_SHOWN_MAX} more"] if len(held) > POSITIONS_SHOWN_MAX else []
    return answer(
        views,
        f"<b>{count_text(len(held), 'open position')}, {text(gain(unrealised))} USDT</b>",
        [*lines, *more, *_orders(views)],
    )


def _position(one: PositionView, contracts: Contracts) -> list[str]:
    levels = [
        (reason_words(one.stop_kind), one.stop_price_usdt, ""),
        *[("target", target.price_usdt, part_words(target.part)) for target in one.targets],
        ("liquidation", one.liquidation_price_usdt, ""),
    ]
    at = [
        f"{text(word)} {code(price(value, one.symbol, contracts))}{more}" for word, value, more in levels if value > 0.0
    ]
    r = "" if one.unrealised_r is None else f" · {text(signed(one.unrealised_r))} R"
    size = code(quantity(one.quantity_base, one.symbol, contracts))
    entry, mark = (code(price(p, one.symbol, contracts)) for p in (one.entry_price_usdt, one.mark_price_usdt))
    return [
        "",
        f"{position_label(one.strategy, one.symbol, one.side)} {bold(gain(one.unrealised_usdt))}",
        f"{text(gain_percent(one.unrealised_percent))}{r} · held {text(duration(one.age_ms))}",
        f"{size} at {entry}, now {mark}",
        *at,
        *_parts(one),
        f"margin {text(money(one.margin_usdt))} · risk {text(money(one.risk_usdt))}",
        costs_text(one.fees_usdt, one.funding_usdt),
        code(f"/close {one.opened_seq}"),
    ]


def _parts(one: PositionView) -> list[str]:
    """Return what a position in parts has grown to and has realised; nothing for one that a single fill opened."""
    if len(one.fills) < 2:
        return []
    closed = f" · {count_text(one.parts, 'part')} closed {text(gain(one.realised_usdt))}" if one.parts else ""
    return [f"{text(f'{one.units:g}')} units in {count_text(len(one.fills) - one.parts, 'fill')}{closed}"]


def _orders(views: Views) -> list[str]:
    orders, contracts = views.portfolio.orders()[:POSITIONS_SHOWN_MAX], views.contracts.by_symbol
    market = [
        f"{text(one.action)} {position_label(one.strategy, one.symbol, one.side)}: {text(reason_words(one.reason))}"
        for one in orders
        if not one.is_resting
    ]
    resting = [_resting(one, contracts) for one in orders if one.is_resting]
    return [
        *(["", "orders for the next open:", *market] if market else []),
        *(["", "resting orders:", *resting] if resting else []),
    ]


def _resting(one: OrderView, contracts: Contracts) -> str:
    name = text(waiting_words(one.action, one.kind, one.rung))
    at = code(price(one.price_usdt, one.symbol, contracts))
    return f"{name} {position_label(one.strategy, one.symbol, one.side)}: {at}{expiry_words(one.expires_at_ms)}"


def last_trades(views: Views, limit: int) -> str:
    """Return the last closed trades, newest first."""
    trades = views.trades.latest(limit)
    if not trades:
        return answer(views, "<b>no closed trades yet</b>", [])
    lines = [line for one in trades for line in _trade(one, views.contracts.by_symbol)]
    return answer(views, f"<b>last {len(trades)} of {count_text(views.trades.count(), 'trade')}</b>", lines)


def _trade(one: TradeView, contracts: Contracts) -> list[str]:
    entry, exit_price = (price(p, one.symbol, contracts) for p in (one.entry_price_usdt, one.exit_price_usdt))
    icon = WON if one.net_usdt > 0.0 else LOST
    held = duration(one.holding_ms)
    return [
        "",
        f"{icon} {position_label(one.strategy, one.symbol, one.side)} {bold(gain(one.net_usdt))}",
        f"{text(reason_words(one.reason))} after {text(held)} · {text(signed(one.r_multiple))} R",
        f"{code(entry)} {ARROW} {code(exit_price)}{f' in {one.parts} parts' if one.parts > 1 else ''}",
        f"{code(f'#{one.seq}')} {text(utc(one.exit_time_ms))}",
    ]


# ---------------------------------------------------------------- /profit, /daily, /weekly


def profit_text(views: Views, days: int, now_ms: int = 0) -> str:
    """Return the result of the last days, or since inception."""
    view = profit(views, days)
    last = day_words(views.at_ms, now_ms)
    span = "since inception" if not view.days else f"last {view.days} days" if view.days > 1 else last
    total = view.total
    head = f"<b>{text(gain(total.result_usdt))} USDT, {text(gain_percent(total.result_percent))}</b>"
    return answer(views, head, [span, *_profit_rows(view), *_profit_trades(view)])


def _profit_rows(view: ProfitView) -> list[str]:
    if not view.rows:
        return ["no strategies yet"]
    rows = [
        (cut_name(row.strategy), gain(row.result_usdt), signed(row.result_percent))
        for row in view.rows[:STRATEGIES_SHOWN_MAX]
    ]
    return [table([("strategy", "USDT", "%"), *rows])]


def _profit_trades(view: ProfitView) -> list[str]:
    net = [f"net {text(gain(view.net_usdt))}"] if view.trades else []
    return [closed_text(view.trades, view.wins), *net, costs_text(view.fees_usdt, view.funding_usdt)]


def daily_text(views: Views, days: int) -> str:
    """Return the results day by day."""
    return _periods(views, daily(views, days), "day")


def weekly_text(views: Views) -> str:
    """Return the results week by week."""
    return _periods(views, weekly(views, WEEKS_SHOWN), "week")


def _periods(views: Views, periods: Sequence[Period], title: str) -> str:
    if not periods:
        return answer(views, "<b>no candles yet</b>", [])
    total = sum(one.result_usdt for one in periods)
    column = "day" if title == "day" else "week of"
    rows = [
        (utc(one.begins_ms)[5:10], gain(one.result_usdt), signed(one.result_percent), f"{one.trades:,}")
        for one in periods
    ]
    head = f"<b>{text(gain(total))} USDT in {count_text(len(periods), title)}</b>"
    return answer(views, head, [table([(column, "USDT", "%", "n"), *rows]), "n: trades closed · days in UTC"])


# ---------------------------------------------------------------- /arena


def arena(views: Views) -> str:
    """Return all strategies side by side, the best first."""
    rows = views.arena.rows()
    if not rows:
        return answer(views, "<b>no strategies yet</b>", [])
    shown = [
        (_ranked(row), signed(row.net_return_percent), f"{row.trades:,}", f"{row.max_drawdown_percent:.1f}")
        for row in rows[:STRATEGIES_SHOWN_MAX]
    ]
    head = f"<b>{name(rows[0].strategy)} leads with {text(gain_percent(rows[0].net_return_percent))}</b>"
    grid = table([("strategy", "net %", "n", "dd"), *shown])
    details = [line for row in rows[:STRATEGIES_SHOWN_MAX] for line in _row(row)]
    return answer(views, head, [grid, "n: trades · dd: max drawdown in %", *details])


def _ranked(row: ArenaRow) -> str:
    return cut_name(f"{row.rank} {STATE_MARKS[row.state]}{row.strategy}")


def _row(row: ArenaRow) -> list[str]:
    of = f" (of {name(row.of)})" if row.of else ""
    return [
        "",
        f"{row.rank} {bold(row.strategy, 40)}{of} {text(money(row.equity_usdt))} USDT",
        *([_counts(row)] if row.few_trades else _verdicts(row)),
        *([f"{STATE_MARKS[row.state]} {text(row.why)}"] if row.state != "active" else []),
        *([f"promised / actual {text(row.promise.words)}"] if row.promise else []),
    ]


def _counts(row: ArenaRow) -> str:
    if row.win_rate_percent is None:
        return "no closed trades yet"
    return f"won {round(row.win_rate_percent * row.trades / 100.0)} of {row.trades}: too few trades for a verdict"


def _verdicts(row: ArenaRow) -> list[str]:
    factor = "no losses" if row.no_losses else "-" if row.profit_factor is None else f"{row.profit_factor:.2f}"
    wins = "-" if row.win_rate_percent is None else percent(row.win_rate_percent)
    return [f"won {text(wins)} · profit factor {text(factor)}", *_expectancy(row)]


def _expectancy(row: ArenaRow) -> list[str]:
    sharpe = [] if row.sharpe is None else [f"Sharpe {text(f'{row.sharpe:.2f}')}"]
    if row.expectancy_usdt is None:
        return sharpe
    each = f"{text(gain(row.expectancy_usdt))} per trade"
    if row.expectancy_low_usdt is not None and row.expectancy_high_usdt is not None:
        each += f" ({text(gain(row.expectancy_low_usdt))} to {text(gain(row.expectancy_high_usdt))})"
    return [each, *sharpe]


# ---------------------------------------------------------------- /risk

LIMITS: Final = {
    "leverage": ("leverage", "x"),
    "max_risk_per_trade_percent": ("risk per trade", "%"),
    "max_concurrent_positions": ("max positions", ""),
    "free_margin_percent": ("free margin", "%"),
    "max_session_loss_percent": ("max session loss", "%"),
    "max_daily_loss_percent": ("max daily loss", "%"),
    "global_max_loss_percent": ("max global loss", "%"),
}


def risk(views: Views, now_ms: int = 0) -> str:
    """Return drawdowns, margin, the risk of open positions, kill switches and limits."""
    view = views.portfolio.view()
    at_risk = sum(one.risk_usdt for one in view.positions)
    head = f"<b>at risk {text(money(at_risk))} of {text(money(view.equity_usdt))} USDT</b>"
    margin = sum(one.margin_usdt for one in view.accounts)
    notional = sum(one.notional_usdt for one in view.positions)
    details = [
        f"margin {text(money(margin))} · notional {text(money(notional))}",
        *_drawdowns(view.accounts, day_words(views.at_ms, now_ms)),
        *(list(map(trip_line, view.trips)) or [NO_TRIPS]),
        *_limits(views),
    ]
    return answer(views, head, details)


def _drawdowns(accounts: Sequence[AccountView], day: str) -> list[str]:
    if not accounts:
        return []
    rows = [
        (
            cut_name(f"{STATE_MARKS[one.state]}{one.strategy}"),
            f"{one.drawdown_percent:.1f}",
            f"{one.max_drawdown_percent:.1f}",
            signed(one.day_result_percent),
        )
        for one in accounts[:STRATEGIES_SHOWN_MAX]
    ]
    return [table([("strategy", "dd", "max", day[-5:]), *rows]), "dd: drawdown · max: deepest so far · all in %"]


def _limits(views: Views) -> list[str]:
    """Return the limits: one line if all strategies share a value, otherwise one per strategy."""
    lines: list[str] = []
    for key, (word, unit) in LIMITS.items():
        by_runner = {runner: one.risk[key] for runner, one in views.runners.items() if key in one.risk}
        values = list(dict.fromkeys(by_runner.values()))
        if len(values) == 1:
            lines.append(f"{word} {text(_limit(values[0], unit))}")
        else:
            lines += [f"{word} {text(_limit(value, unit))} {name(runner)}" for runner, value in by_runner.items()]
    return ["", "limits:", *lines] if lines else []


def _limit(value: float, unit: str) -> str:
    return f"{value:g} {unit}".rstrip()


# ---------------------------------------------------------------- /signals


def signals(views: Views) -> str:
    """Return the newest signal of every symbol and name, with its source and its age in market time."""
    newest = views.signals.newest()
    lines = [
        f"{name(one.name)} {name(one.symbol)} {bold(f'{one.value:,.10g}')} · "
        f"{text(one.source)}, {text(duration(one.age_ms(views.at_ms)))} ago"
        for one in newest[:SIGNALS_SHOWN_MAX]
    ]
    more = len(newest) - SIGNALS_SHOWN_MAX
    rest = [f"and {more:,} more"] if more > 0 else []
    return answer(views, "<b>signals</b>", [*(lines or ["no signal has arrived"]), *rest])
