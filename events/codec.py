"""The codec: encodes events to the bytes of a row, and decodes them.

A row's blob is msgpack `[events, causes]`; an event is an array that begins with its tag. One typed decoder knows every
tag that ever existed, so a single call decodes and validates a whole row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import msgspec

from papertape.events.errors import LogDamaged, LogFromNewerVersion, UsageError
from papertape.events.facts import EVENT_TYPES, Event
from papertape.events.log import Entry
from papertape.events.upcast import UPCASTERS, Upcaster

Decoded = tuple[list[Event], list[int]]


class Codec:
    """Encodes and decodes the events of one commit; `upcasters` maps each old type to the function that converts it.

    `kinds` are the types by tag, those of old shapes included.
    """

    def __init__(self, event_types: Sequence[type[Event]], upcasters: Mapping[type[Event], Upcaster]) -> None:
        """Build the decoder; `event_types` are the newest shapes. Raise TypeError if two types share a tag, a bug."""
        types = (*event_types, *upcasters)
        self.kinds = {str(kind.__struct_config__.tag): kind for kind in types}
        self._upcasters = dict(upcasters)
        self._encoder = msgspec.msgpack.Encoder()
        shape: Any = tuple[list[Union[types]], list[int]]  # type: ignore[valid-type]  # noqa: UP007 - built at run time
        self._decoder: msgspec.msgpack.Decoder[Decoded] = msgspec.msgpack.Decoder(shape)

    def encode_commit(self, entries: Sequence[Entry]) -> bytes:
        """Return the blob of a row, and make sure that it can be read: an unreadable event is never written.

        The second encoding makes the bytes canonical (an int in a float field becomes a float), so that decoding and
        encoding a row again gives the same row. Raise UsageError, naming the event types, if an event is invalid.
        """
        events, causes = [entry.event for entry in entries], [entry.cause for entry in entries]
        try:
            readable = self._decoder.decode(self._encoder.encode((events, causes)))
            return self._encoder.encode(self._upcast(readable))
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            names = ", ".join(sorted({type(event).__name__ for event in events}))
            raise UsageError(f"a commit of {names} cannot be written: {error}") from error

    def decode(self, first_seq: int, blob: bytes) -> Decoded:
        """Return the events, in their newest shapes, and the causes of the row that begins at `first_seq`.

        Raise LogFromNewerVersion for an unknown tag, LogDamaged for everything else.
        """
        return self._upcast(self.decode_as_written(first_seq, blob))

    def decode_as_written(self, first_seq: int, blob: bytes) -> Decoded:
        """Return the events in the shapes in which they were written, and the causes. Raise like `decode`."""
        try:
            return self._decoder.decode(blob)
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._refusal(first_seq, blob, error) from error

    def encode_as_written(self, events: Sequence[Event], causes: Sequence[int]) -> bytes:
        """Return the blob of events that `decode_as_written` returned, the same bytes if the row was canonical."""
        return self._encoder.encode((events, causes))

    def old_tags(self, blob: bytes) -> list[str]:
        """Return the tags in a row that are converted to newer shapes, once for each event."""
        old = {str(kind.__struct_config__.tag) for kind in self._upcasters}
        return [tag for tag in raw_tags(blob) if tag in old]

    def is_old(self, kind: type[Event]) -> bool:
        """Return whether events of this type are converted to newer shapes."""
        return kind in self._upcasters

    def _upcast(self, decoded: Decoded) -> Decoded:
        events, causes = decoded
        if self._upcasters.keys().isdisjoint(map(type, events)):
            return decoded
        return [self.newest(event) for event in events], causes

    def newest(self, event: Event) -> Event:
        """Return the event in its newest shape."""
        for _ in range(len(self._upcasters)):
            upcaster = self._upcasters.get(type(event))
            if upcaster is None:
                return event
            event = upcaster(event)
        assert type(event) not in self._upcasters, f"the upcasters of {type(event).__name__} lead in a circle"
        return event

    def _refusal(self, first_seq: int, blob: bytes, error: Exception) -> LogDamaged:
        for offset, tag in enumerate(raw_tags(blob)):
            if tag is not None and tag not in self.kinds:
                return LogFromNewerVersion(first_seq + offset, f"this version does not know the event {tag}")
        return LogDamaged(first_seq, f"the row cannot be decoded: {error}")


def raw_tags(blob: bytes) -> list[str | None]:
    """Return the raw tags of a row's events, None for an event without one; empty for a malformed row."""
    try:
        untyped = msgspec.msgpack.decode(blob, type=tuple[list[list[Any]], list[Any]])
    except (ValueError, msgspec.MsgspecError):
        return []
    return [event[0] if event and isinstance(event[0], str) else None for event in untyped[0]]


CODEC = Codec(EVENT_TYPES, UPCASTERS)
