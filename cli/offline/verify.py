"""`papertape verify`: a log, proved."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from papertape.cli.config.sections import load_config, strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.startup import snapshot_store
from papertape.engine.verify import VerificationReport, verify
from papertape.events.errors import LogDiffers
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from pathlib import Path


def prove(db: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Prove the log and print what was found. Raises LogDiffers behind the first difference."""
    loaded = load_config(config)
    path = db or loaded.database
    started = time.perf_counter()
    with closing(SqliteLogReader(path)) as reader, progress_bar("verifying", reader.head().seq) as on_progress:
        reader.verify_tail()
        found = verify(reader, snapshot_store(path, warn), strategies_of(loaded), on_progress)
    seconds = time.perf_counter() - started
    if as_json:
        emit({**asdict(found), "seconds": seconds})
    else:
        say(_words(found, seconds))
    if found.difference is not None:
        raise LogDiffers(f"the log and the code part ways at seq {found.difference.seq}")


def _words(found: VerificationReport, seconds: float) -> str:
    """The proof in words."""
    lines = [
        f"{found.events:,} events, {found.decisions:,} decisions made again, {found.snapshots} snapshots compared",
        f"{seconds:.2f} seconds",
        f"digest {found.digest}",
    ]
    if found.changed_code is not None:
        lines.append(f"a part of the log was written by other code ({found.changed_code})")
    if found.difference is None:
        lines.append("every decision is the same")
    else:
        lines.append(f"first difference at seq {found.difference.seq}")
        lines.append(f"  recorded: {found.difference.recorded}")
        lines.append(f"  decided:  {found.difference.decided}")
    return "\n".join(lines) + "\n"
