"""Read a log back in the background: `python -m papertape.events.proving LOG LIFE`, a process beside the engine.

First it reads rows that were never proven, then each new sealed segment once, then the rows in SQLite again once per
run of the engine, and everything again once a week. It uses a bounded share of CPU and disk time, opens the log
read-only, and ends with its parent process. It exits with 0 if all rows are intact and with 5 if one is damaged, which
it prints and records in the proof beside the log.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.events.errors import LogArchived, LogDamaged, LogError
from papertape.events.log import Head
from papertape.events.proof import Damage, Proof, contains_row, read_proof, write_proof
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE: Final = 0.25
"""The share of time spent reading, so that a slow disk is no busier than a fast one; the rest is sleep."""
SLICE_S: Final = 0.02
PAUSE_S_MAX: Final = 5.0
SAVE_EVERY_S: Final = 30.0
ROUND_MS_MAX: Final = 7 * DAY_MS
NICENESS: Final = 19


class DamageReport(Struct, frozen=True):
    """The output of this process for a damaged row."""

    seq: int
    reason: str


class Orphaned(LogError):
    """The process that requested the proof is gone."""


class Throttle:
    """Limit the work to a share of the time; `is_wanted` tells whether to continue."""

    def __init__(self, share: float, is_wanted: Callable[[], bool]) -> None:
        self._pauses, self._is_wanted = 1.0 / share - 1.0, is_wanted
        self._started_s = time.monotonic()

    def step(self) -> None:
        """Sleep at the end of a slice of work. Raise Orphaned if the proof is no longer wanted."""
        worked_s = time.monotonic() - self._started_s
        if worked_s < SLICE_S:
            return
        if not self._is_wanted():
            raise Orphaned("the process that requested the proof is gone")
        time.sleep(min(PAUSE_S_MAX, worked_s * self._pauses))
        self._started_s = time.monotonic()


class ProofRun:
    """One pass over a log, and the proof so far."""

    def __init__(self, path: Path, reader: SqliteLogReader, life: str, pace: Throttle) -> None:
        self._path, self._reader, self._life, self._pace = path, reader, life, pace
        self._saved_s = time.monotonic()
        proof = read_proof(path)
        if proof is None or not all(
            _may_contain_row(reader, head) for head in (proof.proven, proof.sealed, proof.again or Head())
        ):
            proof = Proof(path.stat().st_ino, life=life, round_began_at_ms=_now_ms())
        self.proof = replace(proof, damage=None)

    def run(self) -> Proof:
        """Read to the end, then re-read the proven rows if that is due. Raise LogDamaged, LogError or OSError.

        An archive that cannot be reached ends the run with LogArchived; what was read before it stays proven.
        """
        try:
            self._read_new()
            self._read_segments()
            if self.proof.again is None and self._is_round_due():
                self._begin_round()
            if self.proof.again is not None:
                self._read_again(self.proof.again, self.proof.proven.seq)
        except (LogDamaged, LogArchived):
            with suppress(OSError):  # A full disk does not hide damage: the next pass finds it again.
                write_proof(self._path, self.proof)
            raise
        write_proof(self._path, self.proof)
        return self.proof

    def _read_new(self) -> None:
        self._read(self.proof.proven, None, lambda head: replace(self.proof, proven=head))
        self.proof = replace(self.proof, proven_at_ms=_now_ms())

    def _read_segments(self) -> None:
        """Read the segments that were sealed since the last time, and remember that."""
        until_seq = self._reader.sealed_end().seq
        if self.proof.sealed.seq < until_seq:
            self._read(self.proof.sealed, until_seq, lambda head: replace(self.proof, sealed=head))

    def _begin_round(self) -> None:
        """Begin with the first event once a week, otherwise with the first one that is not in a segment."""
        proof = replace(self.proof, life=self._life)
        if self._is_week_over():
            self.proof = replace(proof, again=Head(), round_began_at_ms=_now_ms())
        else:
            self.proof = replace(proof, again=self._reader.sealed_end())

    def _read_again(self, after: Head, until_seq: int) -> None:
        self._read(after, until_seq, lambda head: replace(self.proof, again=head))
        self.proof = replace(self.proof, again=None)

    def _read(self, after: Head, until_seq: int | None, moved: Callable[[Head], Proof]) -> None:
        """Check every row after `after`, up to the end of the log or to `until_seq`."""
        seq = after.seq
        try:
            for commit in self._reader.rehashed_commits(after.seq):
                seq = commit.last_seq
                if until_seq is not None and seq >= until_seq:
                    break
                self._pace.step()
                if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
                    self._saved_s = time.monotonic()
                    self.proof = moved(self._end(seq))
                    write_proof(self._path, self.proof)
        except LogDamaged as damage:
            self.proof = replace(moved(self._end(seq)), damage=Damage(damage.seq, damage.reason, self._end(seq)))
            raise
        self.proof = moved(self._end(seq))

    def _end(self, seq: int) -> Head:
        """Return the end of the row that was read last."""
        row_hash = self._reader.hash_at(seq)
        assert row_hash is not None, f"no row ends at seq {seq}"
        return Head(seq, row_hash)

    def _is_round_due(self) -> bool:
        return self.proof.life != self._life or self._is_week_over()

    def _is_week_over(self) -> bool:
        return not 0 <= _now_ms() - self.proof.round_began_at_ms < ROUND_MS_MAX


def _may_contain_row(reader: SqliteLogReader, head: Head) -> bool:
    """Return whether the log contains this row, as far as that can be seen without a missing archive."""
    try:
        return contains_row(reader, head)
    except LogArchived:
        return True


def prove(path: Path, life: str, pace: Throttle) -> Proof:
    """Prove the log at `path` for one run of the engine. Raise LogDamaged, LogError or OSError."""
    with closing(SqliteLogReader(path)) as reader:
        return ProofRun(path, reader, life, pace).run()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(path: Path, life: str) -> int:
    """Prove the log and return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the engine, which ends this process.
    os.nice(NICENESS)  # The kernel derives the I/O priority from it.
    parent = os.getppid()
    try:
        prove(path, life, Throttle(SHARE, lambda: os.getppid() == parent))
    except LogDamaged as damage:
        sys.stdout.buffer.write(msgspec.json.encode(DamageReport(damage.seq, damage.reason)))
        return damage.exit_code
    except (LogError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
