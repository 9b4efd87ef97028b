"""A bad snapshot is set aside, an older one is used, and a kill leaves no partial file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from papertape.events.errors import SnapshotRefused
from papertape.events.snapshots import KEPT_MAX, REFUSED_MAX, STATE_BYTES_MAX, SnapshotStore
from tests.events.processes import run_until_killed

ROW_HASH = bytes(range(32))


class Warned(list[str]):
    """A list that takes warnings."""

    def __call__(self, text: str) -> None:
        self.append(text)


def stored(folder: Path, *seqs: int) -> tuple[SnapshotStore, Warned]:
    warned = Warned()
    store = SnapshotStore(folder / "tape.db.snapshots", warned)
    for seq in seqs:
        store.save(seq, ROW_HASH, "r1", b"state after %d" % seq)
    return store, warned


def seqs(store: SnapshotStore, version: str = "r1") -> list[int]:
    return [snapshot.seq for snapshot in store.newest(version)]


def test_a_snapshot_comes_back_whole(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 7)
    (snapshot,) = store.newest("r1")
    assert (snapshot.seq, snapshot.hash, snapshot.reducer_version) == (7, ROW_HASH, "r1")
    assert (snapshot.state, warned) == (b"state after 7", [])


def test_the_newest_are_kept_and_come_newest_first(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 1, 2, 30, 100)
    assert (seqs(store), warned) == ([100, 30, 2], [])
    assert len(list(store.folder.iterdir())) == KEPT_MAX


def test_a_folder_that_is_not_there_holds_no_snapshots(tmp_path: Path) -> None:
    store, warned = stored(tmp_path)
    assert (seqs(store), warned) == ([], [])


def flipped(content: bytes, place: int) -> bytes:
    place %= len(content)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("torn", lambda content: content[:-1]),
        ("torn", lambda content: content + b"x"),
        ("torn", lambda content: content[:20]),
        ("torn", lambda content: content[:0]),
        ("format", lambda content: b"x" * len(content)),
        ("hash", lambda content: flipped(content, -1)),
        ("hash", lambda content: flipped(content, 30)),
        ("hash", lambda content: flipped(content, 55)),
    ],
)
def test_a_spoilt_snapshot_is_set_aside_and_an_older_one_serves(
    tmp_path: Path, reason: str, spoil: Callable[[bytes], bytes]
) -> None:
    store, warned = stored(tmp_path, 1, 2)
    newest = store.folder / f"{2:020d}.snapshot"
    newest.write_bytes(spoil(newest.read_bytes()))
    assert seqs(store) == [1]
    assert len(warned) == 1
    assert reason in warned[0]
    assert newest.with_name(newest.name + ".refused").exists()
    assert (seqs(store), len(warned)) == ([1], 1)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    store, _ = stored(tmp_path, 1)
    path = store.folder / f"{1:020d}.snapshot"
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(flipped(good, place))
        assert seqs(store) == []


def test_a_snapshot_under_another_name_is_set_aside(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 1)
    (store.folder / f"{1:020d}.snapshot").rename(store.folder / f"{9:020d}.snapshot")
    assert seqs(store) == []
    assert "name says another" in warned[0]


def test_other_reducers_are_passed_over_with_one_warning_and_stay(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 1, 2)
    store.save(3, ROW_HASH, "r2", b"")
    assert (seqs(store, "r2"), len(warned)) == ([3], 1)
    assert (seqs(store, "r1"), len(warned)) == ([2, 1], 2)


def test_snapshots_beyond_the_end_of_the_log_give_way(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 50, 60, 70, 8)
    assert seqs(store) == [8]
    assert len(warned) == 3


def test_the_caller_may_set_one_aside_that_stands_on_another_log(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 1, 2)
    store.set_aside(next(store.newest("r1")), "the log has another row there")
    assert seqs(store) == [1]
    assert "another row" in warned[0]


def test_the_refused_are_bounded(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    for seq in range(1, REFUSED_MAX + 5):
        store.save(seq, ROW_HASH, "r1", b"").write_bytes(b"")
        assert seqs(store) == []
    assert len(list(store.folder.glob("*.refused"))) == REFUSED_MAX


def test_what_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    store, _ = stored(tmp_path)
    with pytest.raises(SnapshotRefused, match=str(STATE_BYTES_MAX)):
        store.save(1, ROW_HASH, "r1", bytes(STATE_BYTES_MAX + 1))
    store.folder.write_text("a file where the folder should be")
    with pytest.raises(SnapshotRefused, match="could not be written"):
        store.save(1, ROW_HASH, "r1", b"")


def test_a_kill_while_saving_leaves_the_older_one_and_its_litter_is_swept(tmp_path: Path) -> None:
    store, warned = stored(tmp_path, 1)
    run_until_killed("during_snapshot", "snapshot", str(store.folder))
    assert len(list(store.folder.glob("*.tmp"))) == 1
    assert (seqs(store), warned) == ([1], [])
    store.save(3, ROW_HASH, "r1", b"")
    assert [path.suffix for path in store.folder.iterdir()] == [".snapshot"] * 2
