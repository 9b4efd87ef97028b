"""Checkpoints of one fold along a log, in an SQLite file of their own: found by seq, read on demand.

A checkpoint is a state as bytes, after an event whose row hash it names. What many states share is stored once, as
chunks under the digest of their content. A state is compressed against the one saved before it, at most `CHAIN_MAX` in
a row. The file only saves time: a kill loses at most the newest checkpoints, and a file that cannot be trusted is set
aside with a warning.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager, suppress
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING, Final
from weakref import finalize

from msgspec import Struct

from papertape.events.checkpoints.postings import SETUP, find_candidates, write_postings
from papertape.events.durable import make_folder, rename_durably
from papertape.events.errors import SnapshotRefused
from papertape.events.failpoints import hit
from papertape.events.segments.compression import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from papertape.events.checkpoints.postings import Candidates, PostingQuery, Postings

SUFFIX: Final = ".checkpoints"
REFUSED: Final = ".refused"
CHAIN_MAX: Final = 16
DIGEST_BYTES: Final = 16
SEQ_MAX: Final = (1 << 63) - 1
BUSY_TIMEOUT_S: Final = 5.0
APPLICATION_ID: Final = 0x5054434B
_SETUP: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE IF NOT EXISTS checkpoints (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, hash BLOB NOT NULL, after_seq INTEGER NOT NULL,
    base_seq INTEGER NOT NULL, digest BLOB NOT NULL, packed BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS checkpoints_by_time ON checkpoints (at_ms, seq, after_seq);
CREATE TABLE IF NOT EXISTS chunks (digest BLOB NOT NULL UNIQUE, packed BLOB NOT NULL) STRICT;
{SETUP}"""
_NEWEST: Final = "SELECT seq, at_ms, hash FROM checkpoints WHERE seq <= ? ORDER BY seq DESC LIMIT 1"
_NEWEST_AT: Final = (
    "SELECT seq, at_ms FROM checkpoints INDEXED BY checkpoints_by_time WHERE at_ms <= ? ORDER BY at_ms DESC, seq DESC"
)
_CHAIN: Final = "SELECT digest, packed FROM checkpoints WHERE seq BETWEEN ? AND ? AND base_seq = ? ORDER BY seq"
_SAVE: Final = "INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)"
_STRETCHES: Final = "SELECT after_seq, seq FROM checkpoints INDEXED BY checkpoints_by_time"
_SEQS: Final = "SELECT seq FROM checkpoints INDEXED BY checkpoints_by_time"


class Checkpoint(Struct, frozen=True):
    """The place of a state in the log: its last event, and the hash of the row that ends there.

    No candle up to the event closed later than `at_ms`, if the fold knows that.
    """

    seq: int
    at_ms: int
    hash: bytes


class _Chain(Struct, frozen=True):
    """The states saved last, each compressed against the one before: where they begin, and the newest one."""

    base_seq: int
    length: int
    seq: int
    state: bytes


