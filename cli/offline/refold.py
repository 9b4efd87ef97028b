"""`papertape refold`: check whether this version folds a log to the same state as another version."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.environment.streams import say
from papertape.cli.progress import progress_bar
from papertape.cli.render.console import emit
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.events.errors import LogDiffers, UsageError
from papertape.events.sqlite_log import SqliteLogReader

if TYPE_CHECKING:
    from pathlib import Path

DIGEST_CHARS = 32


class RefoldReport(Struct, frozen=True):
    """The result of folding a log from its first event. `upcast` counts the events that are read as newer shapes."""

    seq: int
    digest: str
    expected: str
    same: bool
    upcast: dict[str, int]


def refold(db: Path | None, config: Path | None, expect: str, seq: int | None, *, as_json: bool) -> None:
    """Fold and compare. Raise LogDiffers if the digests differ and no event of an old shape explains it."""
    if len(expect) != DIGEST_CHARS or not set(expect) <= set("0123456789abcdef"):
        raise UsageError(f"--expect {expect}: must be {DIGEST_CHARS} hexadecimal digits")
    loaded = load_config_of_log(config)
    with closing(SqliteLogReader(db or loaded.database)) as reader:
        head = reader.head().seq
        until = head if seq is None else seq
        if not 1 <= until <= head:
            raise UsageError(f"--to {until}: the log contains events 1 to {head}")
        with progress_bar("folding", until) as on_progress:
            digest = state_digest(recover(reader, None, strategies_of(loaded), until, on_progress).state)
        report = RefoldReport(until, digest, expect, digest == expect, reader.old_tags() if digest != expect else {})
    if as_json:
        emit(report)
    else:
        say(_text(report))
    if not report.same and not report.upcast:
        raise LogDiffers(f"this version folds the log to {digest} at seq {until}, not to {expect}")


def _text(report: RefoldReport) -> str:
    if report.same:
        return f"the same state at seq {report.seq:,}: digest {report.digest}\n"
    difference = f"another state at seq {report.seq:,}: digest {report.digest} instead of {report.expected}"
    if not report.upcast:
        return f"{difference}\n"
    shapes = "".join(f"  {count:,} events {tag} are read as a newer shape\n" for tag, count in report.upcast.items())
    return f"{difference}, because\n{shapes}"
