"""Encode the state of folds as bytes, and decode it.

The state is a restricted pickle: it may name only classes of `events` and of the modules that the folds depend on. The
full chunks of growing lists are encoded one by one, so that every state after them can refer to them.
"""

from __future__ import annotations

import io
import pickle
from array import array
from collections import OrderedDict, deque
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

import papertape.events
from papertape.events.checkpoints.store import content_digest
from papertape.events.errors import SnapshotRefused
from papertape.projections.persistence.append_only import Chunk, Part
from papertape.projections.persistence.code_version import ROOM

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS: Final = papertape.events.__name__
CHUNKS_CACHED_MAX: Final = 64
OTHER_NAMES: Final = {
    ("collections", "deque"): deque,
    ("array", "array"): array,
    ("array", "_array_reconstructor"): array("d").__reduce_ex__(pickle.HIGHEST_PROTOCOL)[0],
}
"""The other names that a state may contain. Built-in containers and numbers need no name."""
_UNPICKLING_ERRORS: Final = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    EOFError,
    ImportError,
)


class Packed(Struct, frozen=True):
    """The bytes of a state, the contents by key of the chunks that were not stored before, and these chunks."""

    state: bytes
    contents: dict[bytes, bytes]
    chunks: list[tuple[bytes, Chunk]]


def pack(folds: object) -> Packed:
    """Encode folds as bytes. Raises SnapshotRefused for an object that could not be restored."""
    packer = _Packer()
    try:
        return Packed(packer.dumped(folds), packer.contents, packer.chunks)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotRefused(f"it cannot be encoded: {type(error).__name__}: {error}") from error


def unpack(
    state: bytes,
    modules: frozenset[str] | None = None,
    load: Callable[[bytes], tuple[Any, ...]] = lambda _: (),
) -> Any:
    """Decode what `pack` encoded. Raises SnapshotRefused for anything else and for a class that may not be named.

    `modules` are the modules of `projections` that classes may come from; None allows all of them. `load` returns the
    items of a stored chunk when they are needed.
    """
    try:
        return _Unpacker(io.BytesIO(state), modules, load).load()
    except _UNPICKLING_ERRORS as error:
        raise SnapshotRefused(f"it cannot be decoded: {type(error).__name__}: {error}") from error


class ChunkLoader:
    """Loads the items of stored chunks. The most recently used ones stay in memory."""

    def __init__(self, read: Callable[[bytes], bytes], modules: frozenset[str] | None) -> None:
        self._read, self._modules = read, modules
        self._cached: OrderedDict[bytes, tuple[Any, ...]] = OrderedDict()

    def __call__(self, key: bytes) -> tuple[Any, ...]:
        """Return the items of a chunk. Raises SnapshotRefused if they cannot be trusted."""
        items = self._cached.get(key)
        if items is None:
            items = self._cached[key] = unpack(self._read(key), self._modules)
            if len(self._cached) > CHUNKS_CACHED_MAX:
                self._cached.popitem(last=False)
        return items


class _Packer:
    """Encodes folds, and each chunk that is not stored yet on its own."""

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}
        self.chunks: list[tuple[bytes, Chunk]] = []

    def dumped(self, thing: object) -> bytes:
        """Return an object as bytes."""
        content = io.BytesIO()
        _Pickler(content, self).dump(thing)
        return content.getvalue()

    def key_of(self, chunk: Chunk) -> bytes:
        """Return the key of a chunk, which is stored or will be."""
        if chunk.key:
            return chunk.key
        content = self.dumped(chunk.items)
        key = content_digest(content)
        self.contents[key] = content
        self.chunks.append((key, chunk))
        return key


class _Pickler(pickle.Pickler):
    """A pickler that creates a mutable Struct empty and fills it afterwards, because Structs may form cycles."""

    def __init__(self, content: io.BytesIO, packer: _Packer) -> None:
        super().__init__(content, protocol=5)
        self._packer = packer

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle a piece of a list or a mutable Struct; other objects are pickled as usual."""
        if type(obj) is Chunk:
            return _chunk, (self._packer.key_of(obj),)
        if type(obj) is Part:
            return _part, (obj.encoded(self._packer.dumped),)
        kind: Any = type(obj)
        if not _is_mutable_struct(kind):
            return NotImplemented
        fields = tuple(getattr(obj, name) for name in obj.__struct_fields__)
        return _empty, (type(obj),), fields, None, None, _fill


@cache
def _is_mutable_struct(kind: type) -> bool:
    return issubclass(kind, msgspec.Struct) and not kind.__struct_config__.frozen


class _Unpacker(pickle.Unpickler):
    def __init__(
        self, content: io.BytesIO, modules: frozenset[str] | None, load: Callable[[bytes], tuple[Any, ...]]
    ) -> None:
        super().__init__(content)
        self._modules, self._load = modules, load

    def _stored_chunk(self, key: bytes) -> Chunk:
        """Return a chunk whose items are loaded when they are needed."""
        chunk = Chunk(())
        chunk.keep_stored(key, self._load)
        return chunk

    def _encoded_part(self, encoded: bytes) -> Part:
        """Return a part whose items are decoded when they are needed."""
        return Part(None, encoded, partial(unpack, modules=self._modules))

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class. Raises UnpicklingError for any other name."""
        if module == __name__ and name == _chunk.__name__:
            return self._stored_chunk
        if module == __name__ and name == _part.__name__:
            return self._encoded_part
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


def _chunk(key: bytes) -> Chunk:
    """Stand in a pickle for the unpickler's own function, which knows where the chunks are."""
    raise pickle.UnpicklingError(f"the chunk {key.hex()} is stored elsewhere")


def _part(_: bytes) -> Part:
    """Stand in a pickle for the unpickler's own function, which knows what a part may contain."""
    raise pickle.UnpicklingError("a part is decoded by the unpickler of its state")


_MAKERS: Final = {"_empty": _empty, "_fill": _fill}
