"""Folds that survive a restart: a follower's folds as of an event, saved beside the log and found again.

Whoever follows the log can fold it from its beginning, however long it is. What is kept here only saves that time:
losing all of it loses nothing. A file is a snapshot of `events.snapshots` (length, hash, the hash of the log row it
stands on) whose version is a digest of the code that folds (`projections.persistence.code_version`) and of
what the folds were made with: a fold that changed never reads an old state. The state is a pickle that may name nothing
but classes of `events` and of the modules that were digested.
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
"""So many events are folded again at a start at most, where they did not come within `KEEP_MS_MIN`."""
KEEP_MS_MIN: Final = MINUTE_MS
SEQ_MAX: Final = (1 << 63) - 1
EVENTS: Final = papertape.events.__name__
OTHERS: Final = {
    ("collections", "deque"): deque,
    ("array", "array"): array,
    ("array", "_array_reconstructor"): array("d").__reduce_ex__(pickle.HIGHEST_PROTOCOL)[0],
}
"""What else a state may name. Containers and numbers of the language need no name."""

F = TypeVar("F")


class RowHashReader(Protocol):
    """The part of a log reader that is needed here."""

    def hash_at(self, seq: int) -> bytes | None:
        """The stored hash of the row whose last event is `seq`; None when no row ends there."""


class FoldPersistence(Protocol):
    """Where a follower's folds come from at its start, and go to now and then."""

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:
        """Folds like `fresh` as of the newest kept event up to `until_seq`, and its seq; else `fresh` and 0.

        `fresh` is one fold or a tuple of them; folds that refer to each other belong into one tuple.
        """

    def is_due(self, seq: int, *, last: bool = False) -> bool:
        """Whether `keep` would save what stands at `seq`; `last` is the last chance before the end."""

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """Save folds as of `seq` if that is due. They must stand still meanwhile."""


class NullFoldStore:
    """For tests, and for logs that are folded once."""

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:  # noqa: ARG002
        """See `FoldPersistence.restored`."""
        return fresh, 0

    def is_due(self, seq: int, *, last: bool = False) -> bool:  # noqa: ARG002
        """See `FoldPersistence.is_due`."""
        return False

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """See `FoldPersistence.keep`."""


class FoldStore:
    """Folds in a folder of their own. One process saves."""

    def __init__(
        self,
        store: SnapshotStore,
        reader: RowHashReader,
        now_ms: Callable[[], int],
        warn: Callable[[str], None],
        made_with: object = None,
        events_min: int = KEEP_EVENTS_MIN,
    ) -> None:
        """`made_with` is what the folds were made with besides the log: a change of it is like one of the code."""
        self._store, self._reader, self._now_ms, self._warn = store, reader, now_ms, warn
        self._made_with, self._events_min = msgspec.json.encode(made_with, order="deterministic"), events_min
        self._kept_seq = 0
        self._kept_at_ms = -KEEP_MS_MIN

    def restore(self, fresh: F, until_seq: int = SEQ_MAX, /) -> tuple[F, int]:
        """See `FoldPersistence.restored`. What does not hold is set aside with a warning."""
        for snapshot in self._store.newest(version_of(fresh, self._made_with)):
            if snapshot.seq > until_seq:
                continue
            try:
                folds = self._unpacked(snapshot, fresh)
            except SnapshotRefused as refused:
                self._store.set_aside(snapshot, str(refused))
                continue
            self._kept_seq = max(self._kept_seq, snapshot.seq)
            return folds, snapshot.seq
        return fresh, 0

    def is_due(self, seq: int, *, last: bool = False) -> bool:
        """See `FoldPersistence.is_due`."""
        if last:
            return seq > self._kept_seq
        # A time that lies ahead is of a clock that was set back.
        soon = 0 <= self._now_ms() - self._kept_at_ms < KEEP_MS_MIN
        return seq - self._kept_seq >= self._events_min and not soon

    async def save(self, seq: int, folds: object, *, last: bool = False) -> None:
        """See `FoldPersistence.keep`. What cannot be written is a warning. The loop goes on meanwhile."""
        row_hash = self._reader.hash_at(seq) if self.is_due(seq, last=last) else None
        if row_hash is None:
            return  # Not due; or a page ended inside a row, then the next one will do.
        self._kept_seq, self._kept_at_ms = seq, self._now_ms()
        try:
            # Two steps: whoever is cancelled in the first may fold on at once, and what is being read then is torn.
            state = await asyncio.to_thread(pack, folds)
            await asyncio.to_thread(self._store.save, seq, row_hash, version_of(folds, self._made_with), state)
        except SnapshotRefused as refused:
            self._warn(f"folds at seq {seq} were not kept: {refused}")

    def _unpacked(self, snapshot: Snapshot, fresh: F) -> F:
        if self._reader.hash_at(snapshot.seq) != snapshot.hash:
            raise SnapshotRefused(f"the log has another event at seq {snapshot.seq}")
        folds = unpack(snapshot.state, _modules(fresh))
        if _kinds(folds) != _kinds(fresh):
            raise SnapshotRefused(f"it holds {_kinds(folds)}, not {_kinds(fresh)}")
        return folds  # type: ignore[no-any-return]


