"""Folds that survive a restart: a follower saves them beside the log as of an event and restores them at its start.

A kept fold only saves time: any follower can fold the log from its beginning, so losing every file loses nothing. The
states are checkpoints of `events.checkpoints`. The name of their file holds a digest of the folding code
(`projections.persistence.code_version`) and one of the folds' inputs other than the log, so that changed code never
reads an old state.
"""

from __future__ import annotations

from functools import cache, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from papertape.events.checkpoints import postings
from papertape.events.checkpoints.store import SEQ_MAX, SUFFIX, Checkpoint, CheckpointStore
from papertape.events.errors import SnapshotRefused
from papertape.events.units import MINUTE_MS
from papertape.projections.persistence import packing
from papertape.projections.persistence.code_version import DIGEST_BYTES, digest_of, modules_of
from papertape.projections.persistence.packing import ChunkLoader, Packed, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEEP_EVENTS_MIN: Final = 20_000
"""At most this many events are folded again at a start, unless they arrived within `KEEP_MS_MIN`."""
KEEP_MS_MIN: Final = MINUTE_MS
KEPT_MAX: Final = 3
NAME_DIGITS: Final = 16
INDEX: Final = "index"
_INDEXING: Final = frozenset({postings.__name__})

F = TypeVar("F")


class RowHashReader(Protocol):
    """The part of a log reader that a fold store needs."""

    def hash_at(self, seq: int) -> bytes | None:
        """Return the stored hash of the row whose last event is `seq`, or None if no row ends there."""


class FoldPersistence(Protocol):
    """Where a follower restores its folds at its start and saves them from time to time."""

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:
        """Return folds like `fresh` as of the newest kept event up to `until_seq`, and its seq; else `fresh` and 0.

        `fresh` is one fold or a tuple of them; folds that refer to each other belong in one tuple.
        """

    def is_due(self, seq: int, *, last: bool = False) -> bool:
        """Return whether `save` would save at `seq`; `last` marks the final opportunity before the end."""

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """Save folds as of `seq` if that is due. They must not change in the meantime."""


class NullFoldStore:
    """A store that keeps nothing: for tests, and for logs that are folded once."""

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:  # noqa: ARG002
        """Return `fresh` and 0."""
        return fresh, 0

    def is_due(self, seq: int, *, last: bool = False) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """Do nothing."""


class FoldCheckpoints:
    """The checkpoints of folds like `fresh` in a folder of their own, or in memory without one.

    Every method waits for the disk. Those that read or write states raise SnapshotRefused.
    """

    def __init__(
        self,
        folder: Path | None,
        fresh: object,
        warn: Callable[[str], None],
        made_with: object = None,
        *,
        only_reads: bool = False,
    ) -> None:
        """Choose the file. A change of `made_with`, the folds' inputs other than the log, leads to another one.

        With `only_reads` it is the file that was written last, whatever the inputs, and it belongs to another process.
        """
        self._modules = _modules(fresh)
        name = f"{code_version(fresh)}-{_inputs_version([_kinds(fresh), made_with])}{SUFFIX}"
        path = None if folder is None else folder / name
        if folder is not None and only_reads:
            files = folder.glob(f"{code_version(fresh)}-*{SUFFIX}")
            path = max(files, key=lambda file: file.stat().st_mtime_ns, default=path)
        self.store = CheckpointStore(path, warn, only_reads=only_reads)
        index = None if folder is None else folder / INDEX / f"{_digest_of(_INDEXING).hex()[:NAME_DIGITS]}{SUFFIX}"
        self.index = CheckpointStore(index, warn, only_reads=only_reads)
        """The index of the log, with checkpoints without a state. It outlives the code of the folds."""
        self._load = ChunkLoader(self.store.chunk, self._modules)
        self._warn, self._has_warned = warn, False

    def save(self, checkpoint: Checkpoint, packed: Packed) -> None:
        """Save folds. Items of their growing lists that are stored afterwards leave the memory."""
        try:
            self.store.save(checkpoint, packed.state, packed.contents)
        except SnapshotRefused as refused:
            if not self._has_warned:
                self._warn(f"folds at seq {checkpoint.seq} were not kept: {refused}")
            self._has_warned = True
            return
        self._has_warned = False
        for key, chunk in packed.chunks:
            chunk.keep_stored(key, self._load)

    def load(self, seq: int) -> Any:
        """Return the folds at a checkpoint; they share nothing that changes with any others."""
        return unpack(self.store.load(seq), self._modules, self._load)


