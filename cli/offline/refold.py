"""`papertape refold`: whether this version reads a log as another one did."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.cli.config.sections import load_config, strategies_of
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
    """A log folded from its first event. `upcast` counts the events of old shapes, which are read as newer ones."""

    seq: int
    digest: str
    expected: str
    same: bool
    upcast: dict[str, int]


def refold(db: Path | None, config: Path | None, expect: str, seq: int | None, *, as_json: bool) -> None:
    """Fold and compare. Raises LogDiffers where the digests differ and no event of an old shape says why."""
    if len(expect) != DIGEST_CHARS or not set(expect) <= set("0123456789abcdef"):
        raise UsageError(f"--expect {expect}: a digest is {DIGEST_CHARS} hexadecimal digits")
    loaded = load_config(config)
    with closing(SqliteLogReader(db or loaded.database)) as reader:
        head = reader.head().seq
        until = head if seq is None else seq
        if not 1 <= until <= head:
            raise UsageError(f"--to {until}: the log holds the events 1 to {head}")
        with progress_bar("folding", until) as on_progress:
            digest = state_digest(recover(reader, None, strategies_of(loaded), until, on_progress).state)
        found = RefoldReport(until, digest, expect, digest == expect, reader.old_tags() if digest != expect else {})
    if as_json:
        emit(found)
    else:
        say(_words(found))
    if not found.same and not found.upcast:
        raise LogDiffers(f"this version folds the log to {digest} at seq {until}, not to {expect}")


def _words(found: RefoldReport) -> str:
    if found.same:
        return f"the same state at seq {found.seq:,}: digest {found.digest}\n"
    if not found.upcast:
        return f"another state at seq {found.seq:,}: digest {found.digest} instead of {found.expected}\n"
    shapes = "".join(f"  {count:,} events {tag} are read as a newer shape\n" for tag, count in found.upcast.items())
    return f"another state at seq {found.seq:,}: digest {found.digest} instead of {found.expected}, because\n{shapes}"
