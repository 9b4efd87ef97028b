"""`papertape doctor`: check whether alerts reach their owner, by the running engine and its stored chat id."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from papertape.cli.doctor.doctor_finding import Finding
from papertape.cli.service.engine_client import EngineClient
from papertape.events.cursors import stored_positions
from papertape.events.errors import ConfigError, LogError
from papertape.projections.telegram.chat_address import CURSOR, moved_words
from papertape.projections.telegram.secret import read_access, variables_of
from papertape.projections.text.formats import duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from papertape.projections.site.ports import EngineStatus

NAME: Final = "alerts"
MOVED_ADVICE: Final = "in the environment or in .env, then start papertape again"
PARKED_ADVICE: Final = "restore the bot's rights in the chat; no alert is lost, and no restart is needed"


def alerts(db: Path, folder: Path) -> Iterator[Finding]:
    """Yield findings about the alerts of a log. `folder` may contain `.env`."""
    engine = asyncio.run(EngineClient(db).status())
    moved_to = engine.alerts_moved_to if engine is not None else _remembered_move(db, folder)
    if moved_to:
        yield Finding("warn", NAME, moved_words(moved_to), MOVED_ADVICE)
    if engine is None:
        yield Finding("ok", NAME, "no engine is running on this log; unsent alerts are sent after the next start")
    else:
        yield _delivery(engine)


def _delivery(engine: EngineStatus) -> Finding:
    age_s = engine.oldest_alert_age_s or 0.0
    waiting = f"the oldest has waited for {duration(int(age_s * 1_000.0))}" if age_s else "no alerts are waiting"
    if engine.alerts_parked:
        return Finding("warn", NAME, f"parked, {waiting}: {engine.alerts_parked}", PARKED_ADVICE)
    return Finding("ok", NAME, waiting)


def _remembered_move(db: Path, folder: Path) -> int:
    """Return the configured chat's new id that an engine stored; 0 if the chat has not moved."""
    try:
        found = read_access(variables_of(os.environ, folder / ".env"))
        positions = stored_positions(db.with_name(f"{db.name}.cursors"))
    except (ConfigError, LogError):
        return 0  # The engine refuses an invalid variable by name when it starts.
    return 0 if found is None else -positions.get(f"{CURSOR}{found.chat_id}", 0)
