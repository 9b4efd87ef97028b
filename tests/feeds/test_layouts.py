"""Tables of other tools are read, with one line that says what was recognised, or refused with the reason."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from papertape.engine.feeds.files.csv_reader import read_candles, read_funding, read_open_interest
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import MarketDataError
from papertape.events.units import HOUR_MS, MINUTE_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, FUNDING_HEADER, OPEN_INTEREST_HEADER, candle_rows, minutes, table

COUNT = 6
TIMES = minutes(COUNT)
PLAIN = "\n".join([CANDLE_HEADER, *candle_rows(TIMES)]) + "\n"
BINANCE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
CRYPTO_DATA_DOWNLOAD_HEADER = "unix,date,symbol,open,high,low,close,Volume USDT,Volume BTC,tradecount"


def zipped(text: str, name: str = "BTCUSDT-1m-2025-01.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, text)
    return packed.getvalue()


def binance_rows(per_ms: int = 1) -> list[str]:
    return [
        f"{time_ms * per_ms},100.0,101.5,98.75,100.5,10,{time_ms + MINUTE_MS - 1},1000,7,5,500,0" for time_ms in TIMES
    ]


def iso(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}"


def crypto_data_download() -> str:
    rows = [
        f"{time_ms // 1_000},{iso(time_ms)},BTC/USDT,100.0,101.5,98.75,100.5,1000,10,7" for time_ms in reversed(TIMES)
    ]
    return "\n".join(["https://www.CryptoDataDownload.com", CRYPTO_DATA_DOWNLOAD_HEADER, *rows])


def as_json() -> str:
    return json.dumps([[time_ms, 100.0, 101.5, 98.75, 100.5, 10] for time_ms in TIMES])


FOREIGN = {
    "Binance's candles without a header, zipped": (zipped("\n".join(binance_rows())), "zipped, Binance's candles"),
    "Binance's candles in microseconds": (
        "\n".join([BINANCE_HEADER, *binance_rows(1_000)]).encode(),
        "Binance's candles, times in microseconds",
    ),
    "CryptoDataDownload's newest first": (
        crypto_data_download().encode(),
        "CryptoDataDownload's table below a title line, times in seconds, newest row first",
    ),
    "JSON": (as_json().encode(), "JSON"),
    "JSON.gz": (gzip.compress(as_json().encode()), "JSON"),
    "UTF-16": (PLAIN.encode("utf-16"), "UTF-16"),
    "Bybit's": (
        "\n".join(
            f"{datetime.fromtimestamp(at / 1_000, UTC):%Y.%m.%d %H:%M},100.0,101.5,98.75,100.5,10" for at in TIMES
        ).encode(),
        "candles without a header (time, open, high, low, close, volume), times as ISO dates",
    ),
    "freqtrade's as CSV": (
        "\n".join(
            ["date,open,high,low,close,volume", *(f"{iso(at)}+00:00,100.0,101.5,98.75,100.5,10" for at in TIMES)]
        ).encode(),
        "the columns date, open, high, low, close, volume, times as ISO dates",
    ),
    "nanoseconds": (
        "\n".join([CANDLE_HEADER, *candle_rows([at * 1_000_000 for at in TIMES])]).encode(),
        "times in nanoseconds",
    ),
    "decimal milliseconds": (
        "\n".join([CANDLE_HEADER, *(f"{at}.0,100.0,101.5,98.75,100.5,10" for at in TIMES)]).encode(),
        "times in decimal milliseconds",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_table_of_another_tool_gives_the_same_candles_and_says_what_it_was(tmp_path: Path, name: str) -> None:
    content, words = FOREIGN[name]
    path = tmp_path / "x_BTCUSDT_1m_.csv"
    path.write_bytes(content)
    columns = read_candles(path)
    assert list(columns.open_time_ms) == TIMES
    assert [values[-1] for values in columns.values()] == [100.0, 101.5, 98.75, 100.5, 10.0]
    assert columns.price_decimals == 2
    assert columns.refusals.total == 0
    assert len(columns.notes) == 1
    assert columns.notes[0].startswith(f"{path}: recognised {words}")


@pytest.mark.parametrize("form", ["parquet", "feather"])
@pytest.mark.parametrize("time_name", ["open_time_ms", "date"])
def test_parquet_and_feather_give_the_same_candles(tmp_path: Path, form: str, time_name: str) -> None:
    pl = pytest.importorskip("polars")
    times: list[object] = list(TIMES)
    if time_name == "date":
        times = [datetime.fromtimestamp(at / 1_000, UTC) for at in TIMES]
    frame = pl.DataFrame({time_name: times, "open": 100.0, "high": 101.5, "low": 98.75, "close": 100.5, "volume": 10.0})
    path = tmp_path / f"BTC_USDT_USDT-1m-futures.{form}"
    if form == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ipc(path, compression="lz4")
    columns = read_candles(path)
    assert list(columns.open_time_ms) == TIMES
    assert [values[-1] for values in columns.values()] == [100.0, 101.5, 98.75, 100.5, 10.0]
    assert columns.notes == [columns.notes[0]]
    assert columns.notes[0].startswith(f"{path}: recognised {'Parquet' if form == 'parquet' else 'feather'}")


def test_what_is_written_in_seconds_is_as_well_for_the_quick_readers(tmp_path: Path) -> None:
    times = minutes(3_000)
    rows = candle_rows([at // 1_000 for at in times])
    columns = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, reversed(rows)))
    assert list(columns.open_time_ms) == times
    assert list(columns.line[:2]) == [3_001, 3_000]


def test_a_refused_row_of_a_reversed_file_keeps_its_line(tmp_path: Path) -> None:
    rows = [*candle_rows(reversed(TIMES[3:])), "rubbish", *candle_rows(reversed(TIMES[:3]))]
    columns = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows))
    assert list(columns.open_time_ms) == TIMES
    assert [(refusal.line, refusal.text) for refusal in columns.refusals.kept] == [(5, "rubbish")]


@pytest.mark.parametrize("most", ["seconds", "milliseconds", "microseconds"])
@pytest.mark.parametrize("odd", ["seconds", "milliseconds", "microseconds"])
def test_units_are_never_mixed_in_a_file(tmp_path: Path, most: str, odd: str) -> None:
    def written(at_ms: int, unit: str) -> int:
        return {"seconds": at_ms // 1_000, "milliseconds": at_ms, "microseconds": at_ms * 1_000}[unit]

    times = minutes(8)
    texts = [written(at, most) for at in times[:7]] + [written(times[7], odd)]
    columns = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(texts)))
    assert list(columns.open_time_ms) == (times if most == odd else times[:7])
    assert columns.refusals.counts == ({} if most == odd else {RefusalReason.TIME_OUT_OF_RANGE: 1})
    named = f"mixed units: most times are in {most}, that of line 9 in {odd}; write all times in one unit"
    assert [line.partition(": ")[2] for line in columns.warnings] == ([] if most == odd else [named])


@pytest.mark.parametrize("most", ["ISO dates", "milliseconds"])
def test_a_date_among_numbers_and_a_number_among_dates_are_named(tmp_path: Path, most: str) -> None:
    times: list[int | str] = [iso(at) if most == "ISO dates" else at for at in TIMES]
    times[-1] = TIMES[-1] if most == "ISO dates" else iso(TIMES[-1])
    columns = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(times)))  # type: ignore[arg-type]
    odd = "milliseconds" if most == "ISO dates" else "ISO dates"
    (warning,) = columns.warnings
    assert f"most times are in {most}, that of line {len(TIMES) + 1} in {odd}" in warning
    rubbish = table(tmp_path, "y_BTCUSDT_1m_.csv", CANDLE_HEADER, [*candle_rows(TIMES), "rubbish,1,1,1,1,1"])
    assert read_candles(rubbish).warnings == []


def test_settlements_and_readings_of_other_tools_are_read_too(tmp_path: Path) -> None:
    settled = [FILE_START_MS, FILE_START_MS + 8 * HOUR_MS]
    newest_first = [f"{at // 1_000},0.001" for at in reversed(settled)]
    seconds = read_funding(table(tmp_path, "x_BTCUSDT_funding_.csv", FUNDING_HEADER, newest_first))
    dump = table(
        tmp_path,
        "BTCUSDT-fundingRate-2025-01.csv",
        "calc_time,funding_interval_hours,last_funding_rate",
        [f"{at},8,0.001" for at in settled],
    )
    for columns in (seconds, read_funding(dump)):
        assert list(columns.time_ms) == settled
        assert list(columns.value) == [0.001, 0.001]
        assert len(columns.notes) == 1
    kept_as_open = table(
        tmp_path,
        "BTC_USDT_USDT-8h-funding_rate.csv",
        "date,open,high,low,close,volume",
        [f"{iso(at)},0.001,0,0,0,0" for at in settled],
    )
    assert list(read_funding(kept_as_open).value) == [0.001, 0.001]
    metrics = table(
        tmp_path,
        "BTCUSDT-metrics-2025-01-15.csv",
        "create_time,symbol,sum_open_interest,sum_open_interest_value",
        [f"{iso(at)},BTCUSDT,7.5,1" for at in settled],
    )
    assert list(read_open_interest(metrics).value) == [7.5, 7.5]
    late = [f"{FILE_START_MS * 1_000},5", f"{(FILE_START_MS + HOUR_MS) * 1_000},6"]
    readings = read_open_interest(table(tmp_path, "x_BTCUSDT_oi_.csv", OPEN_INTEREST_HEADER, late))
    assert list(readings.time_ms) == [FILE_START_MS, FILE_START_MS + HOUR_MS]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xfd7zXZ\x00rest", "this is an xz file: CSV, CSV.gz, zipped CSV, JSON, feather or Parquet is needed"),
        (b"BZh91AY", "this is a bzip2 file"),
        (b"SQLite format 3\x00rest", "this is an SQLite file"),
        (b"\x00\x01\x02\x03", "this is a binary file"),
        (PLAIN.encode("utf-16-le"), "this is a binary file"),
        (PLAIN.encode("utf-16")[:-1], "the UTF-16 text is damaged"),
        (b"PK\x03\x04 no zip", "the zip cannot be read"),
        (b"PAR1 no parquet", "the Parquet file is damaged"),
        (b"[[1,2", "this is JSON, but it cannot be read"),
        (b'{"rows": []}', "this is JSON, but not a list of rows"),
        (b"timestamp,symbol,side,size,price\n1,BTCUSDT,Buy,1,100\n", "individual trades, not candles"),
        (b"open_time_ms,open,high,low,close\n1,2,3,4,5\n", "mark prices, which cannot be traded at"),
        (b"date,symbol,open,high,low,close,volume\n1,BTC,1,1,1,1,1\n2,ETH,1,1,1,1,1\n", "it holds 2 symbols"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_true_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x_BTCUSDT_1m_.csv"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match=f"{path}: .*{reason}"):
        read_candles(path)


def test_a_zip_of_two_files_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", PLAIN)
        archive.writestr("b.csv", PLAIN)
    path = tmp_path / "BTCUSDT-1m-2025-01.zip"
    path.write_bytes(packed.getvalue())
    with pytest.raises(MarketDataError, match="the zip holds 2 files"):
        read_candles(path)


def test_a_row_with_another_count_of_fields_is_refused_in_a_foreign_table_too(tmp_path: Path) -> None:
    rows = [*binance_rows()[:3], f"{TIMES[3]},100,101,99,100,1", *binance_rows()[4:]]
    path = table(tmp_path, "BTCUSDT-1m-2025-01.csv", BINANCE_HEADER, rows)
    columns = read_candles(path)
    assert [(refusal.line, refusal.reason) for refusal in columns.refusals.kept] == [
        (5, RefusalReason.WRONG_FIELD_COUNT)
    ]


WITHOUT_POLARS = """
import sys
from pathlib import Path
sys.modules["polars"] = None
from papertape.engine.feeds.files.csv_reader import read_candles
from papertape.events.errors import MarketDataError
print(len(read_candles(Path(sys.argv[1])).open_time_ms))
try:
    read_candles(Path(sys.argv[2]))
