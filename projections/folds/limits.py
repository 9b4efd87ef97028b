"""Every limit as used and allowed: how close a strategy is to its kill switch and to its position limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from papertape.events.facts import GLOBAL_SCOPE, ContractListed, KillSwitchReset, RunnerConfigured
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import AccountView, Portfolio
    from papertape.projections.folds.total import TotalEquity

Unit = Literal["usdt", "positions"]


class LimitView(Struct, frozen=True):
    """One limit: `used` of `allowed` in `unit`, for a strategy or `global`; `detail` says how it is measured."""

    scope: str
    name: str
    unit: Unit
    used: float
    allowed: float
    detail: str

    @property
    def used_percent(self) -> float:
        """How much of the allowance is used, in percent; over 100 if the limit was exceeded."""
        return self.used / self.allowed * 100.0 if self.allowed > 0.0 else 0.0


class _Reset(Struct, frozen=True):
    """A reset of a strategy: the session, and the rest of that day, are measured from its equity then."""

    equity_usdt: float
    day: int


class Limits:
    """Fold of the bases of the limits, on top of a portfolio that its owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self._risk: dict[str, Mapping[str, int | float]] = {}
        self._groups: dict[str, str] = {}
        self._resets: dict[str, _Reset] = {}
        self._stopped: tuple[str, ...] = ()

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case RunnerConfigured():
                self._risk.pop(event.strategy, None)  # The newest configuration comes last.
                self._risk[event.strategy] = event.risk
            case ContractListed():
                self._groups[event.symbol] = event.group
            case KillSwitchReset():
                self._reset(event)
            case _:
                pass
        self._stopped = self._stopped_by_global_trip()

    def views(self) -> tuple[LimitView, ...]:
        """Return the global limit, then those of every strategy as configured."""
        accounts = self._portfolio.accounts()
        own = [view for account in accounts for view in self._of(account)]
        return (*self._global(), *own)

    def of(self, strategy: str) -> tuple[LimitView, ...]:
        """Return the limits of one strategy. Raises KeyError for an unknown name."""
        return self._of(self._portfolio.account(strategy))

    def _stopped_by_global_trip(self) -> tuple[str, ...]:
        """Return the strategies that only the global trip stops: its reset restarts their session."""
        trip = self._portfolio.switches.global_trip
        if trip is None:
            return ()
        names = self._portfolio.equity.ledger.accounts
        return tuple(name for name in names if self._portfolio.switches.standing(name).trip is trip)

    def _reset(self, event: KillSwitchReset) -> None:
        if event.scope == GLOBAL_SCOPE:
            self._portfolio.equity.restart_window()
        for name in self._stopped if event.scope == GLOBAL_SCOPE else (event.scope,):
            equity = self._portfolio.account(name).equity_usdt
            self._resets[name] = _Reset(equity, self._portfolio.at_ms // DAY_MS)

    def _of(self, account: AccountView) -> tuple[LimitView, ...]:
        risk = self._risk[account.strategy]
        session, day = self._bases(account)
        return (
            self._loss(
                account, "session loss", session, risk["max_session_loss_percent"], "since the start or a reset"
            ),
            self._loss(account, "daily loss", day, risk["max_daily_loss_percent"], "since 00:00 UTC or a reset"),
            *self._room(account, risk),
        )

    def _bases(self, account: AccountView) -> tuple[float, float]:
        """Return the equities from which session and day are measured."""
        day_base = account.equity_usdt - account.day_result_usdt
        reset = self._resets.get(account.strategy)
        if reset is None:
            return account.capital_usdt, day_base
        today = self._portfolio.at_ms // DAY_MS
        return reset.equity_usdt, reset.equity_usdt if reset.day == today else day_base

    def _loss(self, account: AccountView, name: str, base: float, percent: float, since: str) -> LimitView:
        allowed = base * percent / 100.0
        used = max(0.0, base - account.equity_usdt)
        return LimitView(account.strategy, name, "usdt", used, allowed, f"{percent:g} % of the equity {since}")

    def _room(self, account: AccountView, risk: Mapping[str, int | float]) -> tuple[LimitView, ...]:
        name, portfolio = account.strategy, self._portfolio
        free = risk["free_margin_percent"]
        margin = max(0.0, account.equity_usdt * (1.0 - free / 100.0))
        pending = sum(order.strategy == name and order.action == "entry" for order in portfolio.orders())
        return (
            LimitView(name, "margin", "usdt", account.margin_usdt, margin, f"{free:g} % of the equity stays free"),
            LimitView(
                name,
                "positions",
                "positions",
                account.open_positions + pending,
                risk["max_concurrent_positions"],
                "open and pending",
            ),
            LimitView(
                name,
                "one direction",
                "positions",
                self._most_in_one_direction(name),
                risk["max_same_direction"],
                "within one group",
            ),
        )

    def _most_in_one_direction(self, strategy: str) -> int:
        counts: dict[tuple[str, str], int] = {}
        sides = [(one.symbol, one.side) for one in self._portfolio.positions(strategy)]
        orders = self._portfolio.orders()
        sides += [(one.symbol, one.side) for one in orders if one.strategy == strategy and one.action == "entry"]
        for symbol, side in sides:
            key = (self._groups.get(symbol, ""), side)
            counts[key] = counts.get(key, 0) + 1
        return max(counts.values(), default=0)

    def _global(self) -> tuple[LimitView, ...]:
        """Return the global limit; the rules of the most recently configured strategy apply to all."""
        if not self._risk:
            return ()
        risk = next(reversed(self._risk.values()))
        return (global_limit(self._portfolio.equity.total(), risk),)


def global_limit(total: TotalEquity, risk: Mapping[str, int | float]) -> LimitView:
    """Return the fall of the total equity from its peak of the last hours, as used and allowed."""
    hours, percent = int(risk["global_window_hours"]), risk["global_max_loss_percent"]
    peak = total.peak_within(hours)
    detail = f"{percent:g} % of the peak of the last {hours} h"
    return LimitView(
        GLOBAL_SCOPE, "global loss", "usdt", max(0.0, peak - total.equity_usdt), peak * percent / 100.0, detail
    )
