"""The current portfolio: accounts, open positions, pending orders and kill switches.

It owns the folds it builds on, the equity curves and the ledger, so that each is folded only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import CandleClosed, Side, StopReason
from papertape.projections.folds.brackets import Brackets
from papertape.projections.folds.equity import Equity, EquityView
from papertape.projections.folds.excursions import Excursions
from papertape.projections.folds.fills import FillView
from papertape.projections.folds.kill_switches import KillSwitches, State, TripView
from papertape.projections.folds.market_status import AnomalyView, FeedView, MarketStatus, RefusedView, SuspendedView
from papertape.projections.folds.pending_orders import OrderView, PendingOrders

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.events.log import Recorded
    from papertape.projections.folds.brackets import Bracket
    from papertape.projections.folds.ledger import Holding, LedgerAccount
    from papertape.projections.market_run import MarketRun


class AccountView(Struct, frozen=True):
    """One strategy's account. Fees, funding (positive when received) and slippage include open positions.

    `day_result_usdt` is the equity less that at the end of the previous UTC day (the capital on the first day). `trip`
    is the trip that stops the strategy; a reset must name its `trip_seq`. `of` is the strategy whose file it runs,
    empty if it has its own.
    """

    strategy: str
    symbols: tuple[str, ...]
    capital_usdt: float
    cash_usdt: float
    equity_usdt: float
    unrealised_usdt: float
    day_result_usdt: float
    day_result_percent: float
    net_return_percent: float
    peak_usdt: float
    drawdown_percent: float
    max_drawdown_percent: float
    margin_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    leverage: float
    open_positions: int
    state: State
    why: str
    trip: TripView | None
    of: str = ""


class TargetView(Struct, frozen=True):
    """A resting target: its number, its price, and how much of the position it would close as that is now.

    `part` is its share of the position when the targets were set.
    """

    rung: int
    price_usdt: float
    part: float
    quantity_base: float


class PositionView(Struct, frozen=True):
    """An open position marked at its symbol's last close.

    `entry_price_usdt` is the average of what is open. `unrealised_usdt` is U = d*q*(close - entry) before fees and
    funding, `unrealised_r` the same in units of the risk taken at the signal and by adds (None without risk),
    `unrealised_percent` in percent of the entry's notional. A stop, target or liquidation price of 0 means none; the
    target is the nearest of `targets`. Fees, funding and slippage are those of the open part, `realised_usdt` is the
    net result of the `parts` that were closed. `units` is the size of all entries in first fills. `age_ms` is market
    time. `best_usdt` and `worst_usdt` are the excursion of the whole trade.

    `stop_kind` says what tightened the stop last. It trails `trail_fraction` behind the best price once that is
    `trail_after_fraction` beyond the entry, and moves to break-even once it is `breakeven_after_fraction` beyond; 0 is
    off.
    """

    strategy: str
    symbol: str
    side: Side
    quantity_base: float
    entry_price_usdt: float
    entry_time_ms: int
    mark_price_usdt: float
    notional_usdt: float
    unrealised_usdt: float
    unrealised_percent: float
    unrealised_r: float | None
    stop_price_usdt: float
    target_price_usdt: float
    liquidation_price_usdt: float
    margin_usdt: float
    risk_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    age_ms: int
    opened_seq: int
    best_usdt: float = 0.0
    worst_usdt: float = 0.0
    units: float = 1.0
    max_quantity_base: float = 0.0
    parts: int = 0
    realised_usdt: float = 0.0
    stop_kind: StopReason = "stop"
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: tuple[TargetView, ...] = ()
    fills: tuple[FillView, ...] = ()

    @property
    def stop_distance_percent(self) -> float | None:
        """How far the mark may move to the stop, in percent of the mark; None without a stop."""
        return self._distance_percent(self.stop_price_usdt)

    @property
    def target_distance_percent(self) -> float | None:
        """How far the mark must move to the target, in percent of the mark; None without a target."""
        return self._distance_percent(self.target_price_usdt)

    @property
    def liquidation_distance_percent(self) -> float | None:
        """How far the mark may move to the liquidation, in percent of the mark; None without one."""
        return self._distance_percent(self.liquidation_price_usdt)

    def _distance_percent(self, price_usdt: float) -> float | None:
        return _percent_of(price_usdt - self.mark_price_usdt, self.mark_price_usdt) if price_usdt > 0.0 else None


class PortfolioView(Struct, frozen=True):
    """The whole portfolio at seq `seq` and market time `at_ms`. Totals are sums over the accounts."""

    seq: int
    at_ms: int
    capital_usdt: float
    equity_usdt: float
    day_result_usdt: float
    accounts: tuple[AccountView, ...]
    positions: tuple[PositionView, ...]
    orders: tuple[OrderView, ...]
    trips: tuple[TripView, ...]
    feed: FeedView | None
    suspended: tuple[SuspendedView, ...]
    anomalies: tuple[AnomalyView, ...]
    refused: tuple[RefusedView, ...]

    @property
    def day_result_percent(self) -> float:
        """The day's result in percent of the equity at its start."""
        return _percent_of(self.day_result_usdt, self.equity_usdt - self.day_result_usdt)


