"""The output of an engine without a terminal: one line per notable event, or one JSON object per event."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from papertape.cli.render.event_json import json_fields, json_line
from papertape.cli.wiring import warn
from papertape.events.facts import ContractListed
from papertape.events.text import replace_unsafe
from papertape.projections.host import FOLLOW_EVENTS_MAX, Cursor, fold
from papertape.projections.text.event_lines import event_line, is_notable
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from papertape.engine.startup import Engine
    from papertape.events.log import Recorded


class EventLineFold:
    """A projection that turns events into lines."""

    def __init__(self, contracts: dict[str, ContractListed], as_json: bool) -> None:
        self.contracts = contracts
        self.as_json = as_json
        self._lines: list[str] = []

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        event = recorded.event
        if isinstance(event, ContractListed):
            self.contracts[event.symbol] = event
        if self.as_json:
            self._lines.append(json_line(json_fields(recorded)))
        elif is_notable(event):
            line = event_line(recorded, self.contracts)
            self._lines.append(replace_unsafe(f"{recorded.seq:>9}  {utc(event.at_ms)}  {line.icon} {line.text}\n"))

    def drain(self) -> str:
        """Return and forget the lines so far."""
        lines, self._lines = self._lines, []
        return "".join(lines)


class Pipe:
    """A pipe with its own thread: a reader that is slow, stopped or gone does not block the engine."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[tuple[bytes, asyncio.Future[None]]] = SimpleQueue()
        # A thread that waits for a stopped reader must not keep the process alive.
        Thread(target=self._write, name="stdout", daemon=True).start()

    async def write(self, text: str) -> None:
        """Wait until the text is written. Raise OSError if nobody reads any more."""
        if text:
            written = self._loop.create_future()
            self._waiting.put((text.encode(sys.stdout.encoding, "replace"), written))
            await written

    def _write(self) -> None:
        while True:
            content, written = self._waiting.get()
            failure = None
            try:
                while content:
                    content = content[os.write(self._descriptor, content) :]
            except OSError as error:
                failure = error
            with suppress(RuntimeError):  # The engine has ended meanwhile.
                self._loop.call_soon_threadsafe(_settle, written, failure)


def _settle(written: asyncio.Future[None], failure: OSError | None) -> None:
    """Resolve the future unless its waiter has gone."""
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


async def print_events(running: Engine, as_json: bool) -> None:
    """Print the events from this start on, line by line."""
    listed = {event.symbol: event for event in running.loop.state.listed}
    lines, out = EventLineFold(listed, as_json), Pipe(sys.stdout.fileno())
    recovered = running.recovered
    cursor, reader = Cursor(recovered.seq), running.log.reader()
    try:
        if not as_json:
            await out.write(
                f"papertape: seq {recovered.seq}, {recovered.replayed_events} events replayed "
                f"after the snapshot at {recovered.snapshot_seq} in {recovered.took_ms:.0f} ms\n"
            )
        while await running.bus.wait_beyond(cursor.seq) > cursor.seq:
            events = reader.read(cursor.seq, FOLLOW_EVENTS_MAX)
            cursor.advance(events)
            fold([lines], events)
            await out.write(lines.drain())
    except OSError as error:
        warn(f"stdout is closed, so the engine continues without printing events: {error.strerror}")
    finally:
        reader.close()
