"""What keeps strategies from an entry, as tables and JSON show it."""

from __future__ import annotations

from msgspec import Struct

from papertape.projections.site.ports import ConditionsView


class WhyNotReport(Struct, frozen=True):
    """What keeps strategies from an entry as of an event: both sides of each, in the order in which they run."""

    seq: int
    at_ms: int
    conditions: tuple[ConditionsView, ...]
