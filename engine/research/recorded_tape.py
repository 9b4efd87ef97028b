"""A log's market as a tape: its candles, settlements, readings and signals as they were recorded, in that order.

Late candles stay late and warm-up candles stay warm-up; holes stay holes. What changed a contract or its status is
applied where it was recorded. The decisions, the configuration and the commands of the log are left out.
"""

from __future__ import annotations

from array import array
from contextlib import closing
from struct import Struct as Layout
from typing import TYPE_CHECKING, Any, Final

from msgspec import field

from papertape.engine.feeds.files.columns import CandleColumns, SeriesColumns
from papertape.engine.kernel.codes import CANDLE, EXTERNAL_SIGNAL, FUNDING, ON_TIME, OPEN_INTEREST, WARM_UP
from papertape.engine.kernel.state import FactColumns
from papertape.engine.research.tape import MARKET_CHANGE, Tape, run_ends
from papertape.events.errors import UsageError
from papertape.events.facts import (
    CONFIGURATION,
    CandleClosed,
    CloseRequested,
    ContractDelisted,
    ContractListed,
    Event,
    FundingRateSettled,
    KillSwitchReset,
    KillSwitchTripped,
    OpenInterestObserved,
    RunnerPaused,
    RunnerResumed,
    SignalReceived,
    SymbolResumed,
    SymbolSuspended,
)
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from papertape.events.log import LogReader

ROW: Final = Layout("=5q5d")
"""A fact as bytes: five whole numbers, five floats, in the order of the fields of `Fact`."""
_TYPES = "bHbqqddddd"
"""The types of the columns of a tape, as codes of arrays."""

_COMMANDS = (CloseRequested, KillSwitchReset, RunnerPaused, RunnerResumed)


class RecordedTape(Tape):
    """A tape whose facts are given in their order, one `ROW` each, instead of by its tables.

    `events` are the signals and the changes of contracts; a fact of these kinds has its event's index as open time.
    `warm_ups` counts the warm-up candles that each symbol begins with, and `commands` what the log's owner ordered:
    pauses, closes, trips and resets by hand, which a backtest does not repeat.
    """

    rows: bytes = b""
    events: list[Event] = field(default_factory=list)
    warm_ups: list[int] = field(default_factory=list)
    commands: int = 0

    @property
    def signal_names(self) -> list[str]:
        """The names of the events, by their number; a change of a contract has none."""
        return [getattr(event, "name", "") for event in self.events]

    @property
    def disorder(self) -> str:
        """Say what in the order of the log keeps sets from a prepared market; late candles do not."""
        last_ms, begun, opened_ms = 0, False, [-1] * len(self.contracts)
        for kind, symbol, timing, open_ms, time_ms, *_ in ROW.iter_unpack(self.rows):
            if kind == MARKET_CHANGE:
                return "a contract changes in the log"
            if kind == CANDLE:
                if time_ms < last_ms or open_ms <= opened_ms[symbol] or (begun and timing == WARM_UP):
                    return "candles out of order in the log"
                last_ms, opened_ms[symbol], begun = time_ms, open_ms, timing != WARM_UP
        return ""

    def columns(self) -> FactColumns:
        """Return plain arrays in the recorded order."""
        integers, floats = memoryview(self.rows).cast("q"), memoryview(self.rows).cast("d")
        views = [(integers if place < 5 else floats)[place::10] for place in range(10)]
        made: list[Any] = [array(code, view) for code, view in zip(_TYPES, views, strict=True)]
        begins_ms = [opened if kind == CANDLE else at for kind, opened, at in zip(made[0], *made[3:5], strict=True)]
        if self.end_ms is not None:
            kept = [row for row, begin_ms in enumerate(begins_ms) if begin_ms < self.end_ms]
            made = [array(column.typecode, map(column.__getitem__, kept)) for column in made]
            begins_ms = [begins_ms[row] for row in kept]
        if self.start_ms is not None:
            for row, begin_ms in enumerate(begins_ms):
                if begin_ms < self.start_ms and made[0][row] == CANDLE:
                    made[2][row] = WARM_UP
        return FactColumns._make([*made, run_ends(*made[:3])])

    def arrays(self) -> FactColumns:
        """Return numpy arrays in the recorded order."""
        from papertape.engine.research.rows import columns_of_bytes  # noqa: PLC0415 - numpy belongs to an extra

        return columns_of_bytes(self.rows, self.start_ms, self.end_ms)

    def total(self) -> int:
        """Return the number of facts, any behind a narrower end included."""
        return len(self.rows) // ROW.size

    def traded_from_ms(self) -> int:
        """Return when the first candle opens that is not warm-up; raise ValueError if there is none."""
        traded = (table.open_time_ms[warm:] for table, warm in zip(self.candles, self.warm_ups, strict=True))
        return min(opens_ms[0] for opens_ms in traded if opens_ms)

    def count_candles(self, symbol: int) -> tuple[int, int]:
        """Return how many candles of a symbol count, and how many warm-up candles it begins with."""
        count, warm_up = self.count_rows(self.candles[symbol].open_time_ms)
        return count, min(count, max(warm_up, self.warm_ups[symbol]))

    def places(self, facts: FactColumns, symbol: int, rows: set[int]) -> set[int]:
        """Return the indices, in the tape's facts, of rows of a symbol's candles."""
        own = [f for f in range(facts.total) if facts.symbol[f] == symbol and facts.kind[f] == CANDLE]
        return {own[row] for row in rows}

    def first_at(self, facts: FactColumns, time_ms: int, first: int) -> int:
        """Return the index of the first fact from `first` on that is not before a time, the number of facts if none."""
        total = facts.total
        return next((f for f in range(first, total) if facts.time_ms[f] >= time_ms), total)

    def changes(self, facts: FactColumns) -> dict[int, Event]:
        """Return what changes a contract or its status in the course of the tape, by the index of its fact."""
        found: dict[int, Event] = {}
        kinds, mark = bytes(facts.kind), bytes([MARKET_CHANGE])
        index = kinds.find(mark)
        while index >= 0:
            found[index] = self.events[int(facts.open_time_ms[index])]
            index = kinds.find(mark, index + 1)
        return found

    def event_at(self, number: int, time_ms: int, value: float) -> Event:  # noqa: ARG002 - the event holds them
        """Return the event of a fact that is a signal or a change, by its number."""
        return self.events[number]