def _types(folds: object) -> tuple[type, ...]:
    return tuple(type(fold) for fold in (folds if isinstance(folds, tuple) else (folds,)))


def _kinds(folds: object) -> list[str]:
    return [kind.__qualname__ for kind in _types(folds)]


def _modules(folds: object) -> frozenset[str]:
    """The modules on which folds like these depend, this one among them."""
    return modules_of(_types(folds)) | {__name__}


# ---------------------------------------------------------------- the version


def version_of(folds: object, made_with: bytes) -> str:
    """A digest of everything that folds what folds like these fold, and of what they were made with."""
    return blake2b(_digest_of(_modules(folds)) + made_with, digest_size=DIGEST_BYTES).hexdigest()


@cache
def _digest_of(modules: frozenset[str]) -> bytes:
    """Read once: what a process has imported does not change any more."""
    return digest_of(modules)


# ---------------------------------------------------------------- the state


def pack(folds: object) -> bytes:
    """Folds as bytes. Raises SnapshotRefused for what cannot be read again."""
    content = io.BytesIO()
    try:
        _Packer(content, protocol=5).dump(folds)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotRefused(f"it cannot be packed: {type(error).__name__}: {error}") from error
    return content.getvalue()


def unpack(state: bytes, modules: frozenset[str] | None = None) -> Any:
    """What was packed. Raises SnapshotRefused for anything else, and for a class that is none of ours.

    `modules` are those of `projections` that classes may come from; all of them without it.
    """
    try:
        return _Unpacker(io.BytesIO(state), modules).load()
    except (pickle.UnpicklingError, ValueError, TypeError, AttributeError, LookupError, EOFError, ImportError) as error:
        raise SnapshotRefused(f"it cannot be unpacked: {type(error).__name__}: {error}") from error


class _Packer(pickle.Pickler):
    """Packs a Struct that can change empty and fills it then: Structs of a fold may refer to each other in a circle."""

    def reducer_override(self, obj: object) -> Any:
        """How an object is packed, where not as usual."""
        if not isinstance(obj, msgspec.Struct) or obj.__struct_config__.frozen:
            return NotImplemented
        fields = tuple(getattr(obj, name) for name in obj.__struct_fields__)
        return _empty, (type(obj),), fields, None, None, _fill


class _Unpacker(pickle.Unpickler):
    def __init__(self, content: io.BytesIO, modules: frozenset[str] | None) -> None:
        super().__init__(content)
        self._modules = modules

    def find_class(self, module: str, name: str) -> Any:
        """A class of our own, or one of the few others."""
        if module == __name__ and name in _MAKERS:
            return _MAKERS[name]
        if (module, name) in OTHERS:
            return OTHERS[module, name]
        room = module.partition(".")[0]
        if room == EVENTS or (room == ROOM and (self._modules is None or module in self._modules)):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"a state names {module}.{name}")


def _empty(kind: type[msgspec.Struct]) -> msgspec.Struct:
    return kind(*[None] * len(kind.__struct_fields__))


def _fill(struct: msgspec.Struct, fields: tuple[object, ...]) -> None:
    for name, value in zip(struct.__struct_fields__, fields, strict=True):
        setattr(struct, name, value)


_MAKERS: Final = {"_empty": _empty, "_fill": _fill}