class CheckpointStore:
    """The checkpoints in one file, or in memory if there is no path. Any thread may use it.

    Every method raises SnapshotRefused if the file cannot be read or written, or its content cannot be trusted.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], None], *, only_reads: bool = False) -> None:
        """Open the file when it is first needed. `warn` gets one sentence for a file that is set aside.

        With `only_reads` the file belongs to another process: it is neither created nor set aside.
        """
        self.path, self.only_reads = path, only_reads
        self._warn = warn
        self._connection: sqlite3.Connection | None = None
        self._chain: _Chain | None = None
        self._lock = RLock()
        self.times_refused = 0
        """How often the file was set aside since it was opened first."""

    def newest(self, until_seq: int = SEQ_MAX) -> Checkpoint | None:
        """Return the last checkpoint at or before an event."""
        with self._opened() as connection:
            row = connection.execute(_NEWEST, (until_seq,)).fetchone() if connection is not None else None
        return None if row is None else Checkpoint(*row)

    def newest_at(self, at_ms: int) -> tuple[int, int]:
        """Return the seq and time of the last checkpoint before which no candle closed after `at_ms`; 0 if none."""
        with self._opened() as connection:
            row = connection.execute(_NEWEST_AT, (at_ms,)).fetchone() if connection is not None else None
        return (0, 0) if row is None else row

    def seqs(self) -> list[int]:
        """Return the seqs of all checkpoints, in order."""
        with self._opened() as connection:
            return [] if connection is None else sorted(seq for (seq,) in connection.execute(_SEQS))

    def indexed(self) -> list[tuple[int, int]]:
        """Return the parts of the log that the index covers, in order, each as the event before it and its last."""
        covered: list[tuple[int, int]] = []
        with self._opened() as connection:
            for after_seq, seq in sorted(connection.execute(_STRETCHES)) if connection is not None else ():
                if covered and after_seq <= covered[-1][1]:
                    covered[-1] = (covered[-1][0], max(covered[-1][1], seq))
                else:
                    covered.append((after_seq, seq))
        return covered

    def find(self, query: PostingQuery) -> Candidates:
        """Return the next stretches that may hold what is searched for, in a part of the log that is indexed."""
        with self._opened() as connection:
            if connection is None:
                raise SnapshotRefused(f"there is no file {self.path}")
            return find_candidates(connection, query)

    def load(self, seq: int) -> bytes:
        """Return the state of the checkpoint at an event."""
        with self._opened() as connection:
            found = connection and connection.execute("SELECT base_seq FROM checkpoints WHERE seq = ?", (seq,))
            base = found.fetchone() if found else None
            if connection is None or base is None:
                raise SnapshotRefused(f"there is no checkpoint at seq {seq}")
            state, digest = b"", b""
            with suppress(zstd.ZstdError):
                for digest, packed in connection.execute(_CHAIN, (base[0], seq, base[0])):  # noqa: B007 - the last one
                    state = _unpacked(packed, state)
            if content_digest(state) != digest:
                self._drop("base_seq = ?", base[0], f"the checkpoint at seq {seq} does not match its digest")
                raise SnapshotRefused(f"the checkpoint at seq {seq} does not match its digest")
        return state

    def chunk(self, digest: bytes) -> bytes:
        """Return a chunk by the digest of its content. If it is missing or damaged the whole file is set aside."""
        with self._opened() as connection:
            query = "SELECT packed FROM chunks WHERE digest = ?"
            row = connection.execute(query, (digest,)).fetchone() if connection is not None else None
            content = None
            if row is not None:
                with suppress(zstd.ZstdError):
                    content = _unpacked(row[0], b"")
            if content is None or content_digest(content) != digest:
                self.refuse("a chunk of its states is missing or does not match its digest")
                raise SnapshotRefused("a chunk of a state is missing or does not match its digest")
        return content

    def save(
        self,
        checkpoint: Checkpoint,
        state: bytes,
        chunks: Mapping[bytes, bytes],
        after_seq: int = 0,
        postings: Postings | None = None,
    ) -> None:
        """Save a state and the chunks, by digest, that it needs; those that are there already are skipped.

        `postings` index the events after `after_seq` up to the checkpoint.
        """
        with self._opened() as connection:
            if connection is None or self.only_reads:
                return
            chain = self._chain
            if chain is None or chain.length >= CHAIN_MAX or chain.seq >= checkpoint.seq:
                chain = _Chain(checkpoint.seq, 0, 0, b"")
            packed = _packed(state, chain.state)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                for digest, content in chunks.items():
                    if not connection.execute("SELECT 1 FROM chunks WHERE digest = ?", (digest,)).fetchone():
                        connection.execute("INSERT INTO chunks VALUES (?, ?)", (digest, _packed(content, b"")))
                if postings is not None:
                    write_postings(connection, after_seq, checkpoint.seq, postings)
                hit("during_checkpoint")
                place = (checkpoint.seq, checkpoint.at_ms, checkpoint.hash, after_seq, chain.base_seq)
                is_new = connection.execute(_SAVE, (*place, content_digest(state), packed)).rowcount > 0
            self._chain = _Chain(chain.base_seq, chain.length + 1, checkpoint.seq, state) if is_new else None

    def keep_newest(self, count: int) -> None:
        """Delete all but the newest checkpoints. The next state is compressed on its own."""
        with self._opened() as connection:
            seqs = self.seqs()[:-count]
            if connection is not None and seqs:
                connection.execute("DELETE FROM checkpoints WHERE seq <= ?", (seqs[-1],))
        self._chain = None

    def drop_foreign(self, hash_at: Callable[[int], bytes | None]) -> None:
        """Delete the checkpoints beyond the part of the log that they were made of, with a warning.

        The hashes of the rows are chained: if one fits, all before it do.
        """
        newest = self.newest()
        if newest is None or hash_at(newest.seq) == newest.hash:
            return
        seqs = self.seqs()
        low, high = 0, len(seqs)
        while low < high:
            middle = (low + high) // 2
            one = self.newest(seqs[middle])
            low, high = (middle + 1, high) if one and hash_at(one.seq) == one.hash else (low, middle)
        with self._opened():
            self._drop("seq >= ?", seqs[low], f"the log has another event at seq {newest.seq}")

    def refuse(self, reason: str) -> None:
        """Set the file aside, with a warning, and begin a new one."""
        with self._lock:
            self.close()
            self.times_refused += 1
            if self.only_reads:
                return
            self._warn(f"{self.path} was set aside: {reason}")
            if self.path is not None:
                with suppress(OSError):
                    rename_durably(self.path, self.path.with_name(self.path.name + REFUSED))
                for suffix in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def remove_others(self) -> None:
        """Delete what other versions of the code left in the folder of the file, as far as the folder allows it."""
        if self.path is not None and not self.only_reads:
            with suppress(OSError):
                for other in self.path.parent.glob("*"):
                    if other.is_file() and not other.name.startswith(self.path.name):
                        other.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed. Closing twice is harmless."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._chain = None

    def _drop(self, condition: str, value: int, reason: str) -> None:
        """Delete some checkpoints with a warning."""
        self._chain = None
        if not self.only_reads and self._connection is not None:
            self._warn(f"some checkpoints of {self.path} were deleted: {reason}")
            self._connection.execute(f"DELETE FROM checkpoints WHERE {condition}", (value,))  # noqa: S608 - not data.

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """Yield the connection; None if there is no file to read."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except sqlite3.OperationalError as error:
                raise SnapshotRefused(f"{self.path}: {error}") from error
            except (sqlite3.Error, TypeError, OverflowError) as error:
                self.refuse(str(error))
                raise SnapshotRefused(f"{self.path} is damaged: {error}") from error
            except OSError as error:
                raise SnapshotRefused(f"{self.path}: {error}") from error

    def _connect(self) -> sqlite3.Connection | None:
        if self.only_reads:
            if self.path is None or not self.path.exists():
                return None
            place = f"{self.path.absolute().as_uri()}?mode=ro"
        elif self.path is not None:
            make_folder(self.path.parent)
            place = self.path.absolute().as_uri()
        else:
            place = "file::memory:"
        with ExitStack() as undo:
            connecting = sqlite3.connect(
                place, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection = undo.enter_context(closing(connecting))
            if not self.only_reads:
                connection.executescript(_SETUP)
            undo.pop_all()
        finalize(self, connection.close)
        return connection


def content_digest(content: bytes) -> bytes:
    """Return the digest under which a content is stored."""
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def _packed(content: bytes, before: bytes) -> bytes:
    """Compress bytes, against those that came before if there are any."""
    prefix = zstd.ZstdDict(before, is_raw=True).as_prefix if before else None
    return zstd.compress(content, zstd_dict=prefix)


def _unpacked(packed: bytes, before: bytes) -> bytes:
    prefix = zstd.ZstdDict(before, is_raw=True).as_prefix if before else None
    return zstd.decompress(packed, zstd_dict=prefix)
