"""Simulate files with the four strategies; also a command line: python -m tests.oracle.run --help."""

from __future__ import annotations

import argparse
import csv
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import conditions
from .account import Account, Log, Record
from .files import Candle, base_of, check_base, join_candles, load_csv, pairs_of, symbol_of
from .history import View
from .rounding import Contract
from .settings import MINUTE, STRATEGIES, TIMEFRAME, refuse_unknown, shared_settings, strategy_settings

__all__ = ["Result", "load_csv", "main", "simulate", "summary", "write_trades"]

HOUR = 3_600_000
COLUMNS = [
    "strategy",
    "symbol",
    "side",
    "quantity_base",
    "entry_time_ms",
    "entry_price_usdt",
    "exit_time_ms",
    "exit_price_usdt",
    "reason",
    "gross_usdt",
    "fees_usdt",
    "funding_usdt",
    "slippage_usdt",
    "net_usdt",
    "r_multiple",
    "ambiguous",
    "parts",
    "max_quantity_base",
]
Fact = tuple[int, int, int, str, Any]


@dataclass
class Result(Log):
    """Everything a run recorded, and where it ended."""

    base_ms: int = 0
    strategies: list[str] = field(default_factory=list)
    contracts: dict[str, Contract] = field(default_factory=dict)
    positions: list[Record] = field(default_factory=list)
    pending: list[Record] = field(default_factory=list)
    cash: dict[str, float] = field(default_factory=dict)
    final_equity: dict[str, float] = field(default_factory=dict)
    equity: dict[str, list[tuple[int, str, float]]] = field(default_factory=dict)
    max_drawdown: dict[str, float] = field(default_factory=dict)


class GlobalSwitch:
    """Section 12: "Peak = highest total seen in this UTC hour of t_c or the 24 before it (25 hourly maxima; the total
    at the start counts in the first hour)." """

    def __init__(self, shared: dict[str, float], total: float) -> None:
        self.limit = shared["global_max_loss_percent"] / 100.0
        self.window = int(shared["global_window_hours"])
        self.start_total: float | None = total
        self.maxima: dict[int, float] = {}
        self.tripped = False

    def check(self, now: int, total: float) -> Record | None:
        """ "Trips all strategies (`global_loss`) when peak - total >= peak*0.45" """
        hour = now // HOUR
        if self.start_total is not None:
            self.maxima[hour] = self.start_total
            self.start_total = None
        self.maxima[hour] = max(self.maxima.get(hour, total), total)
        self.maxima = {h: value for h, value in self.maxima.items() if h >= hour - self.window}
        peak = max(self.maxima.values())
        if self.tripped or not peak - total >= peak * self.limit:
            return None
        self.tripped = True
        return {"scope": "global", "t_c": now, "reason": "global_loss", "base": None, "peak": peak, "equity": total}


class World:
    """All accounts and what they know."""

    def __init__(self, views: dict[str, View], accounts: list[Account], shared: dict[str, float], log: Log) -> None:
        self.views, self.accounts, self.log = views, accounts, log
        self.switch = GlobalSwitch(shared, sum(account.cash for account in accounts))

    def on_candle(self, symbol: str, candle: Candle, live: bool) -> None:
        """Section 11, "stage by stage". Before `--from` (not live) a candle only feeds the indicators."""
        view = self.views[symbol]
        if view.reset_if_hole(candle):
            for account in self.accounts:
                account.memory[symbol].weight = account.memory[symbol].weighted_price = 0.0
        if live:
            for account in self.accounts:
                account.before_close(symbol, candle)
        completed = view.take(candle)
        if 5 * MINUTE in completed:
            for account in self.accounts:
                if account.strategy == "liquidation":
                    conditions.decay_anchor(account.values, account.memory[symbol])
        if live:
            for account in self.accounts:
                account.after_close(symbol, candle, completed)
            self.check_global(candle.open_time + view.base)

    def check_global(self, now: int) -> None:
        """ "After all strategies: the global kill switch." """
        trip = self.switch.check(now, sum(account.equity[-1][2] for account in self.accounts))
        if trip is not None:
            self.log.trips.append(trip)
            for account in self.accounts:
                account.trip(now)

    def on_settlement(self, symbol: str, time: int, rate: float) -> None:
        """A settlement when its turn comes: it becomes the rate. It is booked by the candles (stage 0)."""
        settlements = self.views[symbol].settlements
        before = settlements[-1][0] if settlements else None
        settlements.append((time, rate))
        for account in self.accounts:
            if account.strategy == "funding":
                conditions.remember_settlement(account.values, account.memory[symbol], before, time, rate)

    def on_reading(self, symbol: str, time: int, interest: float) -> None:
        """An open-interest reading when its turn comes."""
        view = self.views[symbol]
        for account in self.accounts:
            if account.strategy == "liquidation":
                conditions.remember_reading(account.values, account.memory[symbol], view, time, interest)
        view.readings.append((time, interest))


