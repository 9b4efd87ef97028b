"""The quick reader gives the arrays of the plain one, bit for bit, or leaves the file to it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from papertape.engine.feeds.files import csv_polars
from papertape.engine.feeds.files.columns import CandleColumns
from papertape.engine.feeds.files.csv_polars import ROWS_MIN
from papertape.engine.feeds.files.csv_reader import CANDLE_COLUMNS, QuickReader, read_candles
from papertape.engine.feeds.files.table_source import read_table
from papertape.engine.feeds.sim.episodes import stream
from papertape.events.units import MINUTE_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, candle_rows, minutes, table
from tests.feeds.reading import shared_data

ROWS = 3_000


def bits(columns: CandleColumns) -> list[bytes]:
    """Everything a reader found, to the last bit."""
    numbers = (columns.open_time_ms, *columns.values(), columns.line)
    return [*(column.tobytes() for column in numbers), bytes([columns.price_decimals & 0xFF])]


def by_polars() -> QuickReader:
    """The reader that needs polars."""
    pytest.importorskip("polars")
    return csv_polars.candles


def compiled() -> QuickReader:
    """The compiled reader alone, which leaves nothing to the one with polars."""
    pytest.importorskip("numba")
    from papertape.engine.research.tables import compiled_candles  # noqa: PLC0415 - belongs to an extra

    return compiled_candles


@cache
def plainly(path: Path) -> CandleColumns:
    """What the plain reader finds; it takes its time."""
    return read_candles(path, quick=None)


@pytest.fixture(params=[by_polars, compiled])
def quick(request: pytest.FixtureRequest) -> QuickReader:
    """Each quick reader."""
    return request.param()  # type: ignore[no-any-return]


def read(quick: QuickReader, path: Path) -> CandleColumns | None:
    """What a quick reader alone says."""
    return quick(read_table(path, CANDLE_COLUMNS), MINUTE_MS)


@pytest.mark.system
def test_all_readers_give_identical_arrays_on_every_real_file(quick: QuickReader) -> None:
    kinds = ("funding", "open_interest", "mark")
    paths = [path for path in shared_data().glob("*.csv.gz") if not any(kind in path.name for kind in kinds)]
    assert len(paths) >= 10
    for path in paths:
        plain = plainly(path)
        quickly = quick(read_table(path, CANDLE_COLUMNS), plain.timeframe_ms)
        assert quickly is not None or len(plain.line) < ROWS_MIN
        assert quickly is None or bits(plain)[:-1] == bits(quickly)[:-1], path.name
        assert quickly is None or quickly.price_decimals in (-1, plain.price_decimals), path.name
        assert plain.refusals.total == 0


def test_a_quick_reader_takes_a_clean_file(quick: QuickReader, tmp_path: Path) -> None:
    assert read(quick, table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(ROWS)))) is not None


@pytest.mark.parametrize(
    "row",
    [
        "rubbish",
        "",
        f"{FILE_START_MS},100,101,99,100,1",
        f"{FILE_START_MS + (ROWS - 1) * MINUTE_MS},100,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS + 1},100,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,99,100,",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,99,100",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,99,100,1,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,99,100,-1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,99,101,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,99,102,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},98,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,101,-99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},nan,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS}, 100,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},1.0.0,101,99,100,1",
        f"{FILE_START_MS * 1_000},100,101,99,100,1",
        f"{FILE_START_MS // 1_000},100,101,99,100,1",
        f"{FILE_START_MS + ROWS * MINUTE_MS},100,1000000000001,99,100,1",
    ],
)
def test_one_doubtful_row_leaves_the_file_to_the_plain_reader(quick: QuickReader, tmp_path: Path, row: str) -> None:
    rows = [*candle_rows(minutes(ROWS)), row, *candle_rows(minutes(5, FILE_START_MS + (ROWS + 1) * MINUTE_MS))]
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    assert read(quick, path) is None
    assert bits(read_candles(path, quick=quick)) == bits(read_candles(path, quick=None))


@pytest.mark.parametrize("digits", [1, 8, 12, 15, 17])
def test_numbers_of_any_length_come_out_identical(quick: QuickReader, tmp_path: Path, digits: int) -> None:
    rng = stream(11, "digits")
    rows = []
    for time_ms in minutes(ROWS):
        middle = 10.0 ** (rng.random() * 8.0 - 2.0)
        high, low = middle * (1.0 + rng.random()), middle * rng.random() + 0.001
        numbers = (middle, max(high, middle), min(middle, low), middle, rng.random() + 0.001)
        rows.append(",".join([str(time_ms), *(f"{number:.{digits}g}" for number in numbers)]))
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    assert bits(read_candles(path, quick=quick)) == bits(read_candles(path, quick=None))


@pytest.mark.parametrize("decimals", [2, 11, 12, 13, 14, 15])
def test_numbers_at_the_edge_of_what_a_float_holds_exactly_come_out_identical(
    quick: QuickReader, tmp_path: Path, decimals: int
) -> None:
    rng = stream(12, "edge")
    rows = []
    for time_ms in minutes(ROWS):
        price = f"{800.0 + 200.0 * rng.random():.{decimals}f}"
        rows.append(f"{time_ms},{price},{price},{price},{price},{price}")
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    assert bits(read_candles(path, quick=quick)) == bits(read_candles(path, quick=None))


def test_a_small_file_is_not_worth_a_quick_reader(quick: QuickReader, tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(ROWS_MIN - 1)))
    assert read(quick, path) is None


WITHOUT_POLARS = """
import sys
from functools import cache
from pathlib import Path
sys.modules["polars"] = None
import papertape.engine.feeds.files.feed, papertape.engine.feeds.sim.feed
from papertape.engine.feeds.files.csv_reader import read_candles
print(len(read_candles(Path(sys.argv[1])).open_time_ms), "numpy" in sys.modules, "numba" in sys.modules)
"""


def test_without_polars_the_plain_reader_serves_and_the_feeds_import_no_extra(tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(ROWS)))
    command = [sys.executable, "-c", WITHOUT_POLARS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == [str(ROWS), "False", "False"]
