"""The reader of study files: the same numbers as in the file, and a problem instead of an error for a broken one."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from math import fsum
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.errors import UsageError
from papertape.projections.studies.reader import StudyFolder, studies_folder, values_of
from papertape.projections.studies.schema import FORMAT
from tests.studies_file import AXES, CAPITAL_USDT, SMALL_AXES, document, plan, write_study

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.studies.reader import SetFigures

CONCLUDED = document(SMALL_AXES)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """Return a folder with one concluded study."""
    write_study(tmp_path, "momentum-btc", axes=SMALL_AXES, concluded=CONCLUDED)
    return StudyFolder(tmp_path)


def write_sql(path: Path, *statements: str) -> None:
    """Change a study's file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_missing_folder_holds_no_study(tmp_path: Path) -> None:
    empty = StudyFolder(tmp_path / "studies")
    assert not empty.summaries()
    assert not empty.names()
    with pytest.raises(UsageError, match="no study 'x'; there are: none yet"):
        empty.study("x")


def test_a_study_reads_as_it_was_written(folder: StudyFolder) -> None:
    study = folder.study("momentum-btc")
    assert (study.state, study.problem, study.plan) == ("complete", "", plan("momentum-btc", SMALL_AXES))
    assert study.document == CONCLUDED
    assert study.progress is not None
    assert (study.progress.results, study.progress.results_total) == (12 * 11, 12 * 11)
    assert study.capital_usdt == CAPITAL_USDT


def test_the_newest_study_is_first_and_broken_files_are_last(folder: StudyFolder) -> None:
    write_study(
        folder.path, "younger", axes=SMALL_AXES, created_at_ms=1_900_000_000_000, results_max=5, state="running"
    )
    (folder.path / "broken.db").write_bytes(b"no database")
    found = folder.summaries()
    assert [one.name for one in found] == ["younger", "momentum-btc", "broken"]
    assert [one.outcome for one in found] == [None, "NO", None]
    assert found[0].progress is not None
    assert found[0].progress.results == 5
    assert found[1].net_usdt == fsum(fold.test_net_usdt for fold in CONCLUDED.folds)


def test_what_is_no_study_is_not_listed(folder: StudyFolder) -> None:
    for name in ("ledger.db", "momentum-btc.backtest.db", "momentum-btc.db-wal", "notes.txt"):
        (folder.path / name).touch()
    (folder.path / "folder.db").mkdir()
    assert folder.names() == ("momentum-btc",)
    assert folder.study("momentum-btc").log == str(folder.path / "momentum-btc.backtest.db")


@pytest.mark.parametrize("name", ["../secret", "..", "", "/etc/passwd", "x\x00", "momentum-btc.db", "%2e%2e", "ledger"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    write_study(tmp_path, "secret", axes=SMALL_AXES)
    inside = StudyFolder(tmp_path / "studies")
    write_study(inside.path, "momentum-btc", axes=SMALL_AXES)
    (inside.path / "ledger.db").touch()
    with pytest.raises(UsageError, match="there is no study"):
        inside.study(name)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TABLE document", "no such table: document"),
        ("DELETE FROM study", "the file holds no study"),
        ("UPDATE study SET plan = '{'", "truncated"),
        ("UPDATE study SET plan = '{}'", "missing required field"),
        ("UPDATE study SET plan = x'ff'", ""),
        ("UPDATE study SET state = 'asleep'", "asleep"),
        ("UPDATE study SET created_at_ms = 'yesterday'", "Expected `int`"),
        ("UPDATE document SET content = '[1]'", "Expected `object`"),
        ("INSERT INTO failed VALUES ('a', 'b', x'00', 4)", "unsupported operand"),
    ],
)
def test_a_broken_file_is_a_study_with_a_problem(folder: StudyFolder, statement: str, problem: str) -> None:
    write_sql(folder.path / "momentum-btc.db", statement)
    study = folder.study("momentum-btc")
    assert study.state == "unreadable"
    assert study.problem
    assert problem in study.problem
    assert folder.summaries()[0].problem == study.problem
    with pytest.raises(UsageError, match="cannot be read"):
        folder.measured("momentum-btc", 0, "net")


