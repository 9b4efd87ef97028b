"""Bad market files on the command line: refused rows are reported with file, line and reason, and never logged."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import CandleClosed, GapFound
from tests.engine.logs import of_type
from tests.engine.processes import papertape

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

HEADER = "open_time_ms,open,high,low,close,volume\n"
START_MS = 1_735_689_600_000


def row(minute: int, prices: str = "100,101,99,100,1") -> str:
    return f"{START_MS + minute * 60_000},{prices}\n"


GOOD = HEADER + "".join(row(minute) for minute in range(10))
BAD = (
    HEADER
    + "".join(row(minute) for minute in range(5))
    + row(5, "nan,101,99,100,1")
    + row(6, "100,90,99,100,1")
    + row(7, "100,101,99,100,-1")
    + row(4)
    + "1735690020,100,101,99,100,1\n"
    + f"{START_MS + 450_001},100,101,99,100,1\n"
    + row(8, "abc,101,99,100,1")
    + row(9)
)
REASONS = (
    "not_finite",
    "high_below_low",
    "negative_volume",
    "duplicate",
    "time_out_of_range",
    "off_grid",
    "not_a_number",
)


def verbs(folder: Path, name: str) -> list[tuple[str, ...]]:
    """The two ways a file comes into a log."""
    files = ("--candles", f"X={folder / name}")
    return [
        ("run", "--feed", "file", "--speed", "max", "--until-end", "--db", "paper.db", *files),
        ("backtest", "--engine", "python", "--json", "--db", "tape.db", *files),
    ]


def test_refused_rows_are_named_counted_and_never_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "X_1m.csv"
    file.write_text(BAD)
    for arguments in verbs(tmp_path, file.name):
        done = papertape(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
        assert f"refused {file}:7: not_finite" in done.stderr
        assert all(reason in done.stderr for reason in REASONS)
        assert "7 rows were refused" in done.stderr
        if arguments[0] == "backtest":
            assert json.loads(done.stdout)["refused_rows"] == 7
    for db in (tmp_path / "paper.db", tmp_path / "tape.db"):
        candles = [event for event in of_type(db, CandleClosed) if isinstance(event, CandleClosed)]
        assert [(candle.open_time_ms - START_MS) // 60_000 for candle in candles] == [0, 1, 2, 3, 4, 9]


def test_a_gap_is_reported_once_with_the_candle_after_it(tmp_path: Path) -> None:
    (tmp_path / "X_1m.csv").write_text(HEADER + "".join(row(minute) for minute in (0, 1, 2, 7, 8, 20, 21)))
    for arguments in verbs(tmp_path, "X_1m.csv"):
        assert papertape(tmp_path, *arguments).returncode == 0
    for db in (tmp_path / "paper.db", tmp_path / "tape.db"):
        gaps = [event for event in of_type(db, GapFound) if isinstance(event, GapFound)]
        assert [(gap.from_ms - START_MS, gap.missing_candles) for gap in gaps] == [(180_000, 4), (540_000, 11)]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_header(path: Path) -> None:
    path.write_text("date,price\n2025-01-01,100\n")


def cut_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress((GOOD * 20).encode())[:-40])


def no_candle(path: Path) -> None:
    path.write_text(HEADER + row(0, "nan,1,1,1,1"))


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("X_1m.csv", empty),
        ("X_1m.csv", wrong_header),
        ("X_1m.csv.gz", cut_gzip),
        ("X_1m.csv.gz", wrong_header),
        ("X_1m.csv", no_candle),
        ("X_1m.csv", missing),
    ],
)
def test_a_file_that_is_no_table_of_candles_ends_both_with_its_name(tmp_path: Path, name: str, make: object) -> None:
    make(tmp_path / name)  # type: ignore[operator]
    for arguments in verbs(tmp_path, name):
        done = papertape(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert str(tmp_path / name) in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.db")), "no log was begun"
