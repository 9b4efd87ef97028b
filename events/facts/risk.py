"""Facts of risk: kill switches and their resets."""

from __future__ import annotations

from papertape.events.facts.base import Event, TripReason


class KillSwitchTripped(Event, frozen=True, tag="KillSwitchTripped.2"):
    """No position is opened until a human resets the switch. `scope` is a strategy's name or `global`.

    It tripped because base - equity reached `threshold_percent` of the base; for `global_loss` the base is the peak of
    the window. `who` and `why` belong to the reason `manual`.
    """

    scope: str
    reason: TripReason
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float
    who: str = ""
    why: str = ""


class KillSwitchReset(Event, frozen=True, tag="KillSwitchReset.1"):
    """The trip recorded at `trip_seq` ended: by a human, or at a new UTC day in a backtest that continues after it."""

    scope: str
    trip_seq: int
    who: str
    why: str
