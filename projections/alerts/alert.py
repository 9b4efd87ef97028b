"""An alert: one message to the owner, derived from one event of the log."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

Loudness = Literal["on", "silent", "off"]


class AlertKind(StrEnum):
    """The kinds that the owner can switch to `on`, `silent` or `off`."""

    START = "start"
    STOP = "stop"
    ENTRY = "entry"
    PART = "part"
    EXIT = "exit"
    LIQUIDATION = "liquidation"
    FUNDING = "funding"
    KILL_SWITCH = "kill_switch"
    RESET = "reset"
    PAUSE = "pause"
    STRATEGY = "strategy"
    RELOAD = "reload"
    FEED = "feed"
    SYMBOL = "symbol"
    ANOMALY = "anomaly"
    DAILY = "daily"
    FAULT = "fault"


URGENT = frozenset({AlertKind.KILL_SWITCH, AlertKind.STRATEGY, AlertKind.FAULT})
"""These kinds overtake all others."""


class Alert(Struct, frozen=True):
    """One message. `key` is `SEQ:kind`; `html` is Telegram's HTML with every value escaped; `at_ms` is event time."""

    seq: int
    at_ms: int
    kind: AlertKind
    html: str
    silent: bool = False

    @property
    def key(self) -> str:
        """The permanent identifier of the message."""
        return f"{self.seq}:{self.kind.value}"

    @property
    def urgent(self) -> bool:
        """Whether it overtakes other alerts."""
        return self.kind in URGENT
