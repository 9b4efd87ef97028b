"""The names of a channel's cursors: keyed, so that they do not give an address away; former names are replaced."""

from __future__ import annotations

import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.other_channels import channel_names
from papertape.events.cursors import SqliteCursors, stored_positions
from papertape.events.errors import LogError
from papertape.projections.notify.addresses import NotifyAddress
from papertape.projections.notify.channel_key import read_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ADDRESS = NotifyAddress("ntfys://ntfy.sh/holiday-house", "ntfy")
OTHER = NotifyAddress("discord://1/2", "discord")


def beside(folder: Path, suffix: str) -> Path:
    return folder / f"log.db{suffix}"


def names_of(folder: Path, addresses: Sequence[NotifyAddress]) -> dict[str, str]:
    """Return the names as an engine finds them at its start."""
    with closing(SqliteCursors(beside(folder, ".cursors"))) as cursors:
        return channel_names(addresses, lambda suffix: beside(folder, suffix), lambda: cursors)


def test_a_name_depends_on_a_key_that_only_the_owner_reads(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, again, elsewhere = (names_of(tmp_path / one, [ADDRESS]) for one in "aab")
    assert first == again
    assert first["ntfy"] != elsewhere["ntfy"], "a guessed address cannot be compared with a name"
    assert stat.S_IMODE(beside(tmp_path / "a", ".cursors.key").stat().st_mode) == 0o600


def test_a_key_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    key = read_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    assert read_key(tmp_path / "key") == key
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_cursors_of_a_former_version_continue_and_leave_nothing_behind(tmp_path: Path) -> None:
    file, former = beside(tmp_path, ".cursors"), f"notify.{ADDRESS.former_name}"
    gone = f"notify.{NotifyAddress('json://old/secret', 'json').former_name}"
    with closing(SqliteCursors(file)) as cursors:
        for name, seq in (
            (f"{former}.urgent.sent", 7),
            (f"{former}.begun", 3),
            (f"{gone}.begun", 9),
            ("telegram.x", 5),
        ):
            cursors.advance(name, seq)
    for name in (former, gone):
        (beside(tmp_path, ".folds") / name).mkdir(parents=True)
    name = names_of(tmp_path, [ADDRESS, OTHER])["ntfy"]
    assert stored_positions(file) == {f"{name}.urgent.sent": 7, f"{name}.begun": 3, "telegram.x": 5}
    assert [one.name for one in beside(tmp_path, ".folds").iterdir()] == [name]
    written = b"".join(one.read_bytes() for one in tmp_path.glob("log.db.cursors*"))
    assert ADDRESS.former_name.encode() not in written
    assert gone.encode() not in written


def test_the_furthest_of_two_cursors_of_one_channel_stays(tmp_path: Path) -> None:
    file, name = beside(tmp_path, ".cursors"), names_of(tmp_path, [ADDRESS])["ntfy"]
    with closing(SqliteCursors(file)) as cursors:  # An older version ran again meanwhile.
        cursors.advance(f"{name}.begun", 3)
        cursors.advance(f"notify.{ADDRESS.former_name}.begun", 8)
    names_of(tmp_path, [ADDRESS])
    assert stored_positions(file) == {f"{name}.begun": 8}


def test_without_channels_no_key_is_made(tmp_path: Path) -> None:
    assert names_of(tmp_path, []) == {}
    assert not beside(tmp_path, ".cursors.key").exists()


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(LogError, match=r"key cannot be used as the key of the channels"):
        read_key(tmp_path / "key")
