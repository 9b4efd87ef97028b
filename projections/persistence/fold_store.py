"""Folds that survive a restart: a follower saves them beside the log as of an event and restores them at its start.

A kept fold only saves time: any follower can fold the log from its beginning, so losing every file loses nothing. A
file is a snapshot of `events.snapshots` (length, hash, and the hash of the log row it was taken at). Its version is a
digest of the folding code (`projections.persistence.code_version`) and of the folds' inputs other than the log, so that
changed code never reads an old state. The state is a restricted pickle: it may name only classes of `events` and of the
digested modules.
"""

from __future__ import annotations

import asyncio
import io
import pickle
from array import array
from collections import deque
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

import papertape.events
from papertape.events.errors import SnapshotRefused
from papertape.events.units import MINUTE_MS
from papertape.projections.persistence.code_version import DIGEST_BYTES, ROOM, digest_of, modules_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.events.snapshots import Snapshot, SnapshotStore

KEEP_EVENTS_MIN: Final = 20_000
"""At most this many events are folded again at a start, unless they arrived within `KEEP_MS_MIN`."""
KEEP_MS_MIN: Final = MINUTE_MS
SEQ_MAX: Final = (1 << 63) - 1
EVENTS: Final = papertape.events.__name__
OTHER_NAMES: Final = {
    ("collections", "deque"): deque,
    ("array", "array"): array,
    ("array", "_array_reconstructor"): array("d").__reduce_ex__(pickle.HIGHEST_PROTOCOL)[0],
}
"""The other names that a state may contain. Built-in containers and numbers need no name."""

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


class FoldStore:
    """A folder of kept folds. Only one process may save to it."""

    def __init__(
        self,
        store: SnapshotStore,
        reader: RowHashReader,
        now_ms: Callable[[], int],
        warn: Callable[[str], None],
        made_with: object = None,
        events_min: int = KEEP_EVENTS_MIN,
    ) -> None:
        """Open the store. A change of `made_with`, the folds' inputs other than the log, invalidates kept folds."""
        self._store, self._reader, self._now_ms, self._warn = store, reader, now_ms, warn
        self._made_with, self._events_min = msgspec.json.encode(made_with, order="deterministic"), events_min
        self._saved_seq = 0
        self._saved_at_ms = -KEEP_MS_MIN

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:
        """See `FoldPersistence.restore`. An invalid snapshot is set aside with a warning."""
        for snapshot in self._store.newest(version_of(fresh, self._made_with)):
            if snapshot.seq > until_seq:
                continue
            try:
                folds = self._unpack(snapshot, fresh)
            except SnapshotRefused as refused:
                self._store.set_aside(snapshot, str(refused))
                continue
            self._saved_seq = max(self._saved_seq, snapshot.seq)
            return folds, snapshot.seq
        return fresh, 0

    def is_due(self, seq: int, *, last: bool = False) -> bool:
        """See `FoldPersistence.is_due`."""
        if last:
            return seq > self._saved_seq
        # The last save lies in the future if the clock was set back: then it does not count.
        is_recent = 0 <= self._now_ms() - self._saved_at_ms < KEEP_MS_MIN
        return seq - self._saved_seq >= self._events_min and not is_recent

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """See `FoldPersistence.save`. A failed write is only a warning. The event loop keeps running."""
        row_hash = self._reader.hash_at(seq) if self.is_due(seq, last=last) else None
        if row_hash is None:
            return  # Not due, or the page ended inside a row: save after a later page.
        self._saved_seq, self._saved_at_ms = seq, self._now_ms()
        try:
            # Two steps: a caller cancelled in the first may fold on at once; the torn state is then never stored.
            state = await asyncio.to_thread(pack, folds)
            await asyncio.to_thread(self._store.save, seq, row_hash, version_of(folds, self._made_with), state)
        except SnapshotRefused as refused:
            self._warn(f"folds at seq {seq} were not kept: {refused}")

    def _unpack(self, snapshot: Snapshot, fresh: F) -> F:
        if self._reader.hash_at(snapshot.seq) != snapshot.hash:
            raise SnapshotRefused(f"the log has another event at seq {snapshot.seq}")
        folds = unpack(snapshot.state, _modules(fresh))
        if _kinds(folds) != _kinds(fresh):
            raise SnapshotRefused(f"it contains {_kinds(folds)}, not {_kinds(fresh)}")
        return folds  # type: ignore[no-any-return]


