"""The digest: one message for a backlog, with what happened while nothing could be delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import (
    Closing,
    KillSwitchReset,
    KillSwitchTripped,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
)
from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.lines import (
    RESET,
    TRIPPED,
    closed_text,
    count_text,
    loss_words,
    parts_text,
    scope_label,
    span,
)
from papertape.projections.alerts.markup import bold, code, message, text
from papertape.projections.text.formats import duration, gain, market_time

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.alerts.alert import Alert

DIGEST = "≡"
NAMED_MAX = 20
WHAT_CHARS_MAX = 80
WORDS: dict[AlertKind, tuple[str, str]] = {
    AlertKind.START: ("start", "starts"),
    AlertKind.STOP: ("stop", "stops"),
    AlertKind.ENTRY: ("entry", "entries"),
    AlertKind.PART: ("add or partial exit", "adds and partial exits"),
    AlertKind.EXIT: ("exit", "exits"),
    AlertKind.LIQUIDATION: ("liquidation", "liquidations"),
    AlertKind.FUNDING: ("funding payment", "funding payments"),
    AlertKind.KILL_SWITCH: ("kill switch trip", "kill switch trips"),
    AlertKind.RESET: ("reset", "resets"),
    AlertKind.PAUSE: ("pause or resume", "pauses and resumes"),
    AlertKind.STRATEGY: ("failed strategy", "failed strategies"),
    AlertKind.FEED: ("feed message", "feed messages"),
    AlertKind.SYMBOL: ("symbol message", "symbol messages"),
    AlertKind.ANOMALY: ("anomaly message", "anomaly messages"),
    AlertKind.DAILY: ("daily summary", "daily summaries"),
    AlertKind.FAULT: ("fault", "faults"),
}


class DigestHighlight(Struct, frozen=True):
    """A trip or a reset that the digest shows on a line of its own. `what` is plain text."""

    at_ms: int
    scope: str
    what: str
    trip: bool


class DigestView(Struct, frozen=True):
    """A backlog from `first_seq` to `last_seq`. `counts` are the undelivered messages by kind.

    `opened`, `adds`, `partial_exits`, `closed`, `wins` and `net_usdt` cover all positions, however loud their kind is;
    `net_usdt` is the result of the closed trades. `named` are the first
    `NAMED_MAX` trips and resets; `unnamed` counts the others.
    """

    first_seq: int
    last_seq: int
    from_ms: int
    until_ms: int
    counts: tuple[tuple[AlertKind, int], ...]
    opened: int
    adds: int
    partial_exits: int
    closed: int
    wins: int
    net_usdt: float
    named: tuple[DigestHighlight, ...]
    unnamed: int

    @property
    def messages(self) -> int:
        """How many messages it replaces."""
        return sum(number for _, number in self.counts)


class Digest:
    """Fold of a backlog of events and their alerts. Its size does not grow with the outage."""

    def __init__(self) -> None:
        self._first_seq = 0
        self._from_ms = 0
        self._last = (0, 0)
        self._counts = dict.fromkeys(AlertKind, 0)
        self._opened = self._adds = self._partial_exits = self._closed = self._wins = self._unnamed = 0
        self._net_usdt = 0.0
        self._named: list[DigestHighlight] = []

    def apply(self, recorded: Recorded, alert: Alert | None) -> None:
        """Apply one event with its alert, or None if it has none or that was delivered."""
        if alert is not None:
            self._counts[alert.kind] += 1
            self._last = (alert.seq, alert.at_ms)
            self._first_seq = self._first_seq or alert.seq
            # An alert before the first candle has no market time.
            self._from_ms = self._from_ms or alert.at_ms
        event = recorded.event
        match event:
            case PositionOpened():
                self._opened += 1
            case PositionIncreased():
                self._adds += 1
            case PositionReduced():
                self._partial_exits += 1
            case Closing():
                self._closed += 1
                self._wins += event.net_usdt > 0.0
                self._net_usdt += event.net_usdt
            case KillSwitchTripped():
                self._highlight(DigestHighlight(event.at_ms, event.scope, loss_words(event), trip=True))
            case KillSwitchReset():
                what = f"reset by {event.who}: {event.why}"
                self._highlight(DigestHighlight(event.at_ms, event.scope, what, trip=False))
            case _:
                pass

    def html(self) -> str:
        """Return the message for the backlog."""
        return digest_text(self.view())

    def _highlight(self, named: DigestHighlight) -> None:
        if len(self._named) < NAMED_MAX:
            self._named.append(named)
        else:
            self._unnamed += 1

    def view(self) -> DigestView:
        """Return the backlog so far."""
        return DigestView(
            first_seq=self._first_seq,
            last_seq=self._last[0],
            from_ms=self._from_ms,
            until_ms=self._last[1],
            counts=tuple((kind, number) for kind, number in self._counts.items() if number),
            opened=self._opened,
            adds=self._adds,
            partial_exits=self._partial_exits,
            closed=self._closed,
            wins=self._wins,
            net_usdt=self._net_usdt,
            named=tuple(self._named),
            unnamed=self._unnamed,
        )


def digest_text(view: DigestView) -> str:
    """Return the message for a backlog. Truncation drops counts, never trips."""
    lasted = duration(max(view.until_ms - view.from_ms, 0))
    result = f": {bold(gain(view.net_usdt))} USDT" if view.closed else ""
    details = [
        *([f"{span(view.from_ms, view.until_ms)} ({text(lasted)})"] if view.from_ms else []),
        *(["", *map(_highlight_line, view.named)] if view.named else []),
        *([f"and {view.unnamed:,} more trips and resets"] if view.unnamed else []),
        "",
        f"{count_text(view.opened, 'position')} opened",
        *parts_text(view.adds, view.partial_exits),
        f"{closed_text(view.closed, view.wins)}{result}",
        "",
        *[f"{number:,} {WORDS[kind][number > 1]}" for kind, number in view.counts],
    ]
    head = f"{DIGEST} <b>{count_text(view.messages, 'undelivered message')}</b>"
    return message(head, details, f"{code(f'#{view.first_seq}')} to {code(f'#{view.last_seq}')}")


def _highlight_line(named: DigestHighlight) -> str:
    icon = TRIPPED if named.trip else RESET
    return f"{icon} {scope_label(named.scope)}: {text(named.what, WHAT_CHARS_MAX)}, {text(market_time(named.at_ms))}"
