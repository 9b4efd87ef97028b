"""Downloads into files: whole, in order, resumable at any point, with every hole named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.download.bitget import BitgetSource
from papertape.engine.feeds.download.download import WINDOW_ROWS, DownloadReport, download
from papertape.engine.feeds.download.partial_file import (
    DataGap,
    DownloadKind,
    DownloadRequest,
    PartialFile,
    format_number,
    line_of,
)
from papertape.engine.feeds.files.csv_reader import read_candles
from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.ports.clock import ManualClock
from papertape.events.errors import ExchangeRefused, ExchangeUnreachable, MarketDataError, UsageError
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin
from tests.feeds.reading import candles_only, facts
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import examples

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 20_600 * DAY_MS + 10 * HOUR_MS + 17_300
NOW_MS = START_MS // MINUTE_MS * MINUTE_MS
BTC, NEW = "BTCUSDT", "NEWUSDT"
LISTED_MS = NOW_MS - 2 * DAY_MS + 7 * MINUTE_MS
FROM_MS = NOW_MS - 5_000 * MINUTE_MS
CANDLES = DownloadRequest(DownloadKind.CANDLES, BTC, MINUTE_MS, FROM_MS)
MARKET = SimTwinMarket([BTC, NEW], listed_ms={NEW: LISTED_MS})


class Interrupted(Exception):
    """The machine went away."""


class Holed(SimTwinMarket):
    """A market with minutes of which nothing is known."""

    def __init__(self, *holes: tuple[int, int]) -> None:
        super().__init__([BTC])
        self._holes = holes

    def candle(self, symbol: str, open_ms: int) -> CandleRow | None:
        lost = any(first_ms <= open_ms < last_ms for first_ms, last_ms in self._holes)
        return None if lost else super().candle(symbol, open_ms)


def downloaded(
    wanted: DownloadRequest,
    out: Path,
    market: SimTwinMarket = MARKET,
    on_progress: Callable[[int, int], None] = lambda _done_ms, _of_ms: None,
    prepare: Callable[[BitgetTwin], None] = lambda _twin: None,
) -> DownloadReport:
    """Download from the twin in virtual time, within all limits."""

    async def main(clock: VirtualClock) -> DownloadReport:
        async with BitgetTwin(market, clock) as twin:
            prepare(twin)
            source = BitgetSource(BitgetSettings(rest_url=twin.rest_url), clock)
            try:
                return await download(wanted, source, out, clock, on_progress)
            finally:
                await source.close()
                assert not twin.statistics.breaches

    return run(main, START_MS)


def true_lines(market: SimTwinMarket = MARKET, wanted: DownloadRequest = CANDLES) -> list[str]:
    """The market's history as it stands in a file."""
    times = range(wanted.from_ms, min(wanted.until_ms or NOW_MS, NOW_MS), wanted.timeframe_ms)
    rows = [row for at_ms in times if (row := market.candle(wanted.symbol, at_ms)) is not None]
    return [line_of((row.open_time_ms, (row.open, row.high, row.low, row.close, row.volume))) for row in rows]