@pytest.mark.parametrize("length", [0, 1, 100, 4_096, 20_000])
def test_a_torn_file_is_a_study_with_a_problem(folder: StudyFolder, length: int) -> None:
    path = folder.path / "momentum-btc.db"
    path.write_bytes(path.read_bytes()[:length])
    assert folder.study("momentum-btc").state == "unreadable"


def test_a_newer_format_is_named_and_not_read(folder: StudyFolder) -> None:
    write_study(folder.path, "newer", axes=SMALL_AXES, version=FORMAT + 1)
    study = folder.study("newer")
    assert (study.state, study.plan) == ("newer", None)
    assert f"its format is {FORMAT + 1}" in study.problem
    with pytest.raises(UsageError, match="format"):
        folder.sets("newer", 0, "number", 0, 10, descending=False)


def test_sets_are_sorted_and_paged_without_gaps(folder: StudyFolder) -> None:
    whole = folder.sets("momentum-btc", 0, "net_usdt", 0, 100, descending=True)
    assert whole.total == 12
    assert whole.next is None
    assert [one.net_usdt for one in whole.items] == sorted((one.net_usdt for one in whole.items), reverse=True)
    pages: list[SetFigures] = []
    after = 0
    while True:
        page = folder.sets("momentum-btc", 0, "net_usdt", after, 5, descending=True)
        pages += page.items
        if page.next is None:
            break
        after = page.next
    assert tuple(pages) == whole.items
    backward = folder.sets("momentum-btc", 0, "number", 0, 100, descending=True)
    assert [one.number for one in backward.items] == list(range(11, -1, -1))


def test_sets_without_a_sharpe_ratio_come_last(folder: StudyFolder) -> None:
    write_sql(folder.path / "momentum-btc.db", "UPDATE result SET sharpe = NULL WHERE number = 3 AND span = 0")
    for descending in (False, True):
        page = folder.sets("momentum-btc", 0, "sharpe", 0, 100, descending=descending)
        assert page.items[-1].number == 3
    assert len(folder.measured("momentum-btc", 0, "sharpe").numbers) == 11


def test_a_set_has_its_figures_and_the_values_of_its_number(folder: StudyFolder) -> None:
    one = folder.set_figures("momentum-btc", 0, 7)
    assert one is not None
    assert one.values == {"breakout_lookback": 30, "sl_percent": 0.6}
    assert one.net_usdt == pytest.approx(one.gross_usdt - one.fees_usdt - one.slippage_usdt + one.funding_usdt)
    assert folder.set_figures("momentum-btc", 0, 12) is None
    assert folder.set_figures("momentum-btc", 99, 7) is None


def test_numbers_are_mixed_radix_with_the_last_axis_fastest() -> None:
    study = plan("x", AXES)
    expected = [
        {"breakout_lookback": one, "sl_percent": other, "volume_confirmation_multiplier": last}
        for one in AXES[0].values
        for other in AXES[1].values
        for last in AXES[2].values
    ]
    assert [values_of(study, number) for number in range(300)] == expected
    assert values_of(replace(study, space=replace(study.space, axes=())), 5) == {}


def test_the_measures_rank_the_better_set_higher(folder: StudyFolder) -> None:
    figures = folder.sets("momentum-btc", 0, "number", 0, 100, descending=False).items
    drawdown = folder.measured("momentum-btc", 0, "drawdown")
    assert drawdown.ranked[-1] == -min(one.max_drawdown_fraction for one in figures)
    net = folder.measured("momentum-btc", 0, "net")
    assert list(net.values) == [one.net_usdt for one in figures]
    assert list(net.ranked) == sorted(net.values)


def test_a_study_is_read_while_its_writer_commits(folder: StudyFolder) -> None:
    path, ended = folder.path / "momentum-btc.db", threading.Event()
    found: set[str] = set()

    def keep_reading() -> None:
        while not ended.is_set():
            found.add(folder.study("momentum-btc").problem)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        for at_ms in range(60):
            write_sql(path, f"UPDATE study SET updated_at_ms = {at_ms}")
    finally:
        ended.set()
        reader.join()
    assert found == {""}


def test_a_log_among_studies_belongs_to_them(tmp_path: Path) -> None:
    assert studies_folder(tmp_path / "papertape.db") == tmp_path / "studies"
    assert studies_folder(tmp_path / "studies" / "x.backtest.db") == tmp_path / "studies"
