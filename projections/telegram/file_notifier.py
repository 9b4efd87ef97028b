"""The notifier without a token: every alert becomes one line in the local log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from papertape.events.log import Recorded
from papertape.projections.host import FOLLOW_EVENTS_MAX, Announcer, EventSource
from papertape.projections.persistence.fold_store import FoldPersistence, NullFoldStore
from papertape.projections.telegram.delivery_queues import AlertFold
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.telegram.text import one_line


class FileNotifier:
    """Reports what comes after the head at the start, or after `begin_after_seq`. `alerts` is a new fold.

    `notes` are for the start of this process, by its seq.
    """

    def __init__(
        self,
        reader: EventSource,
        bus: Announcer,
        alerts: AlertFold,
        write_line: Callable[[str], None],
        *,
        begin_after_seq: int | None = None,
        notes: Mapping[int, str] | None = None,
        store: FoldPersistence | None = None,
    ) -> None:
        self._reader, self._bus, self._write_line = reader, bus, write_line
        self._store, self._notes, self._begin_seq = store or NullFoldStore(), notes or {}, begin_after_seq
        self._alerts, self._seq = self._store.restore(alerts)
        self._head_seq = self._reported = 0

    def statistics(self) -> DeliveryStatistics:
        """Return what was reported, and how far behind the log it is."""
        return DeliveryStatistics(sent=self._reported, lag_events=self._head_seq - self._seq)

    async def run(self) -> None:
        """Report alerts until the bus is closed and everything is reported."""
        self._head_seq = await self._bus.wait_beyond(-1)
        begin_seq = self._head_seq if self._begin_seq is None else self._begin_seq
        while True:
            self._head_seq = await self._bus.wait_beyond(self._seq)
            if self._head_seq <= self._seq:
                await self._store.save(self._seq, self._alerts, last=True)
                return
            for recorded in self._reader.read(self._seq, FOLLOW_EVENTS_MAX):
                self._alerts.apply(recorded)
                self._seq = recorded.seq
                if recorded.seq > begin_seq:
                    self._report(recorded)
            await self._store.save(self._seq, self._alerts)
            # A long catch-up must let others have their turn between pages.
            await asyncio.sleep(0)

    def _report(self, recorded: Recorded) -> None:
        alert = self._alerts.alert_of(recorded, self._notes.get(recorded.seq, ""))
        if alert is not None and (line := one_line(alert.html)):
            self._write_line(line)
            self._reported += 1
