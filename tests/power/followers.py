"""Who follows the log beside the engine: the page's kept views, and the chat."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

from papertape.engine.ports.clock import ManualClock
from papertape.events.beside import sibling_path
from papertape.events.cursors import SqliteCursors
from papertape.events.snapshots import SnapshotStore
from papertape.events.units import MINUTE_MS
from papertape.projections.alerts.derive import Alerts
from papertape.projections.persistence.fold_store import KEEP_MS_MIN, FoldStore
from papertape.projections.site.views import Views
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.secret import BotToken
from papertape.projections.telegram.wire import Chat, ChatMessage
from papertape.sandbox.telegram.twin import CHAT_ID, TOKEN
from tests.telegram.sender_process import Hurry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.bus import Bus
    from papertape.events.sqlite_log import SqliteLogReader

FOLDS_EVERY_EVENTS: Final = 150


def page_views() -> Views:
    """Return the page's views of the log, before its first event."""
    return Views({"scripted": MINUTE_MS})


def fold_store(db: Path, name: str, reader: SqliteLogReader, warn: Callable[[str], None]) -> FoldStore:
    """Return the store of one follower's folds, which is due every FOLDS_EVERY_EVENTS."""
    minutes = itertools.count(step=KEEP_MS_MIN)
    snapshots = SnapshotStore(sibling_path(db, ".folds") / name, warn)
    return FoldStore(snapshots, reader, lambda: next(minutes), warn, events_min=FOLDS_EVERY_EVENTS)


class ListeningClient(TelegramClient):
    """A client whose chat accepts everything and passes each text on."""

    def __init__(self, accept: Callable[[str], None]) -> None:
        super().__init__(BotToken(TOKEN))
        self._accept = accept

    async def send_message(self, chat_id: int, text: str, **_: Any) -> ChatMessage:
        """Accept a text."""
        self._accept(text)
        return ChatMessage(1, Chat(chat_id, "private"))


def notifier(
    db: Path, reader: SqliteLogReader, bus: Bus, accept: Callable[[str], None], warn: Callable[[str], None]
) -> tuple[Notifier, SqliteCursors]:
    """Return the notifier of a log, with its cursors beside the log."""
    cursors, clock = SqliteCursors(sibling_path(db, ".cursors")), ManualClock()
    address = ChatAddress(CHAT_ID, cursors)
    store = fold_store(db, "alerts", reader, warn)
    return (
        Notifier(
            reader, bus, cursors, Alerts, ListeningClient(accept), address, clock, warn,
            limiter=Hurry(clock), begin_after_seq=0, store=store,
        ),
        cursors,
    )  # fmt: skip


def alert_line(text: str) -> str:
    """Return the line that tells of a delivered alert."""
    return f"alert {json.dumps(text)}"
