"""Configuration epochs: spans of a log in which every strategy kept its parameters, limits, symbols and code.

A result is that of one configuration only within an epoch. A strategy's own epochs begin where its own configuration
changed; those of the total begin where that of any strategy did.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import astuple, replace

from papertape.events.facts import Closing, ConfigurationReloaded, RunnerConfigured
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.folds.total import drawdowns
from papertape.projections.text.formats import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import Portfolio

EPOCHS_MAX: Final = 100
"""If there are more, the oldest are merged into the first."""
CHANGES_SHOWN_MAX: Final = 6
FIRST: Final = "first configuration"
ADDED: Final = "added"
CODE: Final = "code"


class EpochView(Struct, frozen=True):
    """The result of an epoch, from `from_ms` to `until_ms` in market time; the last one is still open.

    `changes` says what changed when it began at `seq`, `reason` who reloaded the configuration and why. The net result
    is the change of the equity, open positions included, also in percent of the equity at the beginning. Trades belong
    to the epoch in which they closed. The drawdown is the largest fall between points of the equity curve, costs are
    fees, slippage and funding paid. `nets_usdt` has each strategy's net result.
    """

    number: int
    seq: int
    from_ms: int
    until_ms: int
    is_last: bool
    changes: str
    reason: str
    net_usdt: float
    net_percent: float
    trades: int
    wins: int
    win_rate_percent: float | None
    max_drawdown_percent: float
    costs_usdt: float
    nets_usdt: dict[str, float]


class Standing(Struct, frozen=True):
    """An account at a moment, or the sum of several: its equity, all costs so far, and its closed and won trades."""

    equity_usdt: float = 0.0
    costs_usdt: float = 0.0
    trades: int = 0
    wins: int = 0


class _Epoch(Struct):
    """An epoch and, by strategy, what changed and how the accounts stood when it began."""

    seq: int
    at_ms: int
    reason: str
    changes: dict[str, str] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)


class Epochs:
    """Fold of the epochs, on top of a portfolio that its owner folds first."""

    def __init__(self, portfolio: Portfolio) -> None:
        self._portfolio = portfolio
        self._epochs: list[_Epoch] = []
        self._configured: dict[str, RunnerConfigured] = {}
        self._closed: dict[str, tuple[int, int]] = {}
        """By strategy: how many trades were closed, and won."""
        self._reload = (-1, "")

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        match event:
            case Closing():
                trades, wins = self._closed.get(event.strategy, (0, 0))
                self._closed[event.strategy] = (trades + 1, wins + (event.net_usdt > 0.0))
            case RunnerConfigured():
                before = self._configured.get(event.strategy)
                self._configured[event.strategy] = event
                if before is None or configuration_changes(before, event):
                    self._begin(event, before, recorded.seq)
            case ConfigurationReloaded():
                self._reload = (self._portfolio.at_ms, f"{event.who}: {event.why}")
            case _:
                pass

    def of(self, strategy: str) -> tuple[EpochView, ...]:
        """Return a strategy's epochs, oldest first. Raise KeyError for an unknown name."""
        points = self._portfolio.equity_curve(strategy).curve
        return self._views([one for one in self._epochs if strategy in one.changes], [strategy], points)

    def total(self) -> tuple[EpochView, ...]:
        """Return the epochs of all strategies together, oldest first."""
        return self._views(self._epochs, list(self._configured), self._portfolio.equity.total().curve.points())

    def _begin(self, event: RunnerConfigured, before: RunnerConfigured | None, seq: int) -> None:
        """Begin an epoch, or add to the one that began at this market time: nothing was traded since."""
        at_ms = self._portfolio.at_ms
        if not self._epochs or self._epochs[-1].at_ms != at_ms:
            reason = self._reload[1] if self._reload[0] == at_ms else ""
            self._epochs.append(_Epoch(seq, at_ms, reason))
            if len(self._epochs) > EPOCHS_MAX:
                self._join_oldest()
        epoch, new = self._epochs[-1], FIRST if len(self._epochs) == 1 else ADDED
        epoch.changes[event.strategy] = new if before is None else configuration_changes(before, event)
        epoch.standings = self._standings() | epoch.standings

    def _join_oldest(self) -> None:
        first, second = self._epochs[:2]
        first.changes = second.changes | first.changes
        first.standings = second.standings | first.standings
        del self._epochs[1]

    def _standings(self) -> dict[str, Standing]:
        return {
            one.strategy: Standing(
                one.equity_usdt,
                one.fees_usdt + one.slippage_usdt - one.funding_usdt,
                *self._closed.get(one.strategy, (0, 0)),
            )
            for one in self._portfolio.accounts()
        }

    def _views(
        self, epochs: Sequence[_Epoch], names: Sequence[str], points: Sequence[EquityPoint]
    ) -> tuple[EpochView, ...]:
        last = _Epoch(self._portfolio.seq, self._portfolio.at_ms, "", {}, self._standings())
        views = [_view(begin, end, names, points) for begin, end in pairwise([*epochs, last])]
        first_ms = min((self._portfolio.equity.from_ms(name) for name in names), default=0)
        return tuple(
            replace(view, number=number, from_ms=max(view.from_ms, first_ms))
            for number, view in enumerate(views, start=1)
        )


