"""A bad row is refused with file, line, reason and text; a bad file is refused as a whole."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from papertape.engine.feeds.files.csv_reader import read_candles, read_funding, read_open_interest
from papertape.engine.feeds.files.table_source import table_source
from papertape.engine.ports.feed import REFUSAL_TEXT_CHARS_MAX, REFUSALS_KEPT_MAX, Refusal, RefusalReason
from papertape.events.errors import MarketDataError
from papertape.events.units import HOUR_MS, MINUTE_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, FUNDING_HEADER, OPEN_INTEREST_HEADER, candle_rows, minutes, table

NEXT_MS = FILE_START_MS + 3 * MINUTE_MS

BAD_CANDLES = [
    (f"{NEXT_MS},abc,101,99,100,1", RefusalReason.NOT_A_NUMBER),
    (f"{NEXT_MS},,101,99,100,1", RefusalReason.NOT_A_NUMBER),
    (f"{NEXT_MS}.0,100,101,99,100,1", RefusalReason.NOT_A_NUMBER),
    (f"{NEXT_MS},1_00,101,99,100,1", RefusalReason.NOT_A_NUMBER),
    (f"{NEXT_MS},\u0661,101,99,100,1", RefusalReason.NOT_A_NUMBER),
    (f'{NEXT_MS},"100",101,99,100,1', RefusalReason.NOT_A_NUMBER),
    (f"{NEXT_MS},nan,101,99,100,1", RefusalReason.NOT_FINITE),
    (f"{NEXT_MS},100,inf,99,100,1", RefusalReason.NOT_FINITE),
    (f"{NEXT_MS},100,1e999,99,100,1", RefusalReason.NOT_FINITE),
    (f"{NEXT_MS},100,101,99,100,-inf", RefusalReason.NOT_FINITE),
    (f"{NEXT_MS},100,101,0,100,1", RefusalReason.NOT_POSITIVE),
    (f"{NEXT_MS},-100,101,99,100,1", RefusalReason.NOT_POSITIVE),
    (f"{NEXT_MS},100,1000000000001,99,100,1", RefusalReason.PRICE_TOO_HIGH),
    (f"{NEXT_MS // 1_000},100,101,99,100,1", RefusalReason.TIME_OUT_OF_RANGE),
    (f"{NEXT_MS // MINUTE_MS * 60},100,101,99,100,1", RefusalReason.TIME_OUT_OF_RANGE),
    (f"{NEXT_MS},100,101,99,100,-1", RefusalReason.NEGATIVE_VOLUME),
    (f"{NEXT_MS},100,99,101,100,1", RefusalReason.HIGH_BELOW_LOW),
    (f"{NEXT_MS},102,101,99,100,1", RefusalReason.INCONSISTENT),
    (f"{NEXT_MS},100,101,99,102,1", RefusalReason.INCONSISTENT),
    (f"{NEXT_MS},98,101,99,100,1", RefusalReason.INCONSISTENT),
    (f"{NEXT_MS},100,101,99,98,1", RefusalReason.INCONSISTENT),
    (f"{FILE_START_MS - MINUTE_MS},100,101,99,100,1", RefusalReason.OUT_OF_ORDER),
    (f"{FILE_START_MS},100,101,99,100,1", RefusalReason.DUPLICATE),
    (f"{FILE_START_MS + 2 * MINUTE_MS},100,101,99,100,1", RefusalReason.DUPLICATE),
    (f"{NEXT_MS + 1},100,101,99,100,1", RefusalReason.OFF_GRID),
    (f"{NEXT_MS * 1_000},100,101,99,100,1", RefusalReason.TIME_OUT_OF_RANGE),
    ("-60000,100,101,99,100,1", RefusalReason.TIME_OUT_OF_RANGE),
    ("99999999999999999999,100,101,99,100,1", RefusalReason.TIME_OUT_OF_RANGE),
    (f"{NEXT_MS},100,101,99,100", RefusalReason.WRONG_FIELD_COUNT),
    (f"{NEXT_MS},100,101,99,100,1,7", RefusalReason.WRONG_FIELD_COUNT),
]


@pytest.mark.parametrize(("row", "reason"), BAD_CANDLES)
def test_a_bad_candle_is_refused_with_line_and_reason_and_the_rest_goes_on(
    tmp_path: Path, row: str, reason: RefusalReason
) -> None:
    times = minutes(6)
    rows = [*candle_rows(times[:3]), row, *candle_rows(times[4:])]
    path = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)
    columns = read_candles(path)
    assert list(columns.open_time_ms) == [*times[:3], *times[4:]]
    assert columns.refusals.counts == {reason: 1}
    refusal = columns.refusals.kept[0]
    assert (refusal.source, refusal.line, refusal.reason) == (str(path), 5, reason)
    assert refusal.text[:8] == row[:8]


def test_every_reason_stands_in_the_table_above() -> None:
    elsewhere = {
        RefusalReason.NOT_JSON,
        RefusalReason.WRONG_SHAPE,
        RefusalReason.WRONG_SYMBOL,
        RefusalReason.ABSURD_JUMP,
        RefusalReason.STALE,
        RefusalReason.TOO_LARGE,
        RefusalReason.IMPLAUSIBLE_RATE,
        RefusalReason.INVALID_NAME,  # Of a signal.
    }
    assert {reason for _, reason in BAD_CANDLES} == set(RefusalReason) - elsewhere


def test_good_rows_around_a_bad_one_keep_their_values_and_lines(tmp_path: Path) -> None:
    rows = [*candle_rows(minutes(600)), "rubbish", *candle_rows(minutes(600, FILE_START_MS + 10 * HOUR_MS), 200.0)]
    columns = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv.gz", CANDLE_HEADER, rows))
    assert [values[-1] for values in columns.values()] == [200.0, 201.5, 198.75, 200.5, 10.0]
    assert list(columns.line) == [*range(2, 602), *range(603, 1_203)]


def test_refusals_are_counted_without_end_but_kept_up_to_a_limit(tmp_path: Path) -> None:
    rows = [*candle_rows(minutes(3)), *["x" * 1_000] * (REFUSALS_KEPT_MAX + 50)]
    refusals = read_candles(table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, rows)).refusals
    assert refusals.total == REFUSALS_KEPT_MAX + 50
    assert len(refusals.kept) == REFUSALS_KEPT_MAX
    assert len(refusals.kept[0].text) == REFUSAL_TEXT_CHARS_MAX


def test_empty_lines_windows_line_ends_and_a_byte_order_mark_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "x_BTCUSDT_1m_.csv"
    text = "\r\n".join([CANDLE_HEADER, *candle_rows(minutes(3)), "", *candle_rows(minutes(2, NEXT_MS)), ""])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    columns = read_candles(path)
    assert list(columns.open_time_ms) == minutes(5)
    assert columns.refusals.total == 0


def test_settlements_are_cut_to_the_minute_and_equal_repetitions_ignored(tmp_path: Path) -> None:
    rows = [f"{FILE_START_MS + 8},0.0001", f"{FILE_START_MS},0.0001", f"{FILE_START_MS + 8 * HOUR_MS},-0.0002"]
    columns = read_funding(table(tmp_path, "x_BTCUSDT_funding_.csv", FUNDING_HEADER, rows))
    assert list(columns.time_ms) == [FILE_START_MS, FILE_START_MS + 8 * HOUR_MS]
    assert list(columns.value) == [0.0001, -0.0002]
    assert columns.refusals.total == 0


BAD_READINGS = [
    (f"{FILE_START_MS},6", RefusalReason.DUPLICATE),
    (f"{FILE_START_MS - 1},5", RefusalReason.OUT_OF_ORDER),
    (f"{FILE_START_MS + 1},0", RefusalReason.NOT_POSITIVE),
    (f"{FILE_START_MS + 1},nan", RefusalReason.NOT_FINITE),
    (f"{FILE_START_MS + 1},-", RefusalReason.NOT_A_NUMBER),
    (f"{FILE_START_MS + 1}", RefusalReason.WRONG_FIELD_COUNT),
    (f"{FILE_START_MS * 1_000},5", RefusalReason.TIME_OUT_OF_RANGE),
]


@pytest.mark.parametrize(("row", "reason"), BAD_READINGS)
def test_a_bad_reading_is_refused_with_line_and_reason(tmp_path: Path, row: str, reason: RefusalReason) -> None:
    rows = [f"{FILE_START_MS},5", row, f"{FILE_START_MS + HOUR_MS},7"]
    path = table(tmp_path, "x_BTCUSDT_open_interest_.csv", OPEN_INTEREST_HEADER, rows)
    columns = read_open_interest(path)
    assert list(columns.value) == [5.0, 7.0]
    assert columns.refusals.kept == [Refusal(str(path), 3, reason, row)]


@pytest.mark.parametrize(("row", "reason"), [row for row in BAD_READINGS if row[1] is not RefusalReason.NOT_POSITIVE])
def test_a_bad_settlement_is_refused_with_line_and_reason(tmp_path: Path, row: str, reason: RefusalReason) -> None:
    early = row.replace(str(FILE_START_MS - 1), str(FILE_START_MS - HOUR_MS))
    path = table(
        tmp_path,
        "x_BTCUSDT_funding_.csv",
        FUNDING_HEADER,
        [f"{FILE_START_MS},0.005", early, f"{FILE_START_MS + HOUR_MS},0"],
    )
    assert read_funding(path).refusals.kept == [Refusal(str(path), 3, reason, early)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"time,price\n1,2\n", "expected the columns open_time_ms,open,high,low,close,volume, found 'time,price'"),
        (b"open_time_ms,open,high,low,close\n1,2,3,4,5\n", "wrong header"),
        (CANDLE_HEADER.encode(), "no row below the header"),
        (CANDLE_HEADER.encode() + b"\n0,1,1,1,1,x\n60000,1,1,1,1,x\n", r"no good row \(2 refused\)"),
        (CANDLE_HEADER.encode() + b"\n0,1,1,1,1,1\n", "the timeframe is unknown"),
        (CANDLE_HEADER.encode() + b"\n0,1,1,1,1,1\n180000,1,1,1,1,1\n", "180000 ms, allowed are 1m 5m 15m 1h"),
    ],
)
def test_a_file_that_is_no_table_of_candles_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x_BTCUSDT_1m_.csv"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match=f"{path}: .*{reason}"):
        read_candles(path)


@pytest.mark.parametrize("keep", [1, 5, 12, 40, -9, -4, -1])
def test_a_gzip_file_cut_short_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv.gz", CANDLE_HEADER, candle_rows(minutes(50)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MarketDataError, match=f"{path}: the gzip data is (cut short|corrupt)"):
        read_candles(path)


def test_a_gzip_file_with_a_changed_byte_is_refused_by_name(tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1m_.csv.gz", CANDLE_HEADER, candle_rows(minutes(50)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(MarketDataError, match=f"{path}: the gzip data is"):
        read_candles(path)


def test_a_gzip_file_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x_BTCUSDT_1m_.csv"
    path.write_bytes(gzip.compress("\n".join([CANDLE_HEADER, *candle_rows(minutes(3))]).encode()))
    assert len(read_candles(path).open_time_ms) == 3


def test_a_folder_and_a_missing_file_are_no_file(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "is not a file"), (tmp_path / "x_BTCUSDT_1m_.csv", "there is no such file")):
        with pytest.raises(MarketDataError, match=f"{path}: {reason}"):
            read_candles(path)


@pytest.mark.parametrize("step_minutes", [1, 5, 15, 60])
def test_the_timeframe_is_the_smallest_step_and_holes_do_not_change_it(tmp_path: Path, step_minutes: int) -> None:
    times = minutes(30, step_ms=step_minutes * MINUTE_MS)
    path = table(tmp_path, "x_BTCUSDT_x_.csv", CANDLE_HEADER, candle_rows([*times[:2], *times[5:9:2], *times[20:]]))
    assert read_candles(path).timeframe_ms == step_minutes * MINUTE_MS


def test_one_damaged_time_does_not_decide_the_timeframe(tmp_path: Path) -> None:
    rows = candle_rows(minutes(10, step_ms=5 * MINUTE_MS))
    rows.insert(3, candle_rows([FILE_START_MS + 10 * MINUTE_MS + 7])[0])
    columns = read_candles(table(tmp_path, "x_BTCUSDT_5m_.csv", CANDLE_HEADER, rows))
    assert columns.timeframe_ms == 5 * MINUTE_MS
    assert columns.refusals.counts == {RefusalReason.OFF_GRID: 1}


def test_a_given_timeframe_makes_one_candle_enough(tmp_path: Path) -> None:
    path = table(tmp_path, "x_BTCUSDT_1h_.csv", CANDLE_HEADER, candle_rows([FILE_START_MS]))
    assert read_candles(path, HOUR_MS).timeframe_ms == HOUR_MS


@pytest.mark.parametrize(
    ("given", "symbol", "path"),
    [
        ("data/binance_BTCUSDT_1m_2025.csv.gz", "BTCUSDT", "data/binance_BTCUSDT_1m_2025.csv.gz"),
        ("okx_BTC-USD-SWAP_open_interest_1h_.csv", "BTC-USD-SWAP", "okx_BTC-USD-SWAP_open_interest_1h_.csv"),
        ("x_1000BONKUSDT_1m_.csv", "1000BONKUSDT", "x_1000BONKUSDT_1m_.csv"),
        ("ETHUSDT=my candles.csv", "ETHUSDT", "my candles.csv"),
    ],
)
def test_the_symbol_comes_from_the_name_or_from_the_caller(given: str, symbol: str, path: str) -> None:
    source = table_source(given)
    assert (source.symbol, source.path) == (symbol, Path(path))


@pytest.mark.parametrize("name", ["candles.csv", "my_candles_2024.csv", "BTCUSDT.csv", "binance_BTCUSDT.csv", "=x.csv"])
def test_a_name_without_a_symbol_is_refused_by_name(name: str) -> None:
    with pytest.raises(MarketDataError, match=f"{name}: the name does not say the symbol"):
        table_source(name)
