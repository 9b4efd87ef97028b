"""The engine without a terminal: one line per event of interest, as words or as an object."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cli.log_view import json_fields
from cli.output import emit
from events.facts import ContractListed
from projections.formats import utc
from projections.host import Cursor, follow
from projections.words import interesting, words

if TYPE_CHECKING:
    from engine.boot import Engine
    from events.log import Recorded


class Lines:
    """A projection that writes each event it takes to stdout."""

    def __init__(self, contracts: dict[str, ContractListed], as_json: bool) -> None:
        self.contracts = contracts
        self.as_json = as_json

    def apply(self, recorded: Recorded) -> None:
        """Write one event."""
        event = recorded.event
        if isinstance(event, ContractListed):
            self.contracts[event.symbol] = event
        if self.as_json:
            emit(json_fields(recorded))
        elif interesting(event):
            line = words(recorded, self.contracts)
            sys.stdout.write(f"{recorded.seq:>9}  {utc(event.at_ms)}  {line.icon} {line.text}\n")


async def tell(running: Engine, as_json: bool) -> None:
    """Follow the log from where this start began, line by line."""
    before = {event.symbol: event for event in running.loop.world.listed}
    lines = Lines(before, as_json)
    recovered = running.recovered
    if not as_json:
        sys.stdout.write(
            f"papertape: seq {recovered.seq}, {recovered.replayed_events} events replayed "
            f"behind the snapshot at {recovered.snapshot_seq} in {recovered.took_ms:.0f} ms\n"
        )
    reader = running.log.reader()
    try:
        await follow(reader, running.bus, [lines, _Flush()], Cursor(recovered.seq))
    finally:
        reader.close()
        sys.stdout.flush()


class _Flush:
    """Lets a pipe see the lines while the engine runs."""

    def apply(self, recorded: Recorded) -> None:
        """Flush behind what a person waits for."""
        if interesting(recorded.event):
            sys.stdout.flush()
