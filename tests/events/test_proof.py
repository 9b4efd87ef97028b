"""The whole log is read back, at a bounded pace, and the result is stored with the log."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.errors import LogArchived, LogDamaged
from papertape.events.head_file import head_path
from papertape.events.log import Head
from papertape.events.proof import Proof, proof_path, read_proof, write_proof
from papertape.events.proving import ROUND_MS_MAX, SLICE_S, Orphaned, Throttle, prove
from papertape.events.segments.archiving import archive
from papertape.events.segments.folder import sealed_folder
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.units import DAY_MS
from tests.build import candles
from tests.events.loop import RECORDED_AT_MS, clock_ms
from tests.events.segments.logs import seal_up_to, small_blocks, write_sealed
from tests.events.test_damage import tamper
from tests.support import examples

ROWS = 40
HEAD = 2 * ROWS
NO_PAUSE = Throttle(1.0, lambda: True)


def append(path: Path, rows: int) -> None:
    """Append commits of two events through the real log."""

    async def write() -> None:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        for _ in range(rows):
            await log.append(log.head.seq, candles(2, log.head.seq))
        await log.close()

    asyncio.run(write())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed log of ROWS commits of two events: rows begin at seq 1, 3, 5 and so on."""
    append(tmp_path / "log.db", ROWS)
    return tmp_path / "log.db"


def spoil(path: Path, seq: int) -> None:
    tamper(path, f"UPDATE commits SET recorded_at_ms = recorded_at_ms + 1 WHERE seq = {seq}")


def mend(path: Path, seq: int) -> None:
    tamper(path, f"UPDATE commits SET recorded_at_ms = recorded_at_ms - 1 WHERE seq = {seq}")


def found(path: Path, life: str = "life") -> int:
    """The seq at which a proof finds damage; 0 where everything holds."""
    try:
        prove(path, life, NO_PAUSE)
    except LogDamaged as damage:
        return damage.seq
    return 0


def kept(path: Path) -> Proof:
    proof = read_proof(path)
    assert proof is not None
    return proof


def test_a_whole_log_is_proven_up_to_its_end_and_that_is_remembered(path: Path) -> None:
    proof = prove(path, "first", NO_PAUSE)
    assert (proof.proven.seq, proof.again, proof.damage) == (HEAD, None, None)
    assert proof.proven_at_ms > 0
    assert kept(path) == proof


@given(row=st.integers(0, ROWS - 2))
@examples(15)
def test_damage_in_any_row_is_found_where_it_is_and_kept(tmp_path_factory: pytest.TempPathFactory, row: int) -> None:
    path = tmp_path_factory.mktemp("log") / "log.db"
    append(path, ROWS)
    seq = 2 * row + 1
    spoil(path, seq)
    assert found(path) == seq
    damage = kept(path).damage
    assert damage is not None
    assert (damage.seq, damage.after.seq, kept(path).proven.seq) == (seq, seq - 1, seq - 1)


def test_within_a_life_what_was_proven_is_not_read_again_and_what_came_is(path: Path) -> None:
    prove(path, "life", NO_PAUSE)
    spoil(path, 5)
    append(path, 10)
    assert found(path) == 0
    assert kept(path).proven.seq == HEAD + 20
    spoil(path, HEAD + 3)
    append(path, 10)
    assert found(path) == 0, "both were proven before they were spoilt"


def test_the_next_life_reads_everything_again_and_what_was_never_read_first(path: Path) -> None:
    prove(path, "first", NO_PAUSE)
    spoil(path, 5)
    append(path, 10)
    spoil(path, HEAD + 5)
    assert found(path, "second") == HEAD + 5
    mend(path, HEAD + 5)
    assert found(path, "second") == 5
    assert (kept(path).proven.seq, kept(path).again) == (HEAD + 20, Head(4, kept_hash(path, 4)))


def kept_hash(path: Path, seq: int) -> bytes:
    from papertape.events.sqlite_log import SqliteLogReader  # noqa: PLC0415 - for this check alone.

    with closing(SqliteLogReader(path)) as reader:
        return reader.hash_at(seq) or b""


def test_a_round_that_began_a_week_ago_begins_anew_in_a_long_life(path: Path) -> None:
    proof = prove(path, "life", NO_PAUSE)
    spoil(path, 5)
    write_proof(path, replace(proof, round_began_at_ms=proof.round_began_at_ms - ROUND_MS_MAX))
    assert found(path) == 5


