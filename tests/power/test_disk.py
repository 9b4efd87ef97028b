"""The model of the disk: what was synced stays, and all the rest may or may not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.power.crash import Fate, draw, surviving_content
from tests.power.disk import SECTOR_BYTES, Change, File, Folder, read_folder
from tests.power.operations import Create, Link, MakeFolder, Operation, Remove, Rename, Resize, Sync, Write
from tests.power.recorder import Recording

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(300)


def states(operations: list[Operation], folder: Path) -> set[tuple[tuple[str, bytes], ...]]:
    """Return all that the disk was seen to hold after the last operation."""
    recording = Recording(Folder(), operations)
    found = set()
    for state in draw(recording, SEEDS, folder):
        if state.operations == len(operations):
            files = [path for path in sorted(state.folder.rglob("*")) if path.is_file()]
            found.add(tuple((str(path.relative_to(state.folder)), path.read_bytes()) for path in files))
    return found


def test_a_file_needs_its_own_sync_and_that_of_its_folder(tmp_path: Path) -> None:
    write: list[Operation] = [Create("a"), Write("a", 0, b"new")]
    nothing, whole = (), (("a", b"new"),)
    assert {nothing, whole, (("a", b""),)} <= states(write, tmp_path / "1")
    assert states([*write, Sync("a", 2)], tmp_path / "2") == {nothing, whole}
    assert states([*write, Sync("a", 2), Sync("", 3)], tmp_path / "3") == {whole}


def test_a_sync_does_not_cover_what_was_written_after_it_began(tmp_path: Path) -> None:
    operations: list[Operation] = [Create("a"), Sync("", 1), Write("a", 0, b"1"), Write("a", 1, b"2"), Sync("a", 3)]
    assert states(operations, tmp_path) == {(("a", b"1"),), (("a", b"12"),), (("a", b"1\0"),)}


def test_a_rename_is_lost_or_kept_as_one_change(tmp_path: Path) -> None:
    before: list[Operation] = [
        MakeFolder("x"),
        Create("x/a"),
        Create("b"),
        Write("b", 0, b"old"),
        Write("x/a", 0, b"new"),
    ]
    synced: list[Operation] = [Sync("b", 5), Sync("x/a", 5), Sync("x", 5), Sync("", 5)]
    old, new = (("b", b"old"), ("x/a", b"new")), (("b", b"new"),)
    assert states([*before, *synced, Rename("x/a", "b")], tmp_path / "1") == {old, new}
    assert states([*before, *synced, Rename("x/a", "b"), Sync("", 10)], tmp_path / "2") == {new}


def test_names_of_one_folder_are_lost_independently(tmp_path: Path) -> None:
    operations: list[Operation] = [Create("a"), Sync("", 1), Remove("a"), Create("b"), Link("b", "c")]
    seen = {tuple(name for name, _ in state) for state in states(operations, tmp_path)}
    assert seen == {("a",), (), ("a", "b"), ("b",), ("a", "c"), ("c",), ("a", "b", "c"), ("b", "c")}


@pytest.mark.parametrize("fate", Fate)
def test_every_sector_holds_what_it_held_at_some_moment(fate: Fate) -> None:
    chance = Random(7)
    for _ in SEEDS:
        content = bytearray(chance.randbytes(4 * SECTOR_BYTES))
        file = File(bytearray(content), bytearray(content))
        moments = [bytes(file.live)]
        for index in range(5):
            offset = chance.randrange(len(content) - 100)
            file.take(Change(index, offset, chance.randbytes(chance.randint(1, len(content) - offset))))
            moments.append(bytes(file.live))
        found = surviving_content(file, chance, fate)
        assert len(found) == len(content)
        for begin in range(0, len(found), SECTOR_BYTES):
            sector = slice(begin, begin + SECTOR_BYTES)
            assert found[sector] in [moment[sector] for moment in moments]


def test_a_length_is_one_that_the_file_had(tmp_path: Path) -> None:
    operations: list[Operation] = [
        Create("a"),
        Sync("", 1),
        Write("a", 0, b"1234"),
        Sync("a", 3),
        Resize("a", 0),
        Write("a", 0, b"56"),
    ]
    assert {len(content) for [(_, content)] in states(operations, tmp_path)} == {0, 2, 4}


def test_a_folder_is_read_with_files_of_several_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    folder = read_folder(tmp_path)
    assert folder.durable["a"] is folder.durable["b"]
