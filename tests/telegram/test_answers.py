"""Answers show the numbers of the view Structs, and no name breaks their HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.commands import Accepted
from papertape.events.facts import GLOBAL_SCOPE, DataRefused, FeedLost, OrderRejected, SymbolSuspended
from papertape.events.log import Recorded
from papertape.events.units import MINUTE_MS
from papertape.projections.alerts.lines import count_text
from papertape.projections.alerts.markup import plain_text
from papertape.projections.site.ports import ConditionsView, ReadinessView
from papertape.projections.site.views import Views
from papertape.projections.telegram import explain, replies, results
from papertape.projections.telegram.commands import (
    ConfirmationPrompt,
    answered_html,
    confirmation_for,
    done_words,
    who_of,
)
from papertape.projections.telegram.parse import (
    Act,
    CloseCommand,
    InvalidRequest,
    KillCommand,
    PauseCommand,
    ResetCommand,
    ResumeCommand,
    request_of,
)
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.text import split
from papertape.projections.text.causes import ConditionView, cause_chain
from papertape.projections.text.formats import gain, gain_percent, money, price, signed, utc
from papertape.projections.text.reasons import reason_words
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from papertape.projections.watchdog.watchdog import RepairView, WatchdogView
from papertape.sandbox.telegram.html import parse, utf16_units
from tests.alerts.example_day import BOTH_OPEN, MOVED, market
from tests.alerts.random_log import lengths, pools, random_log, seeds
from tests.build import BTC, GALA, NOON_MS, configured, recorded
from tests.support import examples
from tests.telegram.bot_rig import TELLING, views_of

OPEN = [*market(), *BOTH_OPEN, *MOVED]
A_DAY_LATER, WITH_POSITIONS = views_of(TELLING), views_of(OPEN)


def holds(html: str, *values: str) -> None:
    """A well-formed answer shows all of these."""
    shown = plain_text(html)
    assert parse(html).text == shown
    for value in values:
        assert value in shown, f"{value!r} is missing in:\n{shown}"


@pytest.mark.parametrize("views", [A_DAY_LATER, WITH_POSITIONS, views_of(market())])
def test_status_is_the_portfolio(views: Views) -> None:
    view = views.portfolio.view()
    holds(
        replies.status(views),
        f"{money(view.equity_usdt)} USDT, today {gain(view.day_result_usdt)}",
        gain(view.equity_usdt - view.capital_usdt),
        f"open positions {len(view.positions)}, {gain(sum(one.unrealised_usdt for one in view.positions))}",
        f"of {len(view.accounts)}",
        f"#{view.seq}",
    )


def test_positions_are_those_of_the_portfolio_with_their_close_command() -> None:
    html = replies.positions(WITH_POSITIONS)
    contracts = WITH_POSITIONS.contracts.by_symbol
    for one in WITH_POSITIONS.portfolio.positions():
        entry, mark = (price(usdt, one.symbol, contracts) for usdt in (one.entry_price_usdt, one.mark_price_usdt))
        holds(
            html,
            f"{one.strategy} · {one.symbol} {one.side.upper()} {gain(one.unrealised_usdt)}",
            gain_percent(one.unrealised_percent),
            f"{signed(one.unrealised_r or 0.0)} R",
            f"at {entry}, now {mark}",
            f"stop {price(one.stop_price_usdt, one.symbol, contracts)}",
            f"margin {money(one.margin_usdt)} · risk {money(one.risk_usdt)}",
            f"/close {one.opened_seq}",
        )
    assert "0.00384" in html


@pytest.mark.parametrize("views", [A_DAY_LATER, WITH_POSITIONS])
def test_profit_since_inception_is_the_sum_of_the_accounts(views: Views) -> None:
    accounts = views.portfolio.accounts()
    view = results.profit(views, 0)
    assert {row.strategy: row.end_usdt for row in view.rows} == {one.strategy: one.equity_usdt for one in accounts}
    assert {row.strategy: row.result_percent for row in view.rows} == pytest.approx(
        {one.strategy: one.net_return_percent for one in accounts}
    )
    trades = views.trades.closed()
    holds(
        replies.profit_text(views, 0),
        gain(sum(one.equity_usdt - one.capital_usdt for one in accounts)),
        f"net {gain(sum(one.net_usdt for one in trades))}" if trades else "",
        f"{count_text(len(trades), 'trade')} closed" if trades else "no trades closed",
        f"fees {money(sum(one.fees_usdt for one in accounts))}",
    )


def test_profit_of_days_is_the_change_of_equity_in_them() -> None:
    views = A_DAY_LATER
    today = sum(one.day_result_usdt for one in views.portfolio.accounts())
    assert results.profit(views, 1).total.result_usdt == pytest.approx(today)
    assert results.profit(views, 2).total.result_usdt == pytest.approx(results.profit(views, 0).total.result_usdt)
    assert results.profit(views, 2).trades == 2 and results.profit(views, 1).trades == 0


def test_days_are_those_of_the_daily_summary_and_weeks_their_sum() -> None:
    views = A_DAY_LATER
    days = results.daily(views, 7)
    for period, figures in zip(days, reversed(results.known_days(views)), strict=True):
        view = views.days.view(figures)
        assert (period.begins_ms, period.trades, period.wins) == (view.day_ms, view.trades, view.wins)
        assert period.result_usdt == pytest.approx(view.result_usdt)
        assert period.result_percent == pytest.approx(view.result_percent)
        holds(replies.daily_text(views, 7), gain(view.result_usdt))
    (week,) = results.weekly(views, 8)
    assert week.result_usdt == pytest.approx(sum(one.result_usdt for one in days))
    assert week.trades == sum(one.trades for one in days)
    holds(replies.weekly_text(views), gain(week.result_usdt), "12-30")


def test_the_arena_is_the_arena() -> None:
    html = replies.arena(A_DAY_LATER)
    for row in A_DAY_LATER.arena.rows():
        holds(html, f"{row.rank} {row.strategy} {money(row.equity_usdt)} USDT", signed(row.net_return_percent))
        holds(html, f"{row.max_drawdown_percent:.1f}", f"of {row.trades}: too few trades for a verdict")


def test_trades_are_the_closed_trades() -> None:
    html = replies.last_trades(A_DAY_LATER, 5)
    for trade in A_DAY_LATER.trades.closed():
        holds(html, f"{trade.symbol} {trade.side.upper()} {gain(trade.net_usdt)}", f"{signed(trade.r_multiple)} R")
        holds(html, reason_words(trade.reason), f"#{trade.seq}")
    assert "1 of 2" in replies.last_trades(A_DAY_LATER, 1)


def test_risk_is_what_the_positions_may_lose() -> None:
    view = WITH_POSITIONS.portfolio.view()
    holds(
        replies.risk(WITH_POSITIONS),
        f"at risk {money(sum(one.risk_usdt for one in view.positions))} of {money(view.equity_usdt)}",
        f"margin {money(sum(one.margin_usdt for one in view.positions))}",
        f"notional {money(sum(one.notional_usdt for one in view.positions))}",
        "no kill switch tripped",
        "leverage 3 x",
    )
    for account in A_DAY_LATER.portfolio.accounts():
        holds(replies.risk(A_DAY_LATER), f"{account.max_drawdown_percent:.1f}", signed(account.day_result_percent))
    holds(replies.risk(A_DAY_LATER), "■ vwap_rsi: daily loss 5.02 %")


def test_health_shows_the_watchdogs_problems_and_the_delivery() -> None:
    trouble = DetectedProblem(AnomalyKind.DISK_LOW, "disk", "1 GB <free>")
    covered = DetectedProblem(AnomalyKind.DATA_STALE, GALA, "left alone", covered=True)
    repair = RepairView(NOON_MS, "data_stale", GALA, "subscribed again")
    dog = WatchdogView(NOON_MS, 12, (), (trouble, covered), (repair,))
    delivery = DeliveryStatistics(sent=7, parked="blocked", oldest_unsent_ms=65_000)
    html = explain.health_text(WITH_POSITIONS, dog, delivery, ["commits take 1.2 ms"], NOON_MS + 20_000)
    holds(html, "2 problems", "1 GB <free>", "checked 20s ago, 12 checks", "subscribed again", "alerts sent 7", "1m")
    holds(html, "parked: blocked", "commits take 1.2 ms", "feed bitget delivering")
    assert "left alone" not in plain_text(html)
    holds(explain.health_text(WITH_POSITIONS), "healthy")
    assert "refused" not in plain_text(html)
    refused = DataRefused(NOON_MS, "bitget", "stale", 1_234, NOON_MS, "BTCUSDT: <a frame>")
    holds(explain.health_text(views_of([*market(), refused])), "healthy", "refused data: 1,234 stale")


def test_whynot_shows_for_each_strategy_what_the_log_knows() -> None:
    refused = OrderRejected(NOON_MS, "momentum", BTC, "long", "max_positions", 0.7, {})
    views = views_of([*market(), refused, *BOTH_OPEN[2:], SymbolSuspended(NOON_MS, BTC, "its candles are missing")])
    holds(explain.why_not_text(views, BTC), "not tradable since", "its candles are missing", "#9")
    holds(
        explain.why_not_text(views, BTC), f"last LONG signal refused: {reason_words('max_positions')}", "last evaluated"
    )
    holds(explain.why_not_text(views, GALA), "vwap_rsi holds SHORT since #11", "no signal so far")
    met = (ConditionView("adx <14>", 31.5, ">", 25.0, met=True),)
    side = ConditionsView("momentum", BTC, "short", 9, NOON_MS, True, met, (), ("one <entry> only",))
    holds(
        explain.why_not_text(views, BTC, [side]),
        "SHORT: 1 of 1 conditions met #9",
        "✓ adx <14>: 31.5 > 25",
        "one <entry> only",
    )
    assert "SHORT: 1 of 1" not in explain.why_not_text(views, GALA, [replace(side, strategy="vwap_rsi")])
    early = replace(side, readiness=(ReadinessView(300_000, 28, 28, 0), ReadinessView(900_000, 13, 28, NOON_MS)))
    holds(explain.why_not_text(views, BTC, [early]), f"13 of 28 candles of 15m, ready {utc(NOON_MS)}")
    assert "28 of 28" not in explain.why_not_text(views, BTC, [early])
    silent = replace(side, explained=False, conditions=())
    holds(explain.why_not_text(views, BTC, [silent]), "it does not list its conditions")
    stopped = explain.why_not_text(A_DAY_LATER, GALA)
    holds(stopped, A_DAY_LATER.portfolio.account("vwap_rsi").why)


def test_a_strategy_is_evaluated_on_the_closes_of_its_own_timeframe() -> None:
    views = Views({"momentum": 15 * MINUTE_MS})
    for one in recorded([*market(), *MOVED]):
        views.apply(one)
    assert views.evaluated_ms == {
        ("momentum", BTC): NOON_MS,
        ("momentum", GALA): NOON_MS,
        ("vwap_rsi", BTC): NOON_MS + MINUTE_MS,
        ("vwap_rsi", GALA): NOON_MS + MINUTE_MS,
    }


def test_symbols_are_found_by_their_beginning() -> None:
    assert explain.symbol_of(WITH_POSITIONS, "btc") == BTC
    assert explain.symbol_of(WITH_POSITIONS, "galausdt") == GALA
    assert explain.symbol_of(WITH_POSITIONS, "xrp") is None


def test_why_shows_the_chain_down_to_its_root() -> None:
    log = [Recorded(one.seq, 0, one.seq - 1 if one.seq > 9 else 0, one.event) for one in recorded(OPEN)]
    chain = cause_chain(10, lambda seq: log[seq - 1], WITH_POSITIONS.contracts.by_symbol)
    holds(explain.why_text(WITH_POSITIONS, chain), "LONG BTCUSDT: momentum opened", "↳ #9", "#10")


def test_the_log_is_newest_first() -> None:
    html = explain.log_text(A_DAY_LATER, 3)
    seqs = [recorded.seq for recorded in A_DAY_LATER.recent][-3:]
    shown = plain_text(html)
    assert shown.index(f"#{seqs[2]}") < shown.index(f"#{seqs[1]}") < shown.index(f"#{seqs[0]}")


def test_the_configuration_is_split_and_carries_no_token() -> None:
    token = "123456789:AAH" + "x" * 32
    parts = split(explain.config_text(f"[telegram]\n  token = {token}\n" + "key = '<&>'  # why\n" * 600))
    assert len(parts) > 1
    assert token not in "".join(parts)
    for part in parts:
        assert utf16_units(parse(part).text) <= 4_096
    assert "    " not in parse(parts[0]).text.splitlines()[0] and "  token" in parse(parts[0]).text


def test_tables_fit_a_phone() -> None:
    long = [configured("a_strategy_with_quite_a_name", (BTC,), 1_234_567.0, NOON_MS)]
    views = views_of([*TELLING, *long, *MOVED])
    for html in (
        replies.profit_text(views, 0),
        replies.arena(views),
        replies.risk(views),
        replies.daily_text(views, 9),
    ):
        inside = html.partition("<pre>")[2].partition("</pre>")[0]
        assert max(map(len, plain_text(inside).splitlines())) <= replies.TABLE_CHARS_MAX


def test_the_outcome_of_a_command_is_shown() -> None:
    assert done_words(Accepted(4711, 4711)) == "accepted: event #4711"
    assert done_words(Accepted(4711, 4713)) == "accepted: events #4711 to #4713"
    assert plain_text(answered_html("<b>Kill?</b>\n\nConfirm within 60 s.", "no <b>", "✗")) == "Kill?\n\n✗ no <b>"
    assert who_of(7, "\u202eAnn\n") == "telegram:Ann"


# ---------------------------------------------------------------- whatever the names are


def every_answer(views: Views) -> list[str]:
    """All answers there are."""
    symbols = list(dict.fromkeys(symbol for one in views.runners.values() for symbol in one.symbols))
    return [
        replies.status(views),
        replies.positions(views),
        replies.profit_text(views, 0),
        replies.profit_text(views, 3),
        replies.arena(views),
        replies.daily_text(views, 50),
        replies.weekly_text(views),
        replies.last_trades(views, 50),
        replies.risk(views),
        explain.health_text(views),
        explain.log_text(views, 50),
        explain.version_text(views, "1.0"),
        explain.help_text(),
        explain.as_of_text(views, reached=False),
        *(explain.why_not_text(views, symbol) for symbol in symbols),
        *(explain.unknown_symbol(views, symbol) for symbol in symbols),
    ]


def every_question(views: Views, reason: str) -> list[str]:
    """What is asked before each command."""
    ids = [one.opened_seq for one in views.portfolio.positions()]
    acts: list[Act] = [KillCommand(GLOBAL_SCOPE, reason), CloseCommand(None, reason), CloseCommand(0, reason)]
    acts += [PauseCommand("all", reason), *(CloseCommand(seq, reason) for seq in ids)]
    for one in views.strategies:
        acts += [
            PauseCommand(one, reason),
            ResumeCommand(one, reason),
            ResetCommand(one, reason),
            KillCommand(one, reason),
        ]
    asked = [confirmation_for(act, views) for act in acts]
    return [one.html for one in asked] + [
        answered_html(one.html, reason, "✓") for one in asked if isinstance(one, ConfirmationPrompt)
    ]


def test_foreign_texts_are_escaped() -> None:
    nasty = "<b>a & b</i>"
    views = views_of([*OPEN, SymbolSuspended(NOON_MS, BTC, nasty), FeedLost(NOON_MS, nasty, nasty)])
    for html in (*every_answer(views), *every_question(views, nasty)):
        parse(html)
    for html in (*every_question(views, nasty), replies.status(views), explain.health_text(views)):
        assert nasty in parse(html).text or "no open position with" in html or "not tripped" in html


@examples(60)
@given(seeds, lengths, pools)
def test_no_name_and_no_reason_breaks_an_answer(seed: int, length: int, pool: list[str]) -> None:
    log = random_log(seed, length, pool)
    views = Views()
    for one in log:
        views.apply(one)
    chain = cause_chain(len(log), lambda seq: log[seq - 1], views.contracts.by_symbol)
    for html in (*every_answer(views), *every_question(views, pool[-1]), explain.why_text(views, chain)):
        for part in split(html):
            assert utf16_units(parse(part).text) <= 4_096


@examples(100)
@given(st.sampled_from(["/", "/profit ", "/pause ", "/reset ", "/why ", "/resume "]), st.text(max_size=200))
def test_every_request_gets_a_well_formed_answer(command: str, said: str) -> None:
    for words in (said, f"<b>{said}"):
        found = request_of(command + words, ("momentum",))
        if isinstance(found, InvalidRequest):
            parse(explain.wrong_text(found))
    parse(explain.config_text(said))