def test_a_proof_that_is_interrupted_goes_on_where_it_was(path: Path) -> None:
    turns = iter([True, True, True])

    def spent_slices() -> bool:
        return next(turns, False)

    class Busy(Throttle):
        def step(self) -> None:
            self._started_s -= SLICE_S  # As if this row had taken so long.
            super().step()

    with pytest.raises(Orphaned):
        prove(path, "life", Busy(0.9, spent_slices))
    spoil(path, 1)
    assert found(path, "life") in (0, 1)
    assert kept(path).proven.seq in (0, HEAD)


@pytest.mark.parametrize("change", ["copy", "replace"])
def test_a_proof_of_another_file_or_another_past_counts_for_nothing(path: Path, tmp_path: Path, change: str) -> None:
    prove(path, "life", NO_PAUSE)
    other = tmp_path / "other" / "log.db"
    other.parent.mkdir()
    if change == "copy":
        shutil.copy(path, other)
        shutil.copy(proof_path(path), proof_path(other))
        assert read_proof(other) is None
    else:
        append(other, ROWS)
        tamper(other, f"UPDATE commits SET hash = zeroblob(32) WHERE seq = {HEAD - 1}")
        write_proof(other, replace(kept(path), inode=other.stat().st_ino))
    head_path(other).unlink(missing_ok=True)
    spoil(other, 5)
    assert found(other) == 5


@pytest.mark.parametrize("content", [b"", b"{", b'{"inode": 1}', b"\x00" * 100])
def test_a_torn_proof_is_none(path: Path, content: bytes) -> None:
    proof_path(path).write_bytes(content)
    assert read_proof(path) is None
    assert found(path) == 0


def test_a_log_found_damaged_is_refused_at_the_next_start_until_it_is_mended(path: Path) -> None:
    spoil(path, 5)
    append(path, 1)  # A start does not read it: it is flat in time.
    assert found(path) == 5
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match="seq 5: the row does not match its hash"):
        append(path, 1)
    assert path.read_bytes() == before
    mend(path, 5)
    append(path, 1)
    assert found(path) == 0
    assert kept(path).damage is None


def test_it_works_a_quarter_of_the_time_at_most() -> None:
    pace, begun_s, worked_s = Throttle(0.25, lambda: True), time.monotonic(), 0.0
    for _ in range(10):
        cpu_s = time.thread_time()
        while time.thread_time() - cpu_s < SLICE_S:
            pass
        worked_s += time.thread_time() - cpu_s
        pace.step()
    assert time.monotonic() - begun_s >= 3.9 * worked_s


def test_a_segment_is_read_once_and_again_only_when_a_week_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    asyncio.run(write_sealed(path, rows=10, seals=(6,)))
    proof = prove(path, "first", NO_PAUSE)
    assert (proof.proven.seq, proof.sealed.seq, proof.again) == (20, 6, None)
    for file in sealed_folder(path).iterdir():
        file.rename(tmp_path / "away")
    proof = prove(path, "second", NO_PAUSE)
    assert proof.life == "second", "the rows in SQLite were read again, and the segment was not"
    write_proof(path, replace(proof, round_began_at_ms=proof.round_began_at_ms - ROUND_MS_MAX))
    assert found(path, "second") == 1


def test_new_rows_are_proven_while_the_disk_of_an_archive_is_missing(tmp_path: Path) -> None:
    path, disk = tmp_path / "log.db", tmp_path / "disk"
    with small_blocks():
        asyncio.run(write_sealed(path, rows=10, seals=(12,)))
    proof = prove(path, "life", NO_PAUSE)
    middle = Head(6, kept_hash(path, 6))
    archive(path, RECORDED_AT_MS + DAY_MS, disk)
    disk.rename(tmp_path / "unplugged")
    for again, appended in ((None, 30), (middle, 40)):
        write_proof(path, replace(proof, again=again, round_began_at_ms=proof.round_began_at_ms - ROUND_MS_MAX))
        append(path, 5)
        with pytest.raises(LogArchived, match="mount the disk"):
            prove(path, "life", NO_PAUSE)
        assert kept(path).proven.seq == appended
        assert kept(path).again == (again or Head())
    (tmp_path / "unplugged").rename(disk)
    assert prove(path, "life", NO_PAUSE).again is None


def test_a_segment_that_was_damaged_after_its_rows_were_proven_is_found_by_the_next_proof(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    append(path, 10)
    prove(path, "life", NO_PAUSE)

    async def seal() -> None:
        log = await SqliteEventLog.open(path, clock_ms=clock_ms)
        await seal_up_to(log, 6)
        await log.close()

    asyncio.run(seal())
    for file in sealed_folder(path).iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert found(path, "life") == 1
