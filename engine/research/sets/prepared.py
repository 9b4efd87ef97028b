"""A tape prepared for one strategy: its tables, and the passes over them for groups of sets."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from papertape.engine.kernel.codes import CANDLE, FUNDING, WARM_UP
from papertape.engine.kernel.sets.figures import FIGURES, Figures
from papertape.engine.kernel.sets.tables import Asks, Exchange, SymbolTurn, Tables
from papertape.engine.kernel.state import Account, Position, Settlement, SymbolState
from papertape.engine.reducer.state import GAP_RESET_MS
from papertape.engine.research.hook_errors import HOOK_ERRORS
from papertape.engine.research.set_result import SetResult
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from papertape.engine.research.set_result import TradedSpan
    from papertape.engine.research.sets.kit import Kit
    from papertape.engine.research.sets.plan import SetPlan
    from papertape.engine.research.tape import Tape

NEVER_MS = 1 << 62
SIDES = (1, -1)


class Extent(NamedTuple):
    """The candles of a span, by symbol: those from `first` to `end` - 1 are traded, on so many days in all."""

    first: list[int]
    end: list[int]
    days: int


class FoundCloses(NamedTuple):
    """The closes at which groups of sets may enter, and the first ones from each close on at which they may leave."""

    entries: Any
    counts: Any
    longs: Any
    shorts: Any


class PreparedMarket:
    """The tables of a tape, which serve every span, and all sets whose strategy needs histories of one length."""

    def __init__(self, kit: Kit, plan: SetPlan, tape: Tape, series_ms: Sequence[int]) -> None:
        self.kit, self.plan = kit, plan
        self._followed: tuple[Hashable, Any] | None = None
        self._entries: tuple[Hashable, Any] = None, None
        self._exits: tuple[Hashable, Any] = None, None
        symbols = len(tape.contracts)
        self._tape, self._ordered, self._refers = tape, kit.facts(tape), len(kit.references) > 0
        self.facts = kit.by_symbol(self._ordered) if symbols > 1 else self._ordered
        self.candles = kit.candles(self.facts)
        self._fact_bounds = [bisect_left(self.facts.symbol, symbol) for symbol in range(symbols + 1)]
        self.bounds = [bisect_left(self.candles.symbol, symbol) for symbol in range(symbols + 1)]
        timings = self.candles.timing
        self._begins = [next((i for i in range(b, e) if timings[i] != WARM_UP), e) for b, e in pairwise(self.bounds)]
        self.table, asks = kit.table(self.candles.total)
        self.rows = kit.rows(self._rows_max(series_ms))
        self._settled, settlements = [0], []
        self._rings = kit.rings(0)
        self._idle_rows: list[int] = []
        total, self.closes = 0, 0
        for symbol in range(symbols):
            observed = kit.observed(None if self._refers else symbol)
            total, self.closes = self._prepare(symbol, observed, asks, total)
            kit.add_idle(self.rows, total, observed, symbol if self._refers else 0)
            self._idle_rows.append(total)
            total += 1
            settlements += self._settlements(symbol)
            self._settled.append(len(settlements))
        self.due = kit.records(settlements or [Settlement()])
        kit.fill_pauses(self.candles, self.table)
        if symbols > 1:
            kit.fill_order(self._ordered, kit.ints(self.bounds), self.table)
        self.total = total
        self.table.ask[self.candles.total] = self.closes
        asks.candle[self.closes], asks.row[self.closes] = self.candles.total, total - 1
        self.asks = Asks(asks.candle[: self.closes + 1], asks.row[: self.closes + 1])

    def _prepare(self, symbol: int, observed: tuple[Any, ...], asks: Asks, total: int) -> tuple[int, int]:
        """Run the first pass for a symbol, whose rows begin with the one `total`; return the new ends of the tables."""
        kit, plan = self.kit, self.plan
        markets, series, bars, settlements, readings, signals = observed
        if self._refers:
            others = series, bars, markets, kit.references
            own = others, markets[symbol], (settlements[symbol], readings[symbol], signals[symbol])
            first = self._ordered, symbol, total, self.closes, self.bounds[symbol], kit.facts_scratch, kit.slots
            filled = kit.ints(plan.shown), self.table, asks, self.rows
            rows, closes = kit.prepare_beside(series, bars, symbol, *own, *first, *filled)
            return int(rows), int(closes)
        rings = markets, settlements, readings, signals, kit.slots
        idle = kit.records([SymbolState()]), kit.records([Account(day_end_ms=NEVER_MS)])
        span = self._fact_bounds[symbol], self._fact_bounds[symbol + 1], total, self.closes, self.bounds[symbol]
        into = kit.ints(plan.shown), self.table, asks, self.rows
        rows, closes = kit.prepare(series, bars, 0, self.facts, *span, kit.facts_scratch, *rings, *idle, *into)
        return int(rows), int(closes)

    def _rows_max(self, series_ms: Sequence[int]) -> int:
        """Return how many rows there can be: closes of every series, of references too, long holes, other facts."""
        most: list[int] = []
        for first, end in pairwise(self.bounds):
            most.append(2)
            if end > first:
                span_ms = int(self.candles.time_ms[end - 1]) - int(self.candles.open_time_ms[first])
                most[-1] += span_ms // GAP_RESET_MS
                most[-1] += sum(min(end - first, span_ms // frame_ms + 2) for frame_ms in series_ms)
        beside = sum(most[r] for r in self.kit.references) * len(most)
        return int(self.facts.total - self.candles.total + sum(most) + beside)

    def _settlements(self, symbol: int) -> list[Settlement]:
        """Return all settlements of a symbol, by the number that the kernel gives them."""
        if self.facts.total == self.candles.total:
            return []
        first, end = self._fact_bounds[symbol : symbol + 2]
        found = [f for f, kind in enumerate(self.facts.kind[first:end].tolist(), first) if kind == FUNDING]
        return [Settlement(int(self.facts.time_ms[f]), float(self.facts.close[f])) for f in found]

    def extent(self, span: TradedSpan) -> Extent | None:
        """Return the candles of a span, None if they are not all that happens before its end."""
        opens_ms = self.candles.open_time_ms
        if span.end_ms is not None and not self._ends_cleanly(span.end_ms):
            return None
        blocks = list(zip(self._begins, self.bounds[1:], strict=True))
        firsts = [b if span.start_ms is None else bisect_left(opens_ms, span.start_ms, b, e) for b, e in blocks]
        ends = [e if span.end_ms is None else bisect_left(opens_ms, span.end_ms, b, e) for b, e in blocks]
        traded = [(first, end) for first, end in zip(firsts, ends, strict=True) if first < end]
        if not traded:
            return Extent(firsts, ends, 0)
        from_ms = min(int(opens_ms[first]) for first, _ in traded)
        until_ms = max(int(opens_ms[end - 1]) for _, end in traded)
        return Extent(firsts, ends, until_ms // DAY_MS - from_ms // DAY_MS + 1)

    def _ends_cleanly(self, end_ms: int) -> bool:
        """Return whether no other fact comes before the last candle of a span and after its end."""
        facts, other = self._ordered, False
        kinds, opens_ms = facts.kind, facts.open_time_ms
        for f in range(self._tape.first_at(facts, end_ms, 0), facts.total):
            is_candle = kinds[f] == CANDLE
            if is_candle and opens_ms[f] >= end_ms:
                return True
            if is_candle and other:
                return False
            other = other or not is_candle
        return True

    # ------------------------------------------------------------ passes

    def follow(self, key: Hashable, param: Any) -> Any:
        """Return the strategy's state at every row, under the parameters of one set.

        `key` is what its observing hooks read of them. The states of the last key are kept, and no others.
        """
        if self._followed is not None and self._followed[0] == key:
            return self._followed[1]
        kit = self.kit
        states = kit.states(self.total, None if self._followed is None else self._followed[1])
        self._followed, first = None, 0
        for symbol, idle in enumerate(self._idle_rows):
            facts, span = self._ordered if self._refers else self.facts, (self.rows, symbol, first, idle)
            kit.follow(facts, kit.facts_scratch, *span, *kit.rings(symbol), kit.new_state(), param, states)
            kit.end_states(states)
            first = idle + 1
        self._followed = key, states
        return states

    def all_closes(self) -> FoundCloses:
        """Return every close as one at which any set may enter, and leave."""
        kit = self.kit
        entries = kit.counting(self.closes + 1)
        return FoundCloses(entries, kit.ints([self.closes]), entries, entries)

    def find_entries(
        self, key: Hashable, states: Any, params: Any, needs: Any, members: Sequence[int], skipped: int
    ) -> tuple[Any, Any]:
        """Return the closes at which each of these sets may enter, and their number.

        `key` is what decides them, with the key of the states; what was found last is kept. `skipped` has a bit for
        each of the first conditions of an entry that may differ between them.
        """
        key = key, self._followed and self._followed[0]
        if self._entries[0] != key:
            self._entries = key, self._find_entries(states, params, needs, members, skipped)
        found: tuple[Any, Any] = self._entries[1]
        return found

    def _find_entries(
        self, states: Any, params: Any, needs: Any, members: Sequence[int], skipped: int
    ) -> tuple[Any, Any]:
        own, among = (states, params, needs), self._every()
        if len(members) > 1 and skipped + 1 < 1 << len(self.plan.sifting):
            try:
                [found], [count] = self._find(
                    self.kit.sift_entries, 0, among, *own, members[:1], self.kit.ints([skipped])
                )
                among = found, int(count)
            except HOOK_ERRORS:  # A condition that failed may have been kept from it by one that was skipped.
                pass
        return self._find(self.kit.find_entries, 0, among, *own, members, self.kit.answers)

    def _every(self) -> tuple[Any, int]:
        """Return all closes, and their number."""
        return self.kit.counting(self.closes)[0], self.closes

    def find_exits(
        self, key: Hashable, states: Any, params: Any, needs: Any, members: Sequence[int]
    ) -> tuple[Any, Any]:
        """Return the first closes at which each of these sets may leave, long and short.

        `key` is what decides them; what was found last is kept.
        """
        if self._exits[0] != key:
            self._exits = key, self._find_exits(states, params, needs, members)
        found: tuple[Any, Any] = self._exits[1]
        return found

    def _find_exits(self, states: Any, params: Any, needs: Any, members: Sequence[int]) -> tuple[Any, Any]:
        sides = []
        for side in SIDES if self.plan.asks_side else SIDES[:1]:
            own = states, params, needs, members, self.kit.answers
            found, counts = self._find(self.kit.find_exits, side, self._every(), *own)
            following = self.kit.grid(len(members), self.closes + 1)
            self.kit.fill_following(found, counts, self.closes, following)
            sides.append(following)
        return sides[0], sides[-1]

    def _find(
        self,
        find: Any,
        side: int,
        among: tuple[Any, int],
        states: Any,
        params: Any,
        needs: Any,
        members: Sequence[int],
        answers: Any,
    ) -> tuple[Any, Any]:
        """Run the third pass for some sets, on a symbol with a position of a side."""
        kit, asks = self.kit, self.asks
        found, counts = kit.grid(len(members), self.closes + 1), kit.ints([0] * len(members))
        desk = kit.records([SymbolState(position=Position(side=side))])
        seen = self.rows, *self._rings, states, desk, kit.twin(kit.accounts)
        find(self.candles.time_ms, asks, *among, *seen, params, needs, kit.ints(members), answers, found, counts)
        return found, counts

    def trade(
        self,
        extent: Extent,
        states: Any,
        params: Any,
        needs: Any,
        members: Sequence[int],
        found: FoundCloses,
        groups: Any,
    ) -> list[SetResult]:
        """Return the results of sets; `groups` has the group of entries of each, and that of exits."""
        kit, count = self.kit, len(members)
        figures, days = kit.zeros(Figures, count), kit.floats(count, extent.days)
        tables = Tables(self.candles, self.table, self.asks, self.rows, self.due)
        sets = kit.ints(members), kit.facts_scratch, states, params, needs
        accounts = kit.copies(kit.desks, count), kit.copies(kit.accounts, count)
        exchange = Exchange(kit.rules, kit.contracts, kit.tiers, kit.answers, kit.out, kit.notes)
        known = *self._rings, *found, *map(kit.ints, groups), *sets, *accounts, exchange, figures, days
        if len(self._idle_rows) == 1:
            kit.trade(tables, self._idle_rows[0], extent.first[0], extent.end[0], *known)
        else:
            kit.trade_all(tables, kit.copies(kit.records(self._cursors(extent)), count), *self._ends(extent), *known)
        ends = kit.rows_bytes(days)
        return [
            SetResult._make((*leaves[:FIGURES], 0, end)) for leaves, end in zip(kit.leaves(figures), ends, strict=True)
        ]

    def _cursors(self, extent: Extent) -> list[SymbolTurn]:
        """Return where the trading of every symbol begins; one that is not traded ends there."""
        spans, active = zip(extent.first, extent.end, strict=True), self.kit.active
        return [
            SymbolTurn(first, end if active[symbol] else first, 0, self._idle_rows[symbol], self._settled[symbol])
            for symbol, (first, end) in enumerate(spans)
        ]

    def _ends(self, extent: Extent) -> tuple[int, int]:
        """Return the places of the first and of the last candle of a span."""
        traded = [(first, end - 1) for first, end in zip(extent.first, extent.end, strict=True) if first < end]
        firsts, lasts = zip(*traded, strict=True)
        order = self.table.order.__getitem__
        return min(firsts, key=order), max(lasts, key=order)


def untraded(capital_usdt: float) -> SetResult:
    """Return the result of a span without a candle."""
    return SetResult(
        *(capital_usdt, capital_usdt, capital_usdt, 0.0, 0), *(0.0, 0.0, 0.0, 0.0), *(0, 0, 0, 0, 0, 0, 0), b""
    )