class Portfolio:
    """Fold of the portfolio. Its parts that are named without an underscore are public."""

    def __init__(self) -> None:
        self.equity = Equity()
        self.excursions = Excursions()
        self.brackets = Brackets()
        self.switches = KillSwitches()
        self.market_status = MarketStatus()
        self.seq = 0
        self.at_ms = 0
        self._orders = PendingOrders()

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        self.seq, event = recorded.seq, recorded.event
        if type(event) is CandleClosed:
            self.equity.take_candle(event)
            self.excursions.take_candle(event)
            self.brackets.take_candle(event)
            if event.at_ms > self.at_ms:  # noqa: PLR1730 - max() is slower, and this runs for every candle.
                self.at_ms = event.at_ms
            return
        self.equity.apply(recorded)
        self.excursions.apply(recorded)
        self.brackets.apply(recorded)
        self.switches.apply(recorded)
        self.market_status.apply(recorded)
        self._orders.apply(recorded)

    def take_run(self, run: MarketRun, after_candle: Callable[[str], None] = lambda _: None) -> None:
        """Fold a calm run; `after_candle` gets the symbol of each candle that may have moved a stop."""
        self.seq = run.last_seq
        if run.candles:
            open_symbols = self.excursions.open_symbols
            open_places = run.places_of(open_symbols) if open_symbols else ()
            self.equity.take_run(run, open_places)
            for candle in map(run.candles.__getitem__, open_places):
                self.excursions.take_candle(candle)
                self.brackets.take_candle(candle)
                if self.brackets.may_move(candle.symbol):
                    after_candle(candle.symbol)
            self.excursions.take_run(run)
            self.brackets.take_run(run)
            self.at_ms = run.at_ms[-1]

    def view(self) -> PortfolioView:
        """Return the whole portfolio."""
        accounts = self.accounts()
        return PortfolioView(
            seq=self.seq,
            at_ms=self.at_ms,
            capital_usdt=sum(account.capital_usdt for account in accounts),
            equity_usdt=sum(account.equity_usdt for account in accounts),
            day_result_usdt=sum(account.day_result_usdt for account in accounts),
            accounts=accounts,
            positions=self.positions(),
            orders=self.orders(),
            trips=self.switches.active_trips(),
            feed=self.market_status.feed,
            suspended=self.market_status.suspended_symbols(),
            anomalies=self.market_status.anomalies(),
            refused=self.market_status.refusals(),
        )

    def accounts(self) -> tuple[AccountView, ...]:
        """Return all accounts in configured order."""
        return tuple(self.account(strategy) for strategy in self.equity.ledger.accounts)

    def account(self, strategy: str) -> AccountView:
        """Return one account. Raises KeyError for an unknown name."""
        account = self.equity.ledger.accounts[strategy]
        curve = self.equity.view(strategy, with_curve=False)
        standing = self.switches.standing(strategy)
        unrealised, _ = account.marked_usdt(self.equity.ledger.closes)
        equity = account.cash_usdt + unrealised
        day_result = equity - curve.day_base_usdt
        return AccountView(
            strategy=strategy,
            symbols=account.symbols,
            capital_usdt=account.capital_usdt,
            cash_usdt=account.cash_usdt,
            equity_usdt=equity,
            unrealised_usdt=unrealised,
            day_result_usdt=day_result,
            day_result_percent=_percent_of(day_result, curve.day_base_usdt),
            net_return_percent=_percent_of(equity - account.capital_usdt, account.capital_usdt),
            peak_usdt=curve.peak_usdt,
            drawdown_percent=curve.drawdown_fraction * 100.0,
            max_drawdown_percent=curve.max_drawdown_fraction * 100.0,
            margin_usdt=sum(holding.margin_usdt for holding in account.holdings),
            fees_usdt=account.fees_usdt,
            funding_usdt=account.funding_usdt,
            slippage_usdt=account.slippage_usdt,
            leverage=account.leverage,
            open_positions=len(account.holdings),
            state=standing.state,
            why=standing.why,
            trip=standing.trip,
            of=account.of,
        )

    def positions(self, strategy: str | None = None) -> tuple[PositionView, ...]:
        """Return the open positions of one strategy or of all, by strategy and symbol as configured."""
        accounts = self.equity.ledger.accounts.values()
        selected = [a for a in accounts if strategy is None or a.strategy == strategy]
        return tuple(self._position(account, holding) for account in selected for holding in account.holdings)

    def position(self, strategy: str, symbol: str) -> PositionView | None:
        """Return the open position of a strategy on a symbol, if there is one."""
        account = self.equity.ledger.accounts[strategy]
        holding = account.holding(symbol)
        return None if holding is None else self._position(account, holding)

    def orders(self) -> tuple[OrderView, ...]:
        """Return the orders that wait to be filled, oldest first."""
        return self._orders.views()

    def equity_curve(self, strategy: str) -> EquityView:
        """Return the equity curve of one strategy. Raises KeyError for an unknown name."""
        return self.equity.view(strategy)

    def _position(self, account: LedgerAccount, holding: Holding) -> PositionView:
        opened, size, entry = holding.opened, holding.quantity_base, holding.entry_price_usdt
        mark = self.equity.ledger.closes[opened.symbol]
        unrealised = holding.unrealised_usdt(mark)
        excursion = self.excursions.of(account.strategy, opened.symbol)
        bracket = self.brackets.of(account.strategy, opened.symbol)
        assert bracket is not None, "every open position has a stop"
        return PositionView(
            strategy=account.strategy,
            symbol=opened.symbol,
            side=opened.side,
            quantity_base=size,
            entry_price_usdt=entry,
            entry_time_ms=opened.at_ms,
            mark_price_usdt=mark,
            notional_usdt=size * mark,
            unrealised_usdt=unrealised,
            unrealised_percent=_percent_of(unrealised, size * entry),
            unrealised_r=unrealised / holding.risk_usdt if holding.risk_usdt > 0.0 else None,
            stop_price_usdt=bracket.stop_price_usdt,
            target_price_usdt=bracket.target_price_usdt,
            liquidation_price_usdt=holding.liquidation_price_usdt,
            margin_usdt=holding.margin_usdt,
            risk_usdt=holding.risk_usdt,
            fees_usdt=holding.fees_usdt,
            funding_usdt=holding.funding_usdt,
            slippage_usdt=holding.slippage_usdt,
            age_ms=max(self.at_ms - opened.at_ms, 0),
            opened_seq=holding.seq,
            best_usdt=excursion.best_usdt,
            worst_usdt=excursion.worst_usdt,
            units=holding.units,
            max_quantity_base=holding.max_quantity_base,
            parts=sum(fill.action == "reduce" for fill in holding.fills),
            realised_usdt=holding.realised_usdt,
            stop_kind=bracket.stop_kind,
            trail_fraction=bracket.trail_fraction,
            trail_after_fraction=bracket.trail_after_fraction,
            breakeven_after_fraction=bracket.breakeven_after_fraction,
            targets=self._targets(bracket, holding),
            fills=holding.fills,
        )

    def _targets(self, bracket: Bracket, holding: Holding) -> tuple[TargetView, ...]:
        lot, size = self.brackets.lot(holding.symbol), holding.quantity_base
        return tuple(
            TargetView(one.rung, one.price_usdt, one.part, bracket.target_base(one, size, lot))
            for one in bracket.targets
        )


def _percent_of(part: float, whole: float) -> float:
    """Return `part` in percent of `whole`; 0 without a whole."""
    return part / whole * 100.0 if whole > 0.0 else 0.0
