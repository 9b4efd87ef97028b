"""Facts of risk: kill switches and their resets."""

from __future__ import annotations

from papertape.events.facts.base import Event


class KillSwitchTripped(Event, frozen=True, tag="KillSwitchTripped.2"):
    """Entries stop until a human resets. `scope` is a strategy's name or `global`.

    Tripped because base - equity reached `threshold_percent` of the base; for `global_loss` the base is
    the peak of the window. Reasons: `session_loss`, `daily_loss`, `global_loss`, `manual`; a human says who and why.
    """

    scope: str
    reason: str
    base_usdt: float
    peak_usdt: float
    equity_usdt: float
    threshold_percent: float
    who: str = ""
    why: str = ""


class KillSwitchReset(Event, frozen=True, tag="KillSwitchReset.1"):
    """A human ended the trip recorded at `trip_seq`, or a backtest that continues after a trip did at a new UTC day."""

    scope: str
    trip_seq: int
    who: str
    why: str
