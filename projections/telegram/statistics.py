"""What the delivery of alerts says about itself."""

from __future__ import annotations

from msgspec import Struct


class DeliveryStatistics(Struct, frozen=True):
    """Since the start of the process, except for what is waiting.

    `sent` and `skipped` count alerts (a digest is one), `repeated` messages that carried the mark. `parked` is why
    nothing is sent, empty otherwise; `moved_to` is the supergroup that the configured group became, 0 without a move.
    `oldest_unsent_ms` is the age of the oldest alert that waits, 0 without one;
    `lag_events` is how far the slower lane is behind the log.
    """

    sent: int = 0
    repeated: int = 0
    skipped: int = 0
    parked: str = ""
    moved_to: int = 0
    oldest_unsent_ms: int = 0
    lag_events: int = 0