def lines_of(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines(keepends=True)


# ---------------------------------------------------------------- content


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_the_file_holds_the_history_to_the_last_closed_candle(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"bitget_BTCUSDT_1m{suffix}"
    report = downloaded(CANDLES, out)
    assert lines_of(out) == ["open_time_ms,open,high,low,close,volume\n", *true_lines()]
    assert (report.rows, report.hole_count, report.notes) == (5_000, 0, ())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_same_download_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "one.csv.gz", tmp_path / "another.csv.gz"
    downloaded(CANDLES, first)
    downloaded(CANDLES, second)
    assert first.read_bytes() == second.read_bytes()


def test_the_file_feed_reads_it_back(tmp_path: Path) -> None:
    out = tmp_path / "bitget_BTCUSDT_1m_x.csv.gz"
    downloaded(CANDLES, out)
    feed = FileFeed(FileSettings(candles=(out,)), ManualClock())
    found = candles_only(facts(feed))
    assert feed.refusals.total == 0
    assert [(one.open_time_ms, one.open, one.high, one.low, one.close, one.volume) for one in found] == [
        (row.open_time_ms, row.open, row.high, row.low, row.close, row.volume)
        for at_ms in range(FROM_MS, NOW_MS, MINUTE_MS)
        if (row := MARKET.candle(BTC, at_ms)) is not None
    ]


def test_parquet_holds_the_same_numbers(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    out = tmp_path / "x.parquet"
    downloaded(CANDLES, out)
    frame = polars.read_parquet(out)
    assert frame.columns == ["open_time_ms", "open", "high", "low", "close", "volume"]
    assert [line_of((row[0], row[1:])) for row in frame.rows()] == true_lines()


def test_settlements_and_marks_have_files_of_their_own(tmp_path: Path) -> None:
    funding, mark = tmp_path / "funding.csv", tmp_path / "mark.csv"
    downloaded(DownloadRequest(DownloadKind.FUNDING, BTC, MINUTE_MS, NOW_MS - 10 * DAY_MS), funding)
    times = [at_ms for at_ms in range(0, NOW_MS + 1, 8 * HOUR_MS) if at_ms >= NOW_MS - 10 * DAY_MS]
    rates = [line_of((at_ms, (MARKET.settled_rate(BTC, at_ms),))) for at_ms in times]
    assert lines_of(funding) == ["funding_time_ms,rate\n", *rates]
    downloaded(DownloadRequest(DownloadKind.MARK, BTC, MINUTE_MS, FROM_MS), mark)
    rows = [MARKET.mark_candle(BTC, at_ms) for at_ms in range(FROM_MS, NOW_MS, MINUTE_MS)]
    marks = [line_of((row.open_time_ms, (row.open, row.high, row.low, row.close))) for row in rows if row is not None]
    assert lines_of(mark) == ["open_time_ms,open,high,low,close\n", *marks]


def test_hours_are_downloaded_as_hours(tmp_path: Path) -> None:
    out, hour_ms = tmp_path / "x.csv", NOW_MS // HOUR_MS * HOUR_MS
    report = downloaded(DownloadRequest(DownloadKind.CANDLES, BTC, HOUR_MS, hour_ms - 100 * DAY_MS), out)
    assert (report.rows, report.hole_count) == (2_400, 0)
    assert read_candles(out).timeframe_ms == HOUR_MS


@pytest.mark.parametrize(("value", "text"), [(95_478.0, "95478"), (0.1, "0.1"), (1e-05, "1e-05"), (-0.0001, "-0.0001")])
def test_numbers_are_written_in_their_shortest_form(value: float, text: str) -> None:
    assert format_number(value) == text
    assert float(text) == value


# ---------------------------------------------------------------- interruptions


def stop_at(window: int) -> Callable[[int, int], None]:
    """An interruption before a window is asked for."""
    seen = [0]

    def on_progress(_done_ms: int, _of_ms: int) -> None:
        seen[0] += 1
        if seen[0] > window:
            raise Interrupted

    return on_progress


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "x.csv.gz"
    downloaded(CANDLES, out)
    return out.read_bytes()


@pytest.mark.parametrize("window", range(5_000 // WINDOW_ROWS + 2))
def test_interrupted_before_any_window_it_goes_on(tmp_path: Path, whole: bytes, window: int) -> None:
    out = tmp_path / "x.csv.gz"
    with pytest.raises(Interrupted):
        downloaded(CANDLES, out, on_progress=stop_at(window))
    assert not out.exists()
    assert (tmp_path / "x.csv.gz.part").exists() == (window > 0)
    report = downloaded(CANDLES, out)
    assert out.read_bytes() == whole
    assert report.resumed_rows == min(5_000, window * WINDOW_ROWS)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@given(st.floats(0.0, 1.0))
@examples(12)
def test_cut_at_any_byte_it_goes_on(tmp_path_factory: pytest.TempPathFactory, whole: bytes, share: float) -> None:
    out = tmp_path_factory.mktemp("cut") / "x.csv.gz"
    text = gzip.decompress(whole)
    out.with_name("x.csv.gz.part").write_bytes(text[: int(share * len(text))])
    downloaded(CANDLES, out)
    assert out.read_bytes() == whole


def test_an_outage_in_the_middle_is_waited_for(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "x.csv.gz"

    def prepare(twin: BitgetTwin) -> None:
        for fault in (BitgetFault.BUSY, BitgetFault.CUT_BODY, BitgetFault.HTML_BAD_GATEWAY, BitgetFault.EMPTY_DATA):
            twin.faults.on(fault, symbol=BTC, times=2)

    downloaded(CANDLES, out, prepare=prepare)
    assert out.read_bytes() == whole


def test_an_outage_without_end_says_how_to_go_on(tmp_path: Path, whole: bytes) -> None:
    out = tmp_path / "x.csv.gz"
    twins: list[BitgetTwin] = []

    def fail_later(done_ms: int, _of_ms: int) -> None:
        if done_ms > 0:
            twins[0].faults.on(BitgetFault.SERVER_ERROR)

    with pytest.raises(ExchangeUnreachable, match=r"after 8 attempts.*x.csv.gz.part, and the same command resumes"):
        downloaded(CANDLES, out, on_progress=fail_later, prepare=twins.append)
    report = downloaded(CANDLES, out)
    assert out.read_bytes() == whole
    assert report.resumed_rows == WINDOW_ROWS


def test_an_exchange_that_never_answers_is_given_up_early(tmp_path: Path) -> None:
    with pytest.raises(ExchangeUnreachable, match=r"\(after 3 attempts\)"):
        downloaded(CANDLES, tmp_path / "x.csv", prepare=lambda twin: twin.faults.on(BitgetFault.SERVER_ERROR))
    assert not list(tmp_path.iterdir())


def test_a_symbol_that_is_not_there_fails_in_the_exchanges_words(tmp_path: Path) -> None:
    wanted = DownloadRequest(DownloadKind.CANDLES, "NOPEUSDT", MINUTE_MS, FROM_MS)
    with pytest.raises(ExchangeRefused, match="40034 Parameter NOPEUSDT does not exist"):
        downloaded(wanted, tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- a file of another request


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("open_time_ms,open,high,low,close\n", "its columns are"),
        ("something,else\n1,2\n", "its columns are"),
        ("no line at all" * 200, "its columns are"),
        ("HEAD" + f"{FROM_MS - MINUTE_MS},1,1,1,1,1\n", "line 2 has the time"),
        ("HEAD" + f"{FROM_MS + 1},1,1,1,1,1\n", "line 2 has the time"),
        ("HEAD" + f"{FROM_MS},1,1,1,1,1\n", "bitget has other values for BTCUSDT"),
        ("HEAD" + true_lines()[900], "there are rows before"),
    ],
)
def test_a_part_of_another_request_is_refused_untouched(tmp_path: Path, content: str, words: str) -> None:
    part = tmp_path / "x.csv.part"
    part.write_text(content.replace("HEAD", "open_time_ms,open,high,low,close,volume\n"))
    before = part.read_bytes()
    with pytest.raises(UsageError, match=r"x.csv.part belongs to another request.*" + words):
        downloaded(CANDLES, tmp_path / "x.csv")
    assert part.read_bytes() == before


@pytest.mark.parametrize("line", ["1,2\n", "x,1,1,1,1,1\n", f"{FROM_MS},1,1,nan,1,1\n", true_lines()[0] * 2])
def test_a_damaged_part_is_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.csv.part").write_text("open_time_ms,open,high,low,close,volume\n" + line + true_lines()[5])
    with pytest.raises(MarketDataError, match=r"x.csv.part line [23]: not a row"):
        downloaded(CANDLES, tmp_path / "x.csv")


def test_two_downloads_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    with PartialFile(out, CANDLES), pytest.raises(UsageError, match="another download is writing it"):
        downloaded(CANDLES, out)


# ---------------------------------------------------------------- what is missing


def test_holes_are_named_and_counted(tmp_path: Path) -> None:
    first = (FROM_MS + 100 * MINUTE_MS, FROM_MS + 103 * MINUTE_MS)
    long = (FROM_MS + 500 * MINUTE_MS, FROM_MS + 4_600 * MINUTE_MS)
    market, out = Holed(first, long), tmp_path / "x.csv"
    report = downloaded(CANDLES, out, market)
    assert lines_of(out)[1:] == true_lines(market)
    assert report.holes == (DataGap(*first, 3), DataGap(*long, 4_100))
    assert (report.hole_count, report.missing, report.rows) == (2, 4_103, 5_000 - 4_103)


def test_ten_holes_are_named_and_all_are_counted(tmp_path: Path) -> None:
    spans = [(FROM_MS + n * 100 * MINUTE_MS, FROM_MS + (n * 100 + 1) * MINUTE_MS) for n in range(1, 14)]
    report = downloaded(CANDLES, tmp_path / "x.csv", Holed(*spans))
    assert (len(report.holes), report.hole_count, report.missing) == (10, 13, 13)


def test_a_young_symbol_is_said_to_begin_later(tmp_path: Path) -> None:
    wanted, out = DownloadRequest(DownloadKind.CANDLES, NEW, MINUTE_MS, NOW_MS - 400 * DAY_MS), tmp_path / "x.csv"
    requests: list[Any] = []
    report = downloaded(wanted, out, prepare=lambda twin: requests.append(twin.statistics.requests))
    assert report.first_ms == LISTED_MS
    assert report.hole_count == 0
    assert "bitget has nothing before 2026-05-" in report.notes[0]
    # 400 days of minutes are 2,900 pages; hours show quicker that there is nothing.
    assert sum(requests[0].values()) < 150


def test_settlements_older_than_ninety_days_are_said_to_be_gone(tmp_path: Path) -> None:
    report = downloaded(
        DownloadRequest(DownloadKind.FUNDING, BTC, MINUTE_MS, NOW_MS - 200 * DAY_MS), tmp_path / "x.csv"
    )
    assert report.rows == 270
    assert "Bitget keeps settlements for about 90 days" in report.notes[0]


def test_an_end_that_is_not_there_yet_is_said(tmp_path: Path) -> None:
    wanted = DownloadRequest(DownloadKind.CANDLES, BTC, MINUTE_MS, FROM_MS, NOW_MS + DAY_MS)
    report = downloaded(wanted, tmp_path / "x.csv")
    assert report.rows == 5_000
    assert report.notes == ("what comes after 2026-05-27 10:00 UTC is not closed yet",)


def test_nothing_at_all_is_a_failure_and_leaves_nothing(tmp_path: Path) -> None:
    wanted = DownloadRequest(DownloadKind.CANDLES, NEW, MINUTE_MS, NOW_MS - 10 * DAY_MS, NOW_MS - 9 * DAY_MS)
    with pytest.raises(MarketDataError, match="bitget has no candles of NEWUSDT in this time"):
        downloaded(wanted, tmp_path / "x.csv")
    with pytest.raises(UsageError, match="is closed yet"):
        downloaded(DownloadRequest(DownloadKind.CANDLES, BTC, MINUTE_MS, NOW_MS), tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())
