"""The owner's messages, newest first: the alerts of the log, and the messages that no event stands for.

With a bot token these are the texts of the chat; without one they are the texts that the chat would have received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.markup import plain_text
from papertape.projections.alerts.texts import with_note

if TYPE_CHECKING:
    from papertape.projections.alerts.alert import Alert
    from papertape.projections.site.views import Views

HEARTBEAT: Final = "heartbeat"
FAULTS_MAX: Final = 8
NOTES_MAX: Final = 50


class Message(Struct, frozen=True):
    """One message. `seq` is its event's; a heartbeat or a fault has the seq at which the log ended unlogged.

    `at_ms` is the event's time, or the wall-clock time of a heartbeat or fault; `kind` is an alert kind or `heartbeat`.
    `html` is the chat's text, `text` the same without tags, one idea per line.
    """

    seq: int
    at_ms: int
    kind: str
    silent: bool
    text: str
    html: str


class UnloggedContents(Struct, frozen=True):
    """What the log does not hold: the newest heartbeat, the last faults, and notes on the last starts by seq.

    A fault ends the engine after the log took its last event.
    """

    heartbeat: Message | None = None
    faults: tuple[Message, ...] = ()
    notes: dict[int, str] = {}

    def with_beat(self, seq: int, at_ms: int, html: str) -> UnloggedContents:
        """Replace the heartbeat."""
        return structs.replace(self, heartbeat=message(seq, at_ms, HEARTBEAT, html, silent=True))

    def with_fault(self, seq: int, at_ms: int, html: str, *, silent: bool) -> UnloggedContents:
        """Add a fault; if there are too many, drop the oldest."""
        fault = message(seq, at_ms, AlertKind.FAULT.value, html, silent=silent)
        return structs.replace(self, faults=(*self.faults, fault)[-FAULTS_MAX:])

    def with_note(self, seq: int, note: str) -> UnloggedContents:
        """Add a note on the start at `seq`."""
        notes = {**self.notes, seq: note}
        return structs.replace(self, notes=dict(sorted(notes.items())[-NOTES_MAX:]))

    def up_to(self, seq: int) -> UnloggedContents:
        """Return only what is not beyond `seq`, because the log may have been restored or replaced."""
        return UnloggedContents(
            heartbeat=self.heartbeat if self.heartbeat is not None and self.heartbeat.seq <= seq else None,
            faults=tuple(one for one in self.faults if one.seq <= seq),
            notes={at: note for at, note in self.notes.items() if at <= seq},
        )


def message(seq: int, at_ms: int, kind: str, html: str, *, silent: bool) -> Message:
    """Return a message with its plain text."""
    return Message(seq, at_ms, kind, silent, plain_text(html), html)


def messages(views: Views, unlogged: UnloggedContents) -> tuple[Message, ...]:
    """Return the last messages as of the views' seq, newest first."""
    unlogged = unlogged.up_to(views.seq)
    alerts = [_of_alert(alert, unlogged.notes.get(alert.seq, "")) for alert in views.alerts]
    others = [*unlogged.faults, *([unlogged.heartbeat] if unlogged.heartbeat is not None else [])]
    by_time = [((one.seq, 0), one) for one in alerts] + [((one.seq, one.at_ms), one) for one in others]
    return tuple(one for _, one in sorted(by_time, key=lambda pair: pair[0], reverse=True))


def _of_alert(alert: Alert, note: str) -> Message:
    html = with_note(alert.html, note) if alert.kind is AlertKind.START else alert.html
    return message(alert.seq, alert.at_ms, alert.kind.value, html, silent=alert.silent)