def simulate(
    candles: Sequence[tuple[str, Any]],
    funding: dict[str, Any] | None = None,
    open_interest: dict[str, Any] | None = None,
    strategies: Sequence[str] | None = None,
    settings: dict[str, float] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    base_ms: int | None = None,
    contracts: dict[str, Contract] | None = None,
) -> Result:
    """Run the model. Without named strategies all four run, except those finer than the base (with a warning)."""
    given = settings or {}
    refuse_unknown(given)
    joined, from_files = join_candles(list(candles))
    specification = {**from_files, **(contracts or {})}
    base = base_ms or base_of(joined)
    check_base(joined, base)
    if end_ms is not None:
        joined = {symbol: [c for c in rows if c.open_time < end_ms] for symbol, rows in joined.items()}
    shared = shared_settings(given)
    gap_ms = int(shared["gap_reset_minutes"] * MINUTE)
    views = {symbol: View(symbol, rows, base, gap_ms) for symbol, rows in joined.items()}
    log = Log()
    names = runnable(strategies, base)
    accounts = [Account(name, strategy_settings(name, given), views, specification, log) for name in names]
    world = World(views, accounts, shared, log)
    for time, kind, _, symbol, payload in facts_in_order(joined, funding or {}, open_interest or {}, base):
        if kind == 0:
            world.on_candle(symbol, payload, start_ms is None or payload.open_time >= start_ms)
        elif kind == 1:
            world.on_settlement(symbol, time, payload)
        else:
            world.on_reading(symbol, time, payload)
    return result_of(log, accounts, specification, base)


def runnable(strategies: Sequence[str] | None, base: int) -> list[str]:
    """ "A strategy whose timeframe is finer than the base cannot run: refused by name (if no strategies were named:
    left out with a warning)." """
    for name in strategies or STRATEGIES:
        if TIMEFRAME[name] < base:
            message = f"strategy {name} needs candles of {TIMEFRAME[name] // MINUTE}m, the base is {base // MINUTE}m"
            if strategies is not None:
                raise ValueError(message)
            warnings.warn(message, stacklevel=3)
    return [name for name in strategies or STRATEGIES if TIMEFRAME[name] >= base]


def facts_in_order(
    candles: dict[str, list[Candle]], funding: dict[str, Any], open_interest: dict[str, Any], base: int
) -> Iterator[Fact]:
    """ "a candle's time is t_c, a settlement's its T, an open-interest reading's its `time_ms`. At equal time candles
    come first (symbols in configured order), then funding, then open interest." """
    place = {symbol: i for i, symbol in enumerate(candles)}
    facts: list[Fact] = []
    for symbol, rows in candles.items():
        facts += [(candle.open_time + base, 0, place[symbol], symbol, candle) for candle in rows]
    for kind, sources in ((1, funding), (2, open_interest)):
        for symbol, source in sources.items():
            if symbol in place:
                facts += [(time, kind, place[symbol], symbol, x) for time, x in pairs_of(source, kind == 1)]
    facts.sort(key=lambda fact: fact[:3])
    return iter(facts)


def result_of(log: Log, accounts: list[Account], contracts: dict[str, Contract], base: int) -> Result:
    """ "End of data: positions stay open, are marked to the last close, and are listed apart from closed trades; a
    pending order stays pending." """
    result = Result(**vars(log), base_ms=base, strategies=[a.strategy for a in accounts], contracts=contracts)
    for account in accounts:
        name = account.strategy
        result.positions += [{"strategy": name, **vars(position)} for position in account.positions.values()]
        result.pending += [{"strategy": name, **vars(order)} for order in account.pending.values()]
        result.cash[name] = account.cash
        result.final_equity[name] = account.equity_now()
        result.equity[name] = account.equity
        result.max_drawdown[name] = account.max_drawdown
    return result


def write_trades(path: str | Path, trades: list[Record]) -> None:
    """Section 9: the columns in order; "Floats in shortest round-trip form."."""
    with open(path, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([trade[column] for column in COLUMNS] for trade in trades)


def summary(result: Result) -> Record:
    """Counts and sums per strategy, trips, and what is still open."""
    per_strategy: Record = {}
    for name in result.strategies:
        own = [trade for trade in result.trades if trade["strategy"] == name]
        per_strategy[name] = {
            "trades": len(own),
            "net_usdt": sum(float(trade["net_usdt"]) for trade in own),
            "ambiguous": sum(int(trade["ambiguous"]) for trade in own),
            "orders": sum(order["strategy"] == name for order in result.orders),
            "rejections": sum(rejection["strategy"] == name for rejection in result.rejections),
            "cancellations": sum(cancellation["strategy"] == name for cancellation in result.cancellations),
            "funding_payments": sum(payment["strategy"] == name for payment in result.funding_payments),
            "final_cash": result.cash[name],
            "final_equity": result.final_equity[name],
            "max_drawdown": result.max_drawdown[name],
        }
    steps = {s: {"tick": [c.tick.a, c.tick.b], "lot": [c.lot.a, c.lot.b]} for s, c in result.contracts.items()}
    ends = {"trips": result.trips, "open_positions": result.positions, "pending": result.pending}
    return {"base_ms": result.base_ms, "contracts": steps, "strategies": per_strategy, **ends}


def by_symbol(paths: list[str]) -> dict[str, Any]:
    """Files grouped by the symbol in their name."""
    grouped: dict[str, list[str]] = {}
    for path in paths:
        grouped.setdefault(symbol_of(path), []).append(path)
    return dict(grouped)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", nargs="+", required=True)
    parser.add_argument("--funding", nargs="*", default=[])
    parser.add_argument("--open-interest", nargs="*", default=[])
    parser.add_argument("--strategy", nargs="+", choices=STRATEGIES)
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE")
    parser.add_argument("--from", dest="start", type=int)
    parser.add_argument("--to", dest="end", type=int)
    parser.add_argument("--trades", required=True)
    options = parser.parse_args(arguments)
    result = simulate(
        [(symbol_of(path), path) for path in options.candles],
        by_symbol(options.funding),
        by_symbol(options.open_interest),
        options.strategy,
        {name: float(value) for name, _, value in (item.partition("=") for item in options.set)},
        options.start,
        options.end,
    )
    write_trades(options.trades, result.trades)
    print(json.dumps(summary(result), indent=2))


if __name__ == "__main__":
    main()
