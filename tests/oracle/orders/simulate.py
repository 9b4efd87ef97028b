"""Simulate candles with a script of answers: the fills, the trades, the refusals and the equity that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.files import Candle, check_base, join_candles
from tests.oracle.history import View
from tests.oracle.rounding import Contract
from tests.oracle.run import GlobalSwitch, facts_in_order
from tests.oracle.settings import MINUTE, RISK, shared_settings

from .account import Account, Log, RestingEntry
from .answers import Answer
from .candle_stages import before_close
from .holding import Holding, Record
from .questions import Script, after_close

Key = tuple[str, int]


@dataclass
class Dictated:
    """A script by symbol and number of the candle, counted from 0."""

    enters: Mapping[Key, Answer] = field(default_factory=dict)
    leaves: Mapping[Key, str] = field(default_factory=dict)
    manages: Mapping[Key, Answer] = field(default_factory=dict)
    numbers: dict[Key, int] = field(default_factory=dict)

    def enter(self, symbol: str, candle: Candle) -> Answer | None:
        """What is dictated for this candle."""
        return self.enters.get((symbol, self.numbers[symbol, candle.open_time]))

    def leave(self, symbol: str, candle: Candle) -> str | None:
        """The reason that is dictated for this candle."""
        return self.leaves.get((symbol, self.numbers[symbol, candle.open_time]))

    def manage(self, symbol: str, candle: Candle) -> Answer | None:
        """The change that is dictated for this candle."""
        return self.manages.get((symbol, self.numbers[symbol, candle.open_time]))


@dataclass
class Outcome:
    """Where a run ended, and everything it recorded."""

    log: Log
    cash: float
    final_equity: float
    equity: list[tuple[int, str, float]]
    holdings: dict[str, Holding]
    entries: dict[str, RestingEntry]
    views: list[Record]


def simulate(
    candles: Mapping[str, Sequence[Any]],
    script: Script,
    *,
    contracts: Mapping[str, Contract] | None = None,
    funding: Mapping[str, Any] | None = None,
    settings: dict[str, float] | None = None,
    timeframe: int = MINUTE,
    base: int = MINUTE,
    units_max: float = 1.0,
    start_ms: int | None = None,
    strategy: str = "scripted",
) -> Outcome:
    """Run one scripted strategy over the candles of its symbols. A candle is (open time, open, high, low, close,
    volume), with a seventh column that is true when it is late. `settings` are names of the model's section 12 and the
    defaults of `risk.NAME`, without `risk.`."""
    joined, from_files = join_candles(list(candles.items()))
    check_base(joined, base)
    if isinstance(script, Dictated):
        script.numbers = {(s, c.open_time): i for s, rows in joined.items() for i, c in enumerate(rows)}
    given = settings or {}
    shared = shared_settings(given)
    gap_ms = int(shared["gap_reset_minutes"] * MINUTE)
    views = {symbol: View(symbol, rows, base, gap_ms, (timeframe,)) for symbol, rows in joined.items()}
    values = {**RISK, **{name: value for name, value in given.items() if name in RISK}}
    account = Account(strategy, values, views, {**from_files, **(contracts or {})}, timeframe, units_max)
    switch = GlobalSwitch(shared, account.cash)
    shown: list[Record] = []
    for time, kind, _, symbol, payload in facts_in_order(joined, dict(funding or {}), {}, base):
        if kind == 1:
            views[symbol].settlements.append((time, payload))
            continue
        live = start_ms is None or payload.open_time >= start_ms
        take_candle(account, switch, symbol, payload, script, live=live)
        if live:
            shown.append(shown_of(account, symbol, payload))
    return Outcome(
        account.log, account.cash, account.equity_now(), account.equity, account.holdings, account.entries, shown
    )


def shown_of(account: Account, symbol: str, candle: Candle) -> Record:
    """Section 10: what depends on the position, after a candle. There is no position while `units` is 0."""
    holding = account.holdings.get(symbol)
    position = (0, 0.0, 0.0, 0.0) if holding is None else (holding.age, holding.best, holding.worst, holding.sizes)
    age, best, worst, units = position
    return {
        "symbol": symbol,
        "time": candle.open_time + account.views[symbol].base,
        "age_candles": age,
        "best_usdt": best,
        "worst_usdt": worst,
        "units": units,
        "result_r": 0.0 if holding is None else holding.result_r(candle.close),
        "last_exit_reason": account.exits[symbol][1] if symbol in account.exits else "",
        "candles_since_exit": account.candles_since_exit.get(symbol, -1),
    }


def take_candle(
    account: Account, switch: GlobalSwitch, symbol: str, candle: Candle, script: Script, *, live: bool
) -> None:
    """Model 11, "stage by stage". Before `start_ms` a candle only feeds the indicators."""
    view = account.views[symbol]
    view.reset_if_hole(candle)
    if live:
        before_close(account, symbol, candle)
    completed = view.take(candle)
    if not live:
        account.last_close_time[symbol] = candle.open_time + view.base
        return
    after_close(account, symbol, candle, completed, script)
    trip = switch.check(candle.open_time + view.base, account.marked)
    if trip is not None:
        account.log.trips.append({"scope": "global", "time": trip["t_c"], "reason": trip["reason"]})
        account.trip(candle.open_time + view.base)
