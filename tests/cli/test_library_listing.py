"""The library lists what lies in the data folders, whatever state it is in, and leads nowhere else."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from papertape.cli.library.data_folders import data_folders
from papertape.cli.library.listing import LibraryListing, entry_id, find_log
from papertape.cli.library.log_header import note_result
from papertape.events.errors import UsageError
from papertape.events.facts import EngineStopped
from papertape.events.log import Entry
from papertape.projections.site.readiness import BACKTEST_ENDED
from papertape.projections.studies.reader import LEADS_OUT
from tests.build import DAY_0_MS
from tests.cli.written_log import HEAD, entries, write_log
from tests.studies_file import SMALL_AXES, document, write_study

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.site.library import LibraryEntry


def write_backtest(path: Path) -> Path:
    """Write a log that ends like a backtest."""
    return write_log(path, [*entries(), [Entry(EngineStopped(DAY_0_MS, BACKTEST_ENDED))]])


def listing_of(folder: Path, *others: Path) -> LibraryListing:
    """Return the listing of a page whose own log is `own.db` in a folder."""
    logs = [folder / "own.db", *others]
    return LibraryListing(logs, data_folders(logs))


def entries_of(folder: Path, *others: Path) -> dict[str, LibraryEntry]:
    """Return the entries by their names."""
    return {one.name: one for one in listing_of(folder, *others).read().view.entries}


def test_every_kind_is_listed_with_what_its_header_says(tmp_path: Path) -> None:
    write_log(tmp_path / "own.db")
    (tmp_path / "backtests").mkdir()
    backtest = write_backtest(tmp_path / "backtests" / "may.db")
    note_result(backtest, -12.5)
    write_study(tmp_path / "studies", "momentum-btc", axes=SMALL_AXES, concluded=document(SMALL_AXES))
    shutil.copy(tmp_path / "own.db", tmp_path / "own.db-20260102T030405Z-15.backup")
    found = entries_of(tmp_path)
    own, may, study = found["own.db"], found["backtests/may.db"], found["momentum-btc"]
    assert (own.kind, own.address, own.events, own.running, own.net_usdt) == ("log", "/", HEAD, False, None)
    assert own.strategies == ("momentum", "funding", "liquidation")
    assert 0 < own.from_ms < own.until_ms
    assert (may.kind, may.address, may.net_usdt, may.result_seq) == ("backtest", f"/open/{may.id}/", -12.5, HEAD + 1)
    assert (study.kind, study.address, study.outcome != "") == ("study", "/studies/momentum-btc", True)
    backup = found["own.db-20260102T030405Z-15.backup"]
    assert (backup.kind, backup.address, backup.events) == ("backup", "", 15)
    assert "of own.db" in backup.detail


def test_damaged_and_foreign_files_are_listed_with_their_reason(tmp_path: Path) -> None:
    own = write_log(tmp_path / "own.db")
    (tmp_path / "text.db").write_text("hello")
    (tmp_path / "empty.db").touch()
    (tmp_path / "torn.db").write_bytes(own.read_bytes()[:5_000])
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE t (a)")
    found = entries_of(tmp_path)
    reasons = {name: found[name].problem for name in ("text.db", "empty.db", "torn.db", "other.sqlite")}
    assert "not an SQLite file" in reasons["text.db"]
    assert reasons["empty.db"] == "the file is empty"
    assert "damaged" in reasons["torn.db"]
    assert "another program's" in reasons["other.sqlite"]
    assert all(found[name].kind == "unreadable" and not found[name].address for name in reasons)


def test_links_are_followed_before_it_is_decided_what_lies_inside(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.mkdir()
    write_log(data / "own.db")
    write_log(outside / "secret.db")
    (data / "out.db").symlink_to(outside / "secret.db")
    (data / "folder").symlink_to(outside)
    (data / "alias.db").symlink_to(data / "own.db")
    (data / "table.csv").symlink_to(outside / "secret.db")
    index = listing_of(data).read()
    found = {one.name: one for one in index.view.entries}
    assert (found["out.db"].problem, found["out.db"].address) == (LEADS_OUT, "")
    assert found.keys() == {"own.db", "out.db"}
    assert not index.files
    assert list(index.logs) == [entry_id((data / "own.db").resolve())]


def test_links_in_a_circle_and_names_that_are_no_text_hide_nothing_else(tmp_path: Path) -> None:
    write_log(tmp_path / "own.db")
    write_study(tmp_path / "studies", "good", axes=SMALL_AXES)
    for name in ("round.db", "round.csv", "own.db-20260102T030405Z-15.backup", "studies/round.db"):
        (tmp_path / name).symlink_to(tmp_path / name)
    for folder in (tmp_path, tmp_path / "studies"):
        (folder / os.fsdecode(b"na\xffme.db")).touch()
    view = listing_of(tmp_path).read().view
    found = {one.name: one for one in view.entries}
    assert {"own.db", "good", "na\ufffdme.db"} < found.keys()
    assert (found["round.db"].kind, found["round.db"].problem) == ("unreadable", LEADS_OUT)
    assert b"na" in msgspec.json.encode(view)


def test_a_study_that_a_link_brings_in_from_elsewhere_is_not_opened(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    write_log(data / "own.db")
    write_study(data / "studies", "inside", axes=SMALL_AXES)
    write_study(outside, "secret", axes=SMALL_AXES)
    (data / "studies" / "out.db").symlink_to(outside / "secret.db")
    found = entries_of(data)
    assert (found["out"].problem, found["out"].address, found["out"].strategies) == (LEADS_OUT, "", ())
    assert found["inside"].address


@pytest.mark.parametrize("number", ["", "..", "../outside/secret.db", "/etc/passwd", "own.db", "%2e%2e"])
def test_an_id_that_is_not_in_the_list_leads_nowhere(tmp_path: Path, number: str) -> None:
    write_log(tmp_path / "own.db")
    with pytest.raises(UsageError, match="the library has no log"):
        find_log(listing_of(tmp_path).read(), number)


def test_a_header_is_read_again_only_after_its_log_changed(tmp_path: Path) -> None:
    own, listing = write_log(tmp_path / "own.db"), listing_of(tmp_path)
    [before] = listing.read().view.entries
    status = own.stat()
    own.write_bytes(bytes(status.st_size))
    os.utime(own, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listing.read().view.entries == (before,), "nothing that is looked at has changed"
    own.touch()
    assert [one.is_log for one in listing.read().view.entries] == [False]


def test_a_result_noted_for_another_log_is_not_shown(tmp_path: Path) -> None:
    own = write_log(tmp_path / "own.db")
    note_result(own, 7.0)
    assert entries_of(tmp_path)["own.db"].net_usdt == 7.0
    shutil.move(write_backtest(tmp_path / "new.sqlite"), own)
    assert entries_of(tmp_path)["own.db"].net_usdt is None


def test_files_of_market_data_say_kind_and_symbol(tmp_path: Path) -> None:
    write_log(tmp_path / "own.db")
    (tmp_path / "market").mkdir()
    for name in ("sim_BTCUSDT_5m.csv.gz", "sim_BTCUSDT_funding.csv.gz", "sim_BTCUSDT_open_interest.csv.gz", "mine.csv"):
        (tmp_path / "market" / name).write_bytes(b"x")
    files = listing_of(tmp_path).read().view.files
    assert [(one.name, one.kind, one.symbol) for one in files] == [
        ("market/mine.csv", "candles", ""),
        ("market/sim_BTCUSDT_5m.csv.gz", "candles", "BTCUSDT"),
        ("market/sim_BTCUSDT_funding.csv.gz", "funding", "BTCUSDT"),
        ("market/sim_BTCUSDT_open_interest.csv.gz", "open_interest", "BTCUSDT"),
    ]


def test_studies_of_another_data_folder_open_beside_a_log_of_theirs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write_log(tmp_path / "a" / "own.db")
    other = write_log(tmp_path / "b" / "other.db")
    write_study(tmp_path / "b" / "studies", "theirs", axes=SMALL_AXES)
    found = entries_of(tmp_path / "a", other)
    assert found["theirs"].address == f"/open/{entry_id(other.resolve())}/studies/theirs"
