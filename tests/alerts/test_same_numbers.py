"""The numbers of a text are those of the views that JSON and the dashboard show, in the same formats."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given

from papertape.events.facts import GLOBAL_SCOPE, Closing, KillSwitchTripped, PositionOpened
from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest, digest_text
from papertape.projections.alerts.heartbeat import heartbeat_text, heartbeat_view
from papertape.projections.alerts.markup import plain_text
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.performance import trade_figures
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.text.formats import gain, money, price, quantity, signed
from tests.alerts.example_day import A_DAY, BOTH_OPEN, CASES, MOVED, NEXT_DAY_MS, alerts_of, last_alert, market
from tests.alerts.random_log import lengths, random_log, seeds
from tests.build import recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.events.facts import ContractListed
    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import PortfolioView

_NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


class Shown:
    """What JSON shows after a log: folded by itself, encoded and read back."""

    def __init__(self, log: Sequence[Recorded]) -> None:
        portfolio, self.trades, contracts = Portfolio(), Trades(), Contracts()
        fold([portfolio, self.trades, contracts], log)
        self.contracts: Mapping[str, ContractListed] = contracts.by_symbol
        self.view: PortfolioView = portfolio.view()
        self.json: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.view))

    def trade(self) -> dict[str, Any]:
        """The last trade."""
        decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.trades.latest(1)[0]))
        return decoded

    def position(self, strategy: str, symbol: str) -> dict[str, Any]:
        """An open position."""
        return next(p for p in self.json["positions"] if (p["strategy"], p["symbol"]) == (strategy, symbol))

    def account(self, strategy: str) -> dict[str, Any]:
        """An account."""
        return next(a for a in self.json["accounts"] if a["strategy"] == strategy)


def numbers(html: str) -> list[str]:
    """Every number of a text."""
    return _NUMBER.findall(plain_text(html))


def expected(log: Sequence[Recorded]) -> list[str]:
    """The numbers of JSON that the text of the last event must hold."""
    shown, event = Shown(log), log[-1].event
    if isinstance(event, PositionOpened):
        at = shown.position(event.strategy, event.symbol)
        prices = ("entry_price_usdt", "stop_price_usdt", "target_price_usdt", "liquidation_price_usdt")
        return [
            quantity(at["quantity_base"], event.symbol, shown.contracts),
            *[price(at[name], event.symbol, shown.contracts) for name in prices],
            *[money(at[name]) for name in ("margin_usdt", "risk_usdt", "fees_usdt")],
        ]
    if isinstance(event, Closing):
        trade, account = shown.trade(), shown.account(event.strategy)
        return [
            *[price(trade[name], event.symbol, shown.contracts) for name in ("entry_price_usdt", "exit_price_usdt")],
            *[gain(trade[name]) for name in ("net_usdt", "gross_usdt", "funding_usdt")],
            signed(trade["r_multiple"]),
            money(trade["fees_usdt"]),
            money(account["equity_usdt"]),
            gain(account["day_result_usdt"]),
        ]
    if isinstance(event, KillSwitchTripped):
        trip = next(trip for trip in shown.json["trips"] if trip["trip_seq"] == log[-1].seq)
        open_now = [p for p in shown.json["positions"] if event.scope in (GLOBAL_SCOPE, p["strategy"])]
        return [
            *[money(trip[name]) for name in ("base_usdt", "equity_usdt", "peak_usdt")],
            *[gain(p["unrealised_usdt"]) for p in open_now],
        ]
    return []


@given(seeds, lengths)
def test_texts_show_the_numbers_of_the_views(seed: int, length: int) -> None:
    log = random_log(seed, length)
    for alert in alerts_of(log):
        missing = set(expected(log[: alert.seq])) - set(numbers(alert.html))
        assert not missing, f"{missing} of\n{alert.html}"


def test_prices_below_a_cent_are_prices() -> None:
    html = last_alert(CASES["entry_gala"]).html
    assert {"0.00384", "0.00385", "0.00381", "0.00508"} <= set(numbers(html))
    assert "0.00" not in numbers(html)


def test_a_start_and_a_heartbeat_show_the_totals() -> None:
    log = recorded([*market(), *BOTH_OPEN, *MOVED])
    shown = Shown(log)
    start = last_alert([*(one.event for one in log), CASES["start_again"][-1]]).html
    view = heartbeat_view(shown.view, at_ms=0, evaluations=12_345, candle_age_ms=None)
    totals = {money(shown.json["equity_usdt"]), gain(shown.json["day_result_usdt"])}
    assert totals <= set(numbers(start)) & set(numbers(heartbeat_text(view)))
    unrealised = [position["unrealised_usdt"] for position in shown.json["positions"]]
    assert {gain(one) for one in unrealised} <= set(numbers(start))
    assert {gain(sum(unrealised)), "12,345"} <= set(numbers(heartbeat_text(view)))
    assert "no candles yet" in heartbeat_text(view)


@given(seeds, lengths)
def test_the_current_day_matches_the_accounts(seed: int, length: int) -> None:
    alerts = Alerts()
    fold([alerts], random_log(seed, length))
    today = alerts.days.today
    assert today is not None
    view, portfolio = alerts.days.view(today), alerts.portfolio.view()
    assert {row.strategy: row.result_usdt for row in view.rows} == {
        account.strategy: account.day_result_usdt for account in portfolio.accounts
    }
    assert view.equity_usdt == portfolio.equity_usdt
    assert view.positions == portfolio.positions


def test_a_daily_summary_shows_its_trades_and_results() -> None:
    events = [*market(), *A_DAY]
    log = recorded(events)
    html = last_alert(events).html
    at_midnight = [one for one in log if one.event.at_ms <= NEXT_DAY_MS]
    shown = Shown(at_midnight)
    figures = trade_figures(shown.trades.closed())
    best, worst = figures.best_usdt, figures.worst_usdt
    assert best is not None
    assert worst is not None
    accounts = shown.json["accounts"]
    wanted = {
        money(shown.json["equity_usdt"]),
        gain(shown.json["day_result_usdt"]),
        *[gain(account["day_result_usdt"]) for account in accounts],
        *[gain(value) for value in (best, worst, figures.net_usdt)],
        money(sum(account["fees_usdt"] for account in accounts)),
        str(figures.trades),
        str(figures.wins),
    }
    assert wanted <= set(numbers(html))


@given(seeds, lengths)
def test_a_digest_counts_alerts_and_trades(seed: int, length: int) -> None:
    log = random_log(seed, length)
    alerts, digest, trades = Alerts(), Digest(), Trades()
    for one in log:
        alerts.apply(one)
        trades.apply(one)
        digest.apply(one, alerts.alert_of(one))
    told, closed, view = alerts_of(log), trades.closed(), digest.view()
    assert dict(view.counts) == {
        kind: number for kind in AlertKind if (number := sum(alert.kind is kind for alert in told))
    }
    assert (view.first_seq, view.last_seq, view.messages) == (told[0].seq, told[-1].seq, len(told))
    assert (view.closed, view.wins) == (len(closed), sum(trade.net_usdt > 0.0 for trade in closed))
    html = digest_text(view)
    assert not closed or gain(view.net_usdt) in numbers(html)