def tape_of_log(
    path: Path,
    symbols: Sequence[str] = (),
    start_ms: int | None = None,
    end_ms: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> RecordedTape:
    """Return the market of a log, up to the head that it has now; an engine may be writing it.

    `symbols` restricts the tape, which has all without them; facts from `end_ms` on are left out, so that the tape of a
    period stays the same while the log grows. `on_progress` receives the seq that was read last. Raise
    UsageError for a symbol that is not in the log and for a log without candles, and LogMissing, LogForeign,
    LogDamaged or LogFromNewerVersion for one that cannot be read.
    """
    with closing(SqliteLogReader(path)) as reader:
        recording = _Recording(symbols, end_ms)
        for event in _events(reader, on_progress):
            recording.take(event)
    return recording.tape(path, start_ms, end_ms)


def _events(reader: LogReader, on_progress: Callable[[int], None]) -> Iterator[Event]:
    """Yield the events of a log up to its present head."""
    until_seq = reader.head().seq
    for commit in reader.commits():
        if commit.seq > until_seq:
            return
        yield from commit.events
        on_progress(commit.last_seq)


class _Recording:
    """Collects the market of a log, event by event."""

    def __init__(self, symbols: Sequence[str], end_ms: int | None) -> None:
        self._wanted, self._end_ms = frozenset(symbols), 1 << 62 if end_ms is None else end_ms
        self._seen: dict[str, None] = {}
        self._contracts: dict[str, ContractListed] = {}
        self._numbers: dict[str, int] = {}
        self._candles: list[CandleColumns] = []
        self._series: dict[int, list[SeriesColumns | None]] = {FUNDING: [], OPEN_INTEREST: []}
        self._warm_ups: list[int] = []
        self._rows = bytearray()
        self._events: list[Event] = []
        self._commands = 0

    def take(self, event: Event) -> None:
        """Take in one event; what is not of the market, or of another symbol, is left out."""
        if isinstance(event, CandleClosed):
            if (number := self._numbers.get(event.symbol)) is not None:
                self._take_candle(event, number)
        elif isinstance(event, FundingRateSettled):
            self._take_reading(FUNDING, event, event.rate)
        elif isinstance(event, OpenInterestObserved):
            self._take_reading(OPEN_INTEREST, event, event.open_interest_base)
        elif isinstance(event, SignalReceived):
            self._take_whole(EXTERNAL_SIGNAL, event, event.value)
        elif isinstance(event, ContractListed) and event.symbol not in self._numbers:
            self._list(event)
        elif isinstance(event, ContractListed | ContractDelisted | SymbolSuspended | SymbolResumed):
            self._take_whole(MARKET_CHANGE, event, 0.0)
        elif _is_command(event):
            self._commands += 1

    def tape(self, path: Path, start_ms: int | None, end_ms: int | None) -> RecordedTape:
        """Return what was collected."""
        for symbol in self._wanted - self._seen.keys():
            raise UsageError(f"there is no symbol {symbol!r}; {path} has: {', '.join(self._seen) or 'none yet'}")
        if not any(table.open_time_ms for table in self._candles):
            raise UsageError(f"{path} holds no candle to run over")
        return RecordedTape(
            list(self._contracts.values()),
            self._candles,
            self._series[FUNDING],
            self._series[OPEN_INTEREST],
            start_ms,
            end_ms,
            rows=bytes(self._rows),
            events=self._events,
            warm_ups=self._warm_ups,
            commands=self._commands,
        )

    def _list(self, event: ContractListed) -> None:
        """Begin a symbol with its first contract."""
        self._seen[event.symbol] = None
        if not self._wanted or event.symbol in self._wanted:
            self._numbers[event.symbol] = len(self._numbers)
            self._contracts[event.symbol] = event
            self._candles.append(CandleColumns("", event.timeframe_ms))
            self._warm_ups.append(0)
            for tables in self._series.values():
                tables.append(None)

    def _take_candle(self, event: CandleClosed, number: int) -> None:
        """Take in a candle, as a fact and as a row of its symbol's table."""
        open_ms, timing, table = event.at_ms - event.timeframe_ms, event.timing, self._candles[number]
        if open_ms >= self._end_ms:
            return
        prices = (event.open, event.high, event.low, event.close, event.volume)
        self._rows += ROW.pack(CANDLE, number, timing, open_ms, event.at_ms, *prices)
        if timing == WARM_UP and len(table.open_time_ms) == self._warm_ups[number]:
            self._warm_ups[number] += 1
        table.open_time_ms.append(open_ms)
        for column, value in zip(table.values(), prices, strict=True):
            column.append(value)

    def _take_reading(self, kind: int, event: FundingRateSettled | OpenInterestObserved, value: float) -> None:
        """Take in a settlement or a reading of open interest, as a fact and as a row of its table."""
        number = self._numbers.get(event.symbol)
        if number is None or event.at_ms >= self._end_ms:
            return
        self._rows += ROW.pack(kind, number, ON_TIME, event.at_ms, event.at_ms, 0.0, 0.0, 0.0, value, 0.0)
        table = self._series[kind][number] or SeriesColumns("")
        self._series[kind][number] = table
        table.time_ms.append(event.at_ms)
        table.value.append(value)

    def _take_whole(self, kind: int, event: Any, value: float) -> None:
        """Take in an event that a row cannot hold."""
        if (number := self._numbers.get(event.symbol)) is not None and event.at_ms < self._end_ms:
            self._rows += ROW.pack(kind, number, ON_TIME, len(self._events), event.at_ms, 0.0, 0.0, 0.0, value, 0.0)
            self._events.append(event)


def _is_command(event: Event) -> bool:
    """Return whether an event is an order of the log's owner that changed what a strategy did."""
    if isinstance(event, KillSwitchTripped):
        return event.reason == "manual"
    return isinstance(event, _COMMANDS) and getattr(event, "who", "") != CONFIGURATION
