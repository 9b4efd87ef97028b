"""Two queues over one log: each finds its next alert behind its own cursor and keeps durable receipts.

The log is the queue. In memory there is at most one alert, however many wait behind it.

Each queue has three cursors, all of which move before anything else happens:
- `sent`, a seq: every alert of the queue up to it is done, and is never sent again;
- `sending`, a place (seq and part): moved before the part goes out;
- `accepted`, a place: a part that Telegram accepted, and not the last one of its alert.

After a crash only the next part of the next alert may have arrived already, and only if `sending` is at it: a message
in parts continues with the part after the last accepted one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, Protocol

from msgspec import Struct, field

from papertape.events.cursors import Cursors
from papertape.events.errors import LogDamaged
from papertape.events.log import Recorded
from papertape.projections.alerts.alert import Alert
from papertape.projections.alerts.markup import plain_text, utf16_units
from papertape.projections.host import EventSource
from papertape.projections.telegram.errors import MessageTooLong, TelegramError
from papertape.projections.telegram.text import PARTS_MAX, mark_repeated, split

PAGE_EVENTS_MAX: Final = 500
REMEMBER_EVENTS: Final = 1_000
"""After so many events without an alert the cursor is stored, so that a start has little to read again."""
PLACES: Final = 16
"""A place is seq * PLACES + part."""
assert PARTS_MAX < PLACES
PIECE_UNITS_MIN: Final = 256
"""A part that is too long for Telegram is halved until it is shorter than this."""


class MessageForm(IntEnum):
    """How a part is sent. If Telegram refuses one form, the next one is tried."""

    HTML = 0
    PLAIN = 1
    """The same text without tags."""
    NOTICE = 2
    """A short notice instead, which the chat accepts if it accepts anything; the alert stays in the log."""
    AGAIN = 3
    """The plain text again after the chat has accepted a notice: a refusal now concerns the text."""


class AlertFold(Protocol):
    """A fold that derives the alert of the last event. It is passed every event of the log, from the first."""

    def apply(self, recorded: Recorded, /) -> None:
        """Apply one event."""

    def alert_of(self, recorded: Recorded, note: str = "", /) -> Alert | None:
        """Return the alert of the last event, None if it is not worth one; always the same.

        `note` is a line that the log cannot know.
        """


class DeliveryReceipts:
    """The durable record of what was sent."""

    def __init__(self, cursors: Cursors, name: str) -> None:
        self._cursors = cursors
        self._sent, self._sending, self._accepted = f"{name}.sent", f"{name}.sending", f"{name}.accepted"

    @property
    def sent_seq(self) -> int:
        """Everything up to here is done."""
        return self._cursors.position(self._sent)

    def first_part(self, seq: int) -> int:
        """Return the first part of an alert that has not been accepted."""
        accepted_seq, part = divmod(self._cursors.position(self._accepted), PLACES)
        return part + 1 if accepted_seq == seq else 0

    def may_have_come(self, seq: int, part: int) -> bool:
        """Return whether a part was being sent when the receipts end."""
        return self._cursors.position(self._sending) >= seq * PLACES + part

    def mark_sending(self, seq: int, part: int) -> None:
        """Record that a part is about to be sent."""
        self._cursors.advance(self._sending, seq * PLACES + part)

    def mark_accepted(self, seq: int, part: int) -> None:
        """Record that Telegram accepted a part and others follow."""
        self._cursors.advance(self._accepted, seq * PLACES + part)

    def mark_done(self, seq: int) -> None:
        """Record that everything up to `seq` is over."""
        self._cursors.advance(self._sent, seq)


def rewind_positions(positions: Mapping[str, int], head_seq: int) -> dict[str, int]:
    """Return a chat's cursors for a log that was restored to `head_seq` and continues differently from there.

    What was sent stays sent, what was beyond the end is yet to happen; a place beyond it is void. Other cursors (the
    chat's own numbers) stay as they are.
    """
    rewound: dict[str, int] = {}
    for name, position in positions.items():
        match name.rpartition(".")[2]:
            case "sent":
                rewound[name] = min(position, head_seq)
            case "begun":
                rewound[name] = min(position, head_seq + 1)
            case "sending" | "accepted":
                rewound[name] = position if position // PLACES <= head_seq else 0
            case _:
                rewound[name] = position
    return rewound


class OutgoingMessage(Struct):
    """An alert or a digest to be sent: its next part, and the form in which it is sent."""

    key: str
    seq: int
    oldest_ms: int
    parts: list[str]
    part: int
    repeat: bool
    silent: bool = False
    urgent: bool = False
    form: MessageForm = MessageForm.HTML
    pieces: list[str] = field(default_factory=list)
    """The rest of a part that was too long. Without receipts: after a crash the whole part is sent again."""
    is_skipped: bool = False
    """Whether a part of it was given up."""
    source: tuple[Recorded, Alert] | None = None
    """The event and alert behind the message; None for a digest."""

    @property
    def is_last(self) -> bool:
        """Whether the next part is the last one."""
        return self.part >= len(self.parts) - 1 and not self.pieces

    def text(self) -> str:
        """Return the text to send now."""
        part = self.parts[self.part]
        match self.form:
            case MessageForm.HTML:
                shown = part
            case MessageForm.PLAIN | MessageForm.AGAIN:
                shown = plain_text(part)
            case MessageForm.NOTICE:
                shown = f"The text of alert {self.key} was refused; read it in papertape's log."
        return mark_repeated(shown) if self.repeat else shown

    def simplify(self, error: TelegramError) -> bool:
        """Choose the next form after a refusal; return False if the notice was refused, so the text is not to blame."""
        if isinstance(error, MessageTooLong) and self._halve():
            return True
        if self.form is MessageForm.NOTICE:
            self.form = MessageForm.HTML
            return False
        self.form = MessageForm(self.form + 1)
        return True

    def step(self) -> bool:
        """Advance past an accepted piece or part; return whether the whole part is done."""
        self.form = MessageForm.HTML
        if self.pieces:
            self.parts[self.part] = self.pieces.pop(0)
            return False
        self.part += 1
        return True

    def _halve(self) -> bool:
        """Split the current part in two; but not a digest, which is rebuilt for every try."""
        part = self.parts[self.part]
        units = utf16_units(plain_text(part))
        units_max = units // 2 + units // 8  # Parts end at words: with less there would be a third, tiny one.
        if self.source is None or self.form is MessageForm.NOTICE or units_max < PIECE_UNITS_MIN:
            return False
        first, *more = split(part, units_max)
        self.parts[self.part], self.pieces = first, [*more, *self.pieces]
        return bool(more)


class DeliveryQueue:
    """The alerts of one urgency, in the order of the log."""

    def __init__(
        self,
        reader: EventSource,
        receipts: DeliveryReceipts,
        fold: AlertFold,
        *,
        urgent: bool,
        floor_seq: int,
        folded_seq: int = 0,
        notes: Mapping[int, str] | None = None,
    ) -> None:
        """Send nothing up to `floor_seq`. `fold` belongs to the queue and has applied everything up to `folded_seq`."""
        self.urgent = urgent
        self.receipts = receipts
        self.pending: OutgoingMessage | None = None
        self.done_seq = max(floor_seq, receipts.sent_seq)
        """Everything up to here is sent, or does not belong to this queue."""
        self.fold = fold
        self.folded_seq = folded_seq
        """The last event in the fold: that of the pending alert, or the last one searched."""
        self._reader = reader
        self._remembered_seq = self.done_seq
        self._notes = notes or {}

    def find_next_alert(self, head_seq: int) -> bool:
        """Search one page of the log for the next alert; return whether there is more to search."""
        if self.pending is not None or self.folded_seq >= head_seq:
            return False
        events = self._reader.read(self.folded_seq, PAGE_EVENTS_MAX)
        for recorded in events:
            self._take(recorded)
            if recorded.seq > self.done_seq:
                self.pending = self._message(recorded)
                if self.pending is not None:
                    return False
                self.done_seq = recorded.seq
        if self.done_seq - self._remembered_seq >= REMEMBER_EVENTS:
            self.remember()
        return bool(events) and self.folded_seq < head_seq

    def collect(self, until_seq: int, take: Callable[[Recorded, Alert | None], None]) -> bool:
        """Pass on one page of events and alerts of any urgency; return whether there is more up to `until_seq`.

        What is pending stays pending until the message made of these events has been sent.
        """
        if self.folded_seq >= until_seq:
            return False
        events = self._reader.read(self.folded_seq, PAGE_EVENTS_MAX)
        for recorded in events:
            if recorded.seq <= until_seq:
                self._take(recorded)
                take(recorded, self.fold.alert_of(recorded))
        return bool(events) and self.folded_seq < until_seq

    def finish(self, seq: int) -> None:
        """Record that the alert at `seq` was accepted or skipped."""
        self.receipts.mark_done(seq)
        self.skip_to(seq)

    def skip_to(self, seq: int) -> None:
        """Skip everything up to `seq`, which is recorded elsewhere."""
        self.pending = None
        self.done_seq = self._remembered_seq = max(self.done_seq, seq)

    def _take(self, recorded: Recorded) -> None:
        if recorded.seq != self.folded_seq + 1:
            raise LogDamaged(recorded.seq, f"the event after seq {self.folded_seq} was expected")
        self.fold.apply(recorded)
        self.folded_seq = recorded.seq

    def _message(self, recorded: Recorded) -> OutgoingMessage | None:
        alert = self.fold.alert_of(recorded, self._notes.get(recorded.seq, ""))
        if alert is None or alert.urgent is not self.urgent:
            return None
        parts = split(alert.html)
        if not parts:
            return None
        part = min(self.receipts.first_part(recorded.seq), len(parts) - 1)
        return OutgoingMessage(
            key=alert.key,
            seq=recorded.seq,
            oldest_ms=recorded.recorded_at_ms,
            parts=parts,
            part=part,
            repeat=self.receipts.may_have_come(recorded.seq, part),
            silent=alert.silent,
            urgent=self.urgent,
            source=(recorded, alert),
        )

    def remember(self) -> None:
        """Store that everything found to be done is done."""
        self.receipts.mark_done(self.done_seq)
        self._remembered_seq = self.done_seq
