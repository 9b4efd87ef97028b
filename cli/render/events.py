"""`papertape log`: show events in words or as JSON lines, and follow a growing log."""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from papertape.cli.log_reader import check_names, contracts_of, read_backwards, read_forwards, require_known
from papertape.cli.render.console import QUIET, STYLES, emit, notes, stdout
from papertape.cli.render.event_json import json_fields
from papertape.events.facts import EVENT_TYPES, type_name
from papertape.projections.site.event_query import EventFilter
from papertape.projections.text.event_lines import event_line
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.events.log import Head, Recorded
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.projections.folds.contracts import Contracts

POLL_SECONDS = 0.5
NARROW_COLUMNS = 60


def show_log(
    reader: SqliteLogReader, selection: EventFilter, *, from_seq: int | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Show events and, if following, new ones as they come. Raise UsageError for an unknown name."""
    for kind in sorted(selection.types):
        require_known(kind, map(type_name, EVENT_TYPES), "event type")
    check_names(reader, selection.symbol, selection.strategy)
    head = reader.head()
    events = _read_matching(reader, selection, from_seq, 0 if follow and from_seq else limit, head)
    writer = _Json() if as_json else _Lines(contracts_of(reader, events), len(f"{head.seq:,}"))
    writer.write(events)
    if follow:
        _follow(reader, selection, writer, head.seq if from_seq is None else from_seq - 1)
    elif not events and not as_json:
        notes(stdout(), [_nothing(selection, head.seq)])


def _read_matching(
    reader: SqliteLogReader, selection: EventFilter, from_seq: int | None, limit: int, head: Head
) -> list[Recorded]:
    """Read the newest events, or those from a seq on; oldest first."""
    if from_seq is None:
        return list(islice(filter(selection.matches, read_backwards(reader, head.seq)), limit))[::-1]
    return list(islice(filter(selection.matches, read_forwards(reader, from_seq - 1, head)), limit))


def _nothing(selection: EventFilter, head_seq: int) -> str:
    if not head_seq:
        return "The log is empty: no engine has written to it yet."
    more = " --all also shows candles, rates, open interest and signals."
    hint = "" if selection.everything or selection.types else more
    return f"None of the log's {head_seq:,} events matches.{hint}"


def _follow(reader: SqliteLogReader, selection: EventFilter, writer: _Lines | _Json, seq: int) -> None:
    """Poll for new events until Ctrl-C; the log is only read."""
    try:
        while True:
            events = reader.read(seq)
            if events:
                seq = events[-1].seq
                writer.write([recorded for recorded in events if selection.matches(recorded)], events)
            else:
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


class _Json:
    """Events as JSON, one per line."""

    def write(self, events: Sequence[Recorded], passed: Iterable[Recorded] = ()) -> None:  # noqa: ARG002
        for recorded in events:
            emit(json_fields(recorded))
        sys.stdout.flush()


class _Lines:
    """Events in words. On a terminal, long texts wrap in their own column; elsewhere each event is one line."""

    def __init__(self, contracts: Contracts, seq_width: int) -> None:
        self._contracts = contracts
        self._seq_width = seq_width
        self._console = stdout()

    def write(self, events: Sequence[Recorded], passed: Iterable[Recorded] = ()) -> None:
        for recorded in passed:
            self._contracts.apply(recorded)
        wraps = self._console.is_terminal and self._console.width >= NARROW_COLUMNS
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(justify="right", min_width=self._seq_width, no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        for recorded in events:
            cells = self._cells(recorded)
            if wraps:
                grid.add_row(*cells)
            else:
                self._print(cells)
        if wraps and events:
            self._console.print(grid)

    def _cells(self, recorded: Recorded) -> tuple[Text, Text, Text]:
        line = event_line(recorded, self._contracts.by_symbol)
        seq = Text(f"{recorded.seq:,}".rjust(self._seq_width), style=QUIET)
        text = Text(f"{line.icon} {line.text}", style=STYLES[line.kind])
        return seq, Text(utc(recorded.event.at_ms), style=QUIET), text

    def _print(self, cells: tuple[Text, Text, Text]) -> None:
        self._console.print(Text("  ").join(cells), soft_wrap=True)
