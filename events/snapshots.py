"""Snapshots: folded states beside the log from which a replay can start. Losing all of them loses nothing.

A file is `magic, header length, state length, BLAKE2b-256 of all the rest, header, state`; the header names the seq of
the state, the hash of the log row that ends there, and the reducer that folded it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from papertape.events.durable import make_folder, rename_durably, write_durably
from papertape.events.errors import SnapshotRefused
from papertape.events.failpoints import hit

KEPT_MAX = 3
REFUSED_MAX = 4
STATE_BYTES_MAX = 256 << 20

_MAGIC = b"PTSNAP1\n"
_LENGTHS = struct.Struct(">8sIQ")
_HASH_BYTES = 32
_PREFIX_BYTES = _LENGTHS.size + _HASH_BYTES


class _Header(Struct, frozen=True):
    seq: int
    hash: bytes
    reducer_version: str


class Snapshot(Struct, frozen=True):
    """A state after the event `seq`; `hash` is the hash of the log row that ends there."""

    seq: int
    hash: bytes
    reducer_version: str
    state: bytes


class SnapshotStore:
    """The snapshots of one log in one folder. One process saves."""

    def __init__(self, folder: str | Path, warn: Callable[[str], None], *, only_looks: bool = False) -> None:
        """Open the snapshots in `folder`; `warn` gets one sentence for each file that is set aside, with the reason.

        With `only_looks`, skip bad files instead of setting them aside: they belong to another process.
        """
        self.folder = Path(folder)
        self._warn = warn
        self._only_looks = only_looks

    def save(self, seq: int, row_hash: bytes, reducer_version: str, state: bytes) -> Path:
        """Save the newest state durably, keep the KEPT_MAX newest, and return the file's path. Waits for the disk.

        Snapshots beyond `seq` belong to another history and are set aside. Raise SnapshotRefused if the file cannot be
        written; nothing is lost then.
        """
        if len(state) > STATE_BYTES_MAX:
            raise SnapshotRefused(f"a state of {len(state)} bytes is more than {STATE_BYTES_MAX}")
        path = self.folder / f"{seq:020d}.snapshot"
        try:
            make_folder(self.folder)
            content = _encode(Snapshot(seq, row_hash, reducer_version, state))
            write_durably(path, content, lambda: hit("during_snapshot"))
            self._prune(path)
        except OSError as error:
            raise SnapshotRefused(f"{path} could not be written: {error}") from error
        return path

    def newest(self, reducer_version: str) -> Iterator[Snapshot]:
        """Yield the intact snapshots of this reducer, newest first.

        Set bad ones aside with a warning each; skip those of another reducer with one warning for all. The caller
        checks whether the log has the row with the snapshot's hash (and calls `set_aside` if not).
        """
        has_warned = False
        for path in self._paths():
            try:
                snapshot = _decode(path)
            except SnapshotRefused as refused:
                self._set_aside(path, str(refused))
                continue
            if snapshot.reducer_version == reducer_version:
                yield snapshot
                continue
            if not has_warned:
                self._warn(f"{path} was folded by reducer {snapshot.reducer_version}, not by {reducer_version}")
            has_warned = True

    def set_aside(self, snapshot: Snapshot, reason: str) -> None:
        """Refuse a snapshot that does not belong to this log, and warn."""
        self._set_aside(self.folder / f"{snapshot.seq:020d}.snapshot", reason)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.snapshot"), reverse=True)

    def _prune(self, saved: Path) -> None:
        for path in self._paths():
            if path.name > saved.name:
                self._set_aside(path, "it is beyond the end of the log")
        for path in self._paths()[KEPT_MAX:]:
            path.unlink(missing_ok=True)
        for torn in self.folder.glob("*.tmp"):
            torn.unlink(missing_ok=True)

    def _set_aside(self, path: Path, reason: str) -> None:
        if self._only_looks:
            return
        self._warn(f"{path} was set aside: {reason}")
        try:
            rename_durably(path, path.with_name(path.name + ".refused"))
            refused = sorted(self.folder.glob("*.refused"), key=lambda file: file.stat().st_mtime_ns)
            for old in refused[:-REFUSED_MAX]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self._warn(f"{path} could not be set aside: {error}")


def _encode(snapshot: Snapshot) -> bytes:
    header = msgspec.msgpack.encode(_Header(snapshot.seq, snapshot.hash, snapshot.reducer_version))
    lengths = _LENGTHS.pack(_MAGIC, len(header), len(snapshot.state))
    return lengths + _digest(lengths, header, snapshot.state) + header + snapshot.state


def _decode(path: Path) -> Snapshot:
    """Read a snapshot. Raise SnapshotRefused with the reason if it cannot be used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnapshotRefused(f"it cannot be read: {error}") from error
    if len(content) < _PREFIX_BYTES:
        raise SnapshotRefused(f"it is torn: its {len(content)} bytes are shorter than a header")
    lengths, digest = content[: _LENGTHS.size], content[_LENGTHS.size : _PREFIX_BYTES]
    magic, header_bytes, state_bytes = _LENGTHS.unpack(lengths)
    if magic != _MAGIC:
        raise SnapshotRefused("it is not a snapshot of this format")
    if len(content) != _PREFIX_BYTES + header_bytes + state_bytes:
        raise SnapshotRefused(f"it is torn: its {len(content)} bytes do not match the lengths in its header")
    header, state = content[_PREFIX_BYTES : _PREFIX_BYTES + header_bytes], content[_PREFIX_BYTES + header_bytes :]
    if digest != _digest(lengths, header, state):
        raise SnapshotRefused("it does not match its hash")
    return _snapshot(header, state, path)


def _snapshot(header: bytes, state: bytes, path: Path) -> Snapshot:
    try:
        fields = msgspec.msgpack.decode(header, type=_Header)
    except (ValueError, msgspec.MsgspecError) as error:
        raise SnapshotRefused(f"its header cannot be decoded: {error}") from error
    if path.name != f"{fields.seq:020d}.snapshot":
        raise SnapshotRefused(f"it belongs to seq {fields.seq}, but its name says another")
    return Snapshot(fields.seq, fields.hash, fields.reducer_version, state)


def _digest(lengths: bytes, header: bytes, state: bytes) -> bytes:
    return blake2b(lengths + header + state, digest_size=_HASH_BYTES).digest()
