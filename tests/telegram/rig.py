"""A rig for the notifier: a tape of events, plain alerts, and a notifier connected to the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from papertape.engine.ports.clock import Clock
from papertape.events.bus import Bus
from papertape.events.cursors import Cursors, MemoryCursors
from papertape.events.facts import AnomalyRaised, Event, KillSwitchTripped
from papertape.events.log import Recorded
from papertape.projections.alerts.alert import Alert, AlertKind
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.secret import BotToken
from papertape.projections.telegram.text import escape
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import CHAT_ID, TelegramTwin
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run

T = TypeVar("T")
HOUR_S = 3_600.0
PATIENCE_S = 0.25


class Plain:
    """Alerts with their seq and detail. It is a fold: it needs every event, once, in order."""

    def __init__(self) -> None:
        self.seq = 0

    def apply(self, recorded: Recorded, /) -> None:
        assert recorded.seq == self.seq + 1
        self.seq = recorded.seq

    def alert_of(self, recorded: Recorded, note: str = "", /) -> Alert | None:  # noqa: ARG002
        assert recorded.seq == self.seq
        match recorded.event:
            case AnomalyRaised(detail=detail):
                kind, said = AlertKind.ANOMALY, detail
            case KillSwitchTripped(why=why):
                kind, said = AlertKind.KILL_SWITCH, why
            case _:
                return None
        return Alert(recorded.seq, recorded.event.at_ms, kind, f"<b>{recorded.seq}</b> {escape(said, 100_000)}")


class Tape:
    """A log in a list, and the bus that announces its growth."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: list[Recorded] = []
        self.bus = Bus()

    def add(self, *events: Event) -> int:
        """Record events now; return the seq of the last one."""
        for event in events:
            self.events.append(Recorded(len(self.events) + 1, self._clock.now_ms(), 0, event))
        self.bus.publish(len(self.events))
        return len(self.events)

    def read(self, after_seq: int, limit: int = 1_000) -> list[Recorded]:
        """See `projections.host.EventSource`."""
        return self.events[after_seq : after_seq + limit]

    def hash_at(self, seq: int) -> bytes | None:
        """See `projections.persistence.fold_store.RowHashReader`: each event is a row of its own."""
        return seq.to_bytes(32, "big") if 0 < seq <= len(self.events) else None


class Rig:
    """A stand-in, a tape, and notifiers over them. `told` are the lines they wrote to the local log."""

    def __init__(self, clock: VirtualClock, twin: TelegramTwin, cursors: Cursors | None = None) -> None:
        self.clock = clock
        self.twin = twin
        self.tape = Tape(clock)
        self.cursors = cursors or MemoryCursors()
        self.told: list[str] = []
        self.configured_id = CHAT_ID

    def notifier(self, client: TelegramClient, **more: Any) -> Notifier:
        given: dict[str, Any] = {"begin_after_seq": 0, "reader": self.tape, "alerts": Plain, **more}
        return Notifier(
            bus=self.tape.bus,
            cursors=self.cursors,
            client=client,
            address=ChatAddress(self.configured_id, self.cursors, self.told.append),
            clock=self.clock,
            write_line=self.told.append,
            **given,
        )

    @asynccontextmanager
    async def running(self, **more: Any) -> AsyncIterator[Notifier]:
        """Run a notifier, cut off at the end as by a crash."""
        client = TelegramClient(BotToken(self.twin.token), self.twin.api_url)
        notifier = self.notifier(client, **more)
        task = asyncio.ensure_future(notifier.run())
        try:
            yield notifier
        finally:
            task.cancel()
            await asyncio.wait([task])
            await client.close()
        if not task.cancelled():
            task.result()

    async def sent(self, count: int, within_s: float = 600.0) -> list[str]:
        """Return the texts as soon as there are so many."""
        until_ms = self.clock.now_ms() + within_s * 1_000.0
        while len(self.twin.messages) < count:
            assert self.clock.now_ms() < until_ms, (self.twin.texts[-5:], self.told)
            await asyncio.sleep(PATIENCE_S)
        return self.twin.texts

    def seqs(self) -> list[int]:
        """Return the seqs of the messages, in order."""
        return [int(text.split()[0]) for text in self.twin.texts]


def rigged(use: Callable[[Rig], Awaitable[T]], cursors: Cursors | None = None, **manner: Any) -> T:
    """Run a test with a rig in virtual time."""

    async def main(clock: VirtualClock) -> T:
        async with TelegramTwin(clock, **({"limits": UNLIMITED} | manner)) as twin:
            return await use(Rig(clock, twin, cursors))

    return run(main, START_MS)
