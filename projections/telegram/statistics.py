"""Statistics of the delivery of alerts."""

from __future__ import annotations

from msgspec import Struct


class DeliveryStatistics(Struct, frozen=True):
    """Counts since the start of the process, except for what is waiting.

    `sent` and `skipped` count alerts (a digest is one), `repeated` marked messages. `parked` is why nothing is sent,
    otherwise empty; `moved_to` is the supergroup that the configured group became, 0 without a move. `oldest_unsent_ms`
    is the age of the oldest waiting alert, 0 without one; `lag_events` is how far the slower queue is behind the log.
    """

    sent: int = 0
    repeated: int = 0
    skipped: int = 0
    parked: str = ""
    moved_to: int = 0
    oldest_unsent_ms: int = 0
    lag_events: int = 0