except MarketDataError as error:
    print(error)
"""


def test_without_polars_text_is_read_and_parquet_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-1m-2025-01.zip").write_bytes(FOREIGN["Binance's candles without a header, zipped"][0])
    (tmp_path / "x.parquet").write_bytes(b"PAR1...PAR1")
    command = [
        sys.executable,
        "-c",
        WITHOUT_POLARS,
        str(tmp_path / "BTCUSDT-1m-2025-01.zip"),
        str(tmp_path / "x.parquet"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.splitlines()[0] == str(COUNT)
    assert "this is a Parquet file, which needs polars: pip install 'papertape[research]', or give CSV" in done.stdout


def test_a_rate_beyond_three_percent_is_refused_by_row_and_percent_rates_are_warned_of(tmp_path: Path) -> None:
    rates = [0.01, 0.01, 0.031, -0.031, 0.03, -0.03]
    rows = [f"{FILE_START_MS + number * HOUR_MS},{rate}" for number, rate in enumerate(rates)]
    columns = read_funding(table(tmp_path, "x_BTCUSDT_funding_.csv", FUNDING_HEADER, rows))
    assert list(columns.value) == [0.01, 0.01, 0.03, -0.03]
    assert [(refusal.line, refusal.reason) for refusal in columns.refusals.kept] == [
        (4, RefusalReason.IMPLAUSIBLE_RATE),
        (5, RefusalReason.IMPLAUSIBLE_RATE),
    ]
    assert "the rates look like percentages" in columns.warnings[0]
    usual = [f"{FILE_START_MS + number * HOUR_MS},0.0001" for number in range(5)]
    assert read_funding(table(tmp_path, "x_ETHUSDT_funding_.csv", FUNDING_HEADER, usual)).warnings == []


def test_a_file_of_impossible_rates_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = table(
        tmp_path, "x_BTCUSDT_funding_.csv", FUNDING_HEADER, [f"{FILE_START_MS},10.0", f"{FILE_START_MS + HOUR_MS},10.0"]
    )
    with pytest.raises(MarketDataError, match=r"no good row \(2 refused\): 2 implausible_rate; the rates look like"):
        read_funding(path)