def _view(begin: _Epoch, end: _Epoch, names: Sequence[str], points: Sequence[EquityPoint]) -> EpochView:
    """Return an epoch of the strategies that had an account when it began."""
    names = [name for name in names if name in begin.standings]
    nets = {name: end.standings[name].equity_usdt - begin.standings[name].equity_usdt for name in names}
    before, after = (_sum(epoch.standings[name] for name in names) for epoch in (begin, end))
    trades, wins = after.trades - before.trades, after.wins - before.wins
    inside = [point for point in points if begin.at_ms < point.at_ms <= end.at_ms]
    edges = [EquityPoint(epoch.at_ms, one.equity_usdt) for epoch, one in ((begin, before), (end, after))]
    return EpochView(
        number=0,
        seq=begin.seq,
        from_ms=begin.at_ms,
        until_ms=end.at_ms,
        is_last=not end.changes,
        changes=_joined_changes(begin.changes, names),
        reason=begin.reason,
        net_usdt=after.equity_usdt - before.equity_usdt,
        net_percent=_percent(after.equity_usdt - before.equity_usdt, before.equity_usdt),
        trades=trades,
        wins=wins,
        win_rate_percent=_percent(wins, trades) if trades else None,
        max_drawdown_percent=max(one.drawdown_percent for one in drawdowns((edges[0], *inside, edges[1]))),
        costs_usdt=after.costs_usdt - before.costs_usdt,
        nets_usdt=nets,
    )


def _sum(standings: Iterable[Standing]) -> Standing:
    columns = zip(*(astuple(one) for one in standings), strict=True)
    return Standing(*map(sum, columns))


def _percent(part: float, whole: float) -> float:
    return part / whole * 100.0 if whole > 0.0 else 0.0


def _joined_changes(changes: Mapping[str, str], names: Sequence[str]) -> str:
    """Describe the changes of strategies; those that changed in the same way are named together."""
    alike: dict[str, list[str]] = {}
    for name in names:
        if name in changes:
            alike.setdefault(changes[name], []).append(name)
    if len(names) == 1 or list(alike) == [FIRST]:
        return next(iter(alike), "")
    return "; ".join(f"{'all' if len(who) == len(names) else ', '.join(who)}: {what}" for what, who in alike.items())


def configuration_changes(before: RunnerConfigured, after: RunnerConfigured) -> str:
    """Describe how a configuration differs from the one before it; empty if it decides alike."""
    values = _value_changes(before.parameters, after.parameters)
    parts = [*values, *_value_changes(before.risk, after.risk)]
    for symbol in sorted(before.symbol_parameters.keys() | after.symbol_parameters.keys()):
        own = _value_changes(
            before.symbol_parameters.get(symbol, before.parameters),
            after.symbol_parameters.get(symbol, after.parameters),
        )
        parts += [f"{symbol} {change}" for change in own if change not in values]
    parts += [f"with {symbol}" for symbol in after.symbols if symbol not in before.symbols]
    parts += [f"without {symbol}" for symbol in before.symbols if symbol not in after.symbols]
    parts += [CODE] if before.code_digest != after.code_digest else []
    more = len(parts) - CHANGES_SHOWN_MAX
    return ", ".join([*parts[:CHANGES_SHOWN_MAX], *([f"{more} more changes"] if more > 0 else [])])


def _value_changes(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    names: Iterable[str] = dict.fromkeys([*before, *after])
    return [
        f"{name} {_written(before.get(name))} → {_written(after.get(name))}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _written(value: float | None) -> str:
    if value is None:
        return "none"
    return reading(value) if isinstance(value, float) else str(value)
