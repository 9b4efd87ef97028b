"""The quick reader gives the arrays of the plain one, bit for bit, or leaves the file to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.feeds import tables_fast
from engine.feeds.columns import CandleColumns
from engine.feeds.sim_plan import stream
from engine.feeds.sources import read_table
from engine.feeds.tables import CANDLE_COLUMNS, read_candles
from tests.feeds.given import CANDLE_HEADER, MINUTE_MS, T0_MS, candle_rows, minutes, shared_data, table

ROWS = 3_000


def bits(columns: CandleColumns) -> list[bytes]:
    """Everything a reader found, to the last bit."""
    numbers = (columns.open_time_ms, *columns.values(), columns.line, columns.price_decimals)
    return [column.tobytes() for column in numbers]


def quick(path: Path) -> CandleColumns | None:
    """What the quick reader alone says."""
    return tables_fast.candles(read_table(path, CANDLE_COLUMNS), MINUTE_MS)


def test_both_readers_give_identical_arrays_on_every_real_file() -> None:
    pytest.importorskip("polars")
    kinds = ("funding", "open_interest", "mark")
    paths = [path for path in shared_data().glob("*.csv.gz") if not any(kind in path.name for kind in kinds)]
    assert len(paths) >= 10
    for path in paths:
        plain, either = read_candles(path, accelerate=False), read_candles(path)
        assert bits(plain) == bits(either), path.name
        assert plain.refusals.total == 0


def test_the_quick_reader_takes_a_clean_file(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    assert quick(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(ROWS)))) is not None


@pytest.mark.parametrize(
    "row",
    [
        "rubbish",
        "",
        f"{T0_MS},100,101,99,100,1",
        f"{T0_MS + (ROWS - 1) * MINUTE_MS},100,101,99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS + 1},100,101,99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,99,100,",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,99,100",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,99,100,1,1",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,99,100,-1",
        f"{T0_MS + ROWS * MINUTE_MS},100,99,101,100,1",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,99,102,1",
        f"{T0_MS + ROWS * MINUTE_MS},98,101,99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS},100,101,-99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS},nan,101,99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS}, 100,101,99,100,1",
        f"{T0_MS + ROWS * MINUTE_MS},1.0.0,101,99,100,1",
        f"{T0_MS * 1_000},100,101,99,100,1",
    ],
)
def test_one_doubtful_row_leaves_the_file_to_the_plain_reader(tmp_path: Path, row: str) -> None:
    pytest.importorskip("polars")
    rows = [*candle_rows(minutes(ROWS)), row, *candle_rows(minutes(5, T0_MS + (ROWS + 1) * MINUTE_MS))]
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    assert quick(path) is None
    assert bits(read_candles(path)) == bits(read_candles(path, accelerate=False))


def test_numbers_with_all_their_digits_come_out_identical(tmp_path: Path) -> None:
    pytest.importorskip("polars")
    rng = stream(11, "digits")
    rows = []
    for time_ms in minutes(ROWS):
        middle = 10.0 ** (rng.random() * 8.0 - 2.0)
        high, low = middle * (1.0 + rng.random()), middle * rng.random() + 0.001
        rows.append(f"{time_ms},{middle!r},{max(high, low)!r},{min(middle, low)!r},{middle!r},{rng.random() + 0.001!r}")
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    assert quick(path) is not None
    assert bits(read_candles(path)) == bits(read_candles(path, accelerate=False))


def test_a_small_file_is_not_worth_the_quick_reader(tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(tables_fast.ROWS_MIN - 1)))
    assert quick(path) is None


WITHOUT_POLARS = """
import sys
from pathlib import Path
sys.modules["polars"] = None
import engine.feeds.file, engine.feeds.sim
from engine.feeds.tables import read_candles
print(len(read_candles(Path(sys.argv[1])).open_time_ms), "numpy" in sys.modules, "numba" in sys.modules)
"""


def test_without_polars_the_plain_reader_serves_and_the_feeds_import_no_extra(tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(ROWS)))
    command = [sys.executable, "-c", WITHOUT_POLARS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == [str(ROWS), "False", "False"]
