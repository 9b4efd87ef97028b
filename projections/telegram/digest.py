"""The digest: one message for everything that waited while nobody could be told."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS
from papertape.projections.alerts.alert import Alert
from papertape.projections.alerts.digest import Digest, digest_text
from papertape.projections.telegram.delivery_queues import DeliveryQueue, MessageForm, OutgoingMessage
from papertape.projections.telegram.text import CUT_MARK, MARK_UNITS_MAX, TEXT_UNITS_MAX, split

OUTAGE_MS: Final = HOUR_MS
"""When the oldest unsent alert is older than this, a digest stands for all of them."""
URGENT_SINGLE_MAX: Final = 18
"""So many urgent alerts still come one by one before a digest; with it they fit into the limit of a minute."""


class DigestFold(Protocol):
    """A fold of a backlog. Its size does not grow with the outage."""

    def apply(self, recorded: Recorded, alert: Alert | None, /) -> None:
        """Take one event, and its alert where that one was held back."""

    def html(self) -> str:
        """The message for everything that was taken."""


class AlertDigest:
    """The digest of alerts (`projections.alerts.digest`) as its message."""

    def __init__(self) -> None:
        self._digest = Digest()

    def apply(self, recorded: Recorded, alert: Alert | None, /) -> None:
        """Take one event, and its alert where that one was held back."""
        self._digest.apply(recorded, alert)

    def html(self) -> str:
        """The message for everything that was taken."""
        return digest_text(self._digest.view())


class Backlog:
    """What waits in both lanes, folded while it is being collected. It goes on where it stopped."""

    def __init__(self, urgent: DeliveryQueue, normal: DeliveryQueue, digest: DigestFold) -> None:
        self.count = 0
        self._lanes = {True: urgent, False: normal}
        self.collector = min(urgent, normal, key=lambda lane: (lane.folded_seq, lane.pending is None))
        """The one that is behind comes by everything that the other one has not sent. Its fold runs ahead of what it
        has sent, so there is no way back to single alerts before the digest is over."""
        self._digest = digest
        pending = self.collector.pending
        self._oldest_ms = min(lane.pending.oldest_ms for lane in (urgent, normal) if lane.pending is not None)
        if pending is not None and pending.told is not None:
            self._take(*pending.told)

    async def collect(self, head_seq: int) -> None:
        """Take everything up to `head_seq`. Others have their turn between pages."""
        is_more = self.collector.collect(head_seq, self._take)
        while is_more:
            await asyncio.sleep(0)
            is_more = self.collector.collect(head_seq, self._take)

    def parcel(self, *, form: MessageForm, repeat: bool) -> OutgoingMessage:
        """The one message."""
        parts = split(self._digest.html(), TEXT_UNITS_MAX - MARK_UNITS_MAX)
        text = parts[0] if parts else f"{self.count} alerts could not be sent in time; they stand in the log."
        if len(parts) > 1:
            text += f"\n{CUT_MARK}"
        seq = self.collector.folded_seq
        return OutgoingMessage(f"{seq}:digest", seq, self._oldest_ms, [text], 0, repeat, form=form)

    def _take(self, recorded: Recorded, alert: Alert | None) -> None:
        held_back = alert is not None and recorded.seq > self._lanes[alert.urgent].done_seq
        self.count += held_back
        self._digest.apply(recorded, alert if held_back else None)
