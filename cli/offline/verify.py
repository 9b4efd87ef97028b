"""`papertape verify`: prove a log."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.cli.wiring import warn
from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.reducer.hook_guard import GUARD_CODE
from papertape.engine.startup import snapshot_store
from papertape.engine.verify import ReplayMismatch, VerificationReport, verify
from papertape.events.beside import sibling_path
from papertape.events.errors import LogDiffers
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from pathlib import Path


VERIFIED = ".verified"
"""The suffix of the folder beside a log with the states up to which its decisions were verified."""


def prove(db: Path | None, config: Path | None, *, full: bool, as_json: bool) -> None:
    """Prove the log and print the result. Raise LogDiffers after the first difference."""
    loaded = load_config_of_log(config)
    path = db or loaded.database
    started = time.perf_counter()
    with closing(SqliteLogReader(path)) as reader, progress_bar("verifying", reader.head().seq) as on_progress:
        reader.verify_tail()
        with ended_overruns(GUARD_CODE):
            verified = SnapshotStore(sibling_path(path, VERIFIED), lambda _: None)
            report = verify(reader, snapshot_store(path, warn), strategies_of(loaded), on_progress, verified, full=full)
    seconds = time.perf_counter() - started
    if as_json:
        emit({**asdict(report), "seconds": seconds})
    else:
        say(_text(report, seconds))
    if report.difference is not None:
        raise LogDiffers(f"the log and the code differ at {place_text(report.difference)}")


def _text(report: VerificationReport, seconds: float) -> str:
    lines = [
        f"{report.events:,} events, {report.decisions:,} decisions made again, {report.snapshots} snapshots compared",
        f"{seconds:.2f} seconds",
        f"digest {report.digest}",
    ]
    if report.verified_before:
        lines.append(f"those up to seq {report.verified_before:,} were verified before; --full verifies them again")
    if report.changed_code is not None:
        lines.append(f"part of the log was written by other code ({report.changed_code})")
    lines += [f"{name} was folded, not decided again: {why}" for name, why in report.folded.items()]
    if report.difference is None:
        lines.append("every other decision is the same" if report.folded else "every decision is the same")
    else:
        lines.append(f"first difference at {place_text(report.difference)}")
        lines.append(f"  recorded: {report.difference.recorded}")
        lines.append(f"  decided:  {report.difference.decided}")
    return "\n".join(lines) + "\n"


def place_text(difference: ReplayMismatch) -> str:
    """Return where the log and the code differ: `seq 812: momentum on BTCUSDT`."""
    subject = " on ".join(part for part in (difference.strategy, difference.symbol) if part)
    return f"seq {difference.seq}: {subject}" if subject else f"seq {difference.seq}"