class FoldStore:
    """The newest folds of a follower, in a folder of their own. Only one process may save to it."""

    def __init__(
        self,
        folder: Path,
        reader: RowHashReader,
        now_ms: Callable[[], int],
        warn: Callable[[str], None],
        made_with: object = None,
        events_min: int = KEEP_EVENTS_MIN,
    ) -> None:
        """Open the store. A change of `made_with`, the folds' inputs other than the log, invalidates kept folds."""
        self._open = partial(FoldCheckpoints, folder, warn=warn, made_with=made_with)
        self._reader, self._now_ms, self._warn, self._events_min = reader, now_ms, warn, events_min
        self._opened: dict[tuple[str, ...], FoldCheckpoints] = {}
        self._saved_seq = 0
        self._saved_at_ms = -KEEP_MS_MIN

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:
        """See `FoldPersistence.restore`. Invalid states are set aside with a warning."""
        kept = self._checkpoints(fresh)
        try:
            kept.store.drop_foreign(self._reader.hash_at)
            newest = kept.store.newest(until_seq)
            folds, seq = (fresh, 0) if newest is None else (kept.load(newest.seq), newest.seq)
        except SnapshotRefused:
            return fresh, 0
        self._saved_seq = max(self._saved_seq, seq)
        return folds, seq

    def is_due(self, seq: int, *, last: bool = False) -> bool:
        """See `FoldPersistence.is_due`."""
        if last:
            return seq > self._saved_seq
        # The last save lies in the future if the clock was set back: then it does not count.
        is_recent = 0 <= self._now_ms() - self._saved_at_ms < KEEP_MS_MIN
        return seq - self._saved_seq >= self._events_min and not is_recent

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """See `FoldPersistence.save`. A failed write is only a warning. The event loop keeps running."""
        from asyncio import to_thread  # noqa: PLC0415 - what only reads kept folds needs no event loop.

        row_hash = self._reader.hash_at(seq) if self.is_due(seq, last=last) else None
        if row_hash is None:
            return  # Not due, or the page ended inside a row: save after a later page.
        self._saved_seq, self._saved_at_ms = seq, self._now_ms()
        try:
            kept = self._checkpoints(folds)
            # Two steps: a caller cancelled in the first may fold on at once; the torn state is then never stored.
            packed = await to_thread(pack, folds)
            await to_thread(kept.save, Checkpoint(seq, 0, row_hash), packed)
            await to_thread(kept.store.keep_newest, KEPT_MAX)
            kept.store.remove_others()
        except SnapshotRefused as refused:
            self._warn(f"folds at seq {seq} were not kept: {refused}")

    def _checkpoints(self, folds: object) -> FoldCheckpoints:
        kinds = tuple(_kinds(folds))
        if kinds not in self._opened:
            self._opened[kinds] = self._open(fresh=folds)
        return self._opened[kinds]


def _types(folds: object) -> tuple[type, ...]:
    return tuple(type(fold) for fold in (folds if isinstance(folds, tuple) else (folds,)))


def _kinds(folds: object) -> list[str]:
    return [kind.__qualname__ for kind in _types(folds)]


def _modules(folds: object) -> frozenset[str]:
    """Return the modules that folds like these depend on, including the one that encodes them."""
    return modules_of(_types(folds)) | {packing.__name__}


# ---------------------------------------------------------------- the version


def code_version(folds: object) -> str:
    """Return a digest of the code that folds like these depend on."""
    return _digest_of(_modules(folds)).hex()[:NAME_DIGITS]


@cache
def _digest_of(modules: frozenset[str]) -> bytes:
    """Digest these modules once per process: imported code does not change."""
    return digest_of(modules)


def _inputs_version(made_with: object) -> str:
    content: Any = msgspec.json.encode(made_with, order="deterministic")
    return blake2b(content, digest_size=DIGEST_BYTES).hexdigest()[:NAME_DIGITS]
