"""Collect a backlog: one digest replaces everything that waited during an outage."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS
from papertape.projections.alerts.alert import Alert
from papertape.projections.telegram.delivery_queues import DeliveryQueue, MessageForm, OutgoingMessage
from papertape.projections.telegram.text import CUT_MARK, split

OUTAGE_MS: Final = HOUR_MS
"""Once the oldest unsent alert is older than this, one digest replaces all of them."""
URGENT_SINGLE_MAX: Final = 18
"""So many urgent alerts are still sent one by one before a digest; together they fit into one minute's limit."""


class DigestFold(Protocol):
    """A fold of a backlog. Its size does not grow with the outage."""

    def apply(self, recorded: Recorded, alert: Alert | None, /) -> None:
        """Apply one event with its alert, or None if that was delivered."""

    def html(self) -> str:
        """Return the message for the backlog."""


class Backlog:
    """Everything that waits in both queues, folded as it is collected; a later call continues where it stopped."""

    def __init__(self, urgent: DeliveryQueue, normal: DeliveryQueue, digest: DigestFold) -> None:
        self.count = 0
        self._queues = {True: urgent, False: normal}
        self.collector = min(urgent, normal, key=lambda queue: (queue.folded_seq, queue.pending is None))
        """The queue that is behind, so it passes everything unsent of both. Its fold runs ahead of what it has sent, so
        single alerts resume only after the digest."""
        self._digest = digest
        pending = self.collector.pending
        self._oldest_ms = min(queue.pending.oldest_ms for queue in (urgent, normal) if queue.pending is not None)
        if pending is not None and pending.source is not None:
            self._take(*pending.source)

    async def collect(self, head_seq: int) -> None:
        """Collect everything up to `head_seq`. Other tasks run between pages."""
        is_more = self.collector.collect(head_seq, self._take)
        while is_more:
            await asyncio.sleep(0)
            is_more = self.collector.collect(head_seq, self._take)

    def message(self, *, form: MessageForm, repeat: bool) -> OutgoingMessage:
        """Return the one message."""
        parts = split(self._digest.html())
        text = parts[0] if parts else f"{self.count:,} alerts could not be sent in time; they are in the log."
        if len(parts) > 1:
            text += f"\n{CUT_MARK}"
        seq = self.collector.folded_seq
        return OutgoingMessage(f"{seq}:digest", seq, self._oldest_ms, [text], 0, repeat, form=form)

    def _take(self, recorded: Recorded, alert: Alert | None) -> None:
        held_back = alert is not None and recorded.seq > self._queues[alert.urgent].done_seq
        self.count += held_back
        self._digest.apply(recorded, alert if held_back else None)