def _types(folds: object) -> tuple[type, ...]:
    return tuple(type(fold) for fold in (folds if isinstance(folds, tuple) else (folds,)))


def _kinds(folds: object) -> list[str]:
    return [kind.__qualname__ for kind in _types(folds)]


def _modules(folds: object) -> frozenset[str]:
    """Return the modules that folds like these depend on, including this one."""
    return modules_of(_types(folds)) | {__name__}


# ---------------------------------------------------------------- the version


def version_of(folds: object, made_with: bytes) -> str:
    """Return a digest of the code that folds like these depend on and of `made_with`."""
    return blake2b(_digest_of(_modules(folds)) + made_with, digest_size=DIGEST_BYTES).hexdigest()


@cache
def _digest_of(modules: frozenset[str]) -> bytes:
    """Digest these modules once per process: imported code does not change."""
    return digest_of(modules)


# ---------------------------------------------------------------- the state


def pack(folds: object) -> bytes:
    """Encode folds as bytes. Raises SnapshotRefused for an object that could not be restored."""
    content = io.BytesIO()
    try:
        _Packer(content, protocol=5).dump(folds)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotRefused(f"it cannot be encoded: {type(error).__name__}: {error}") from error
    return content.getvalue()


def unpack(state: bytes, modules: frozenset[str] | None = None) -> Any:
    """Decode what `pack` encoded. Raises SnapshotRefused for anything else and for a class that may not be named.

    `modules` are the modules of `projections` that classes may come from; None allows all of them.
    """
    try:
        return _Unpacker(io.BytesIO(state), modules).load()
    except (pickle.UnpicklingError, ValueError, TypeError, AttributeError, LookupError, EOFError, ImportError) as error:
        raise SnapshotRefused(f"it cannot be decoded: {type(error).__name__}: {error}") from error


class _Packer(pickle.Pickler):
    """A pickler that creates a mutable Struct empty and fills it afterwards, because Structs may form cycles."""

    def reducer_override(self, obj: object) -> Any:
        """Return how to pickle a mutable Struct; other objects are pickled as usual."""
        if not isinstance(obj, msgspec.Struct) or obj.__struct_config__.frozen:
            return NotImplemented
        fields = tuple(getattr(obj, name) for name in obj.__struct_fields__)
        return _empty, (type(obj),), fields, None, None, _fill


class _Unpacker(pickle.Unpickler):
    def __init__(self, content: io.BytesIO, modules: frozenset[str] | None) -> None:
        super().__init__(content)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class. Raises UnpicklingError for any other name."""
        if module == __name__ and name in _MAKERS:
            return _MAKERS[name]
        if (module, name) in OTHER_NAMES:
            return OTHER_NAMES[module, name]
        room = ".".join(module.split(".")[:2])
        if room == EVENTS or (room == ROOM and (self._modules is None or module in self._modules)):
            kind = super().find_class(module, name)
            if isinstance(kind, type) and kind.__module__ == module:
                return kind
        raise pickle.UnpicklingError(f"a state names {module}.{name}")


def _empty(kind: type[msgspec.Struct]) -> msgspec.Struct:
    return kind(*[None] * len(kind.__struct_fields__))


def _fill(struct: msgspec.Struct, fields: tuple[object, ...]) -> None:
    for name, value in zip(struct.__struct_fields__, fields, strict=True):
        setattr(struct, name, value)


_MAKERS: Final = {"_empty": _empty, "_fill": _fill}
