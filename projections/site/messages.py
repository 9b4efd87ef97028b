"""What the owner was told, newest first: the alerts of the log, and what was told that no event stands for.

Where there is a token these are the texts of the chat; without one they are what the chat would have got.
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
FAULTS_KEPT_MAX: Final = 8
NOTES_KEPT_MAX: Final = 50


class Message(Struct, frozen=True):
    """One message. `seq` is the event it tells of; for a heartbeat and a fault where the log ended then.

    `at_ms` is the event's time, for those two the machine's; `kind` is one of the alerts', or `heartbeat`. `html` is
    what goes to the chat, `text` the same without its tags, an idea a line.
    """

    seq: int
    at_ms: int
    kind: str
    silent: bool
    text: str
    html: str


class UnloggedContents(Struct, frozen=True):
    """What the log does not hold: the newest heartbeat, the last faults, and a line on each of the last starts by seq.

    A fault ends the engine after the log took its last event.
    """

    heartbeat: Message | None = None
    faults: tuple[Message, ...] = ()
    notes: dict[int, str] = {}

    def with_beat(self, seq: int, at_ms: int, html: str) -> UnloggedContents:
        """With another heartbeat in the place of the last."""
        return structs.replace(self, heartbeat=message(seq, at_ms, HEARTBEAT, html, silent=True))

    def with_fault(self, seq: int, at_ms: int, html: str, *, silent: bool) -> UnloggedContents:
        """With a fault; the oldest goes where there are too many."""
        fault = message(seq, at_ms, AlertKind.FAULT.value, html, silent=silent)
        return structs.replace(self, faults=(*self.faults, fault)[-FAULTS_KEPT_MAX:])

    def with_note(self, seq: int, note: str) -> UnloggedContents:
        """With a line on the start at `seq`."""
        notes = {**self.notes, seq: note}
        return structs.replace(self, notes=dict(sorted(notes.items())[-NOTES_KEPT_MAX:]))

    def up_to(self, seq: int) -> UnloggedContents:
        """Without what lies beyond an event: a log that was set back, or is another one, knows nothing of it."""
        return UnloggedContents(
            heartbeat=self.heartbeat if self.heartbeat is not None and self.heartbeat.seq <= seq else None,
            faults=tuple(one for one in self.faults if one.seq <= seq),
            notes={at: note for at, note in self.notes.items() if at <= seq},
        )


def message(seq: int, at_ms: int, kind: str, html: str, *, silent: bool) -> Message:
    """A message with its plain text."""
    return Message(seq, at_ms, kind, silent, plain_text(html), html)


def messages(views: Views, unlogged: UnloggedContents) -> tuple[Message, ...]:
    """The last messages as of where the views stand, newest first."""
    then = unlogged.up_to(views.seq)
    alerts = [_of_alert(alert, then.notes.get(alert.seq, "")) for alert in views.alerts]
    others = [*then.faults, *([then.heartbeat] if then.heartbeat is not None else [])]
    told = [((one.seq, 0), one) for one in alerts] + [((one.seq, one.at_ms), one) for one in others]
    return tuple(one for _, one in sorted(told, key=lambda both: both[0], reverse=True))


def _of_alert(alert: Alert, note: str) -> Message:
    html = with_note(alert.html, note) if alert.kind is AlertKind.START else alert.html
    return message(alert.seq, alert.at_ms, alert.kind.value, html, silent=alert.silent)
