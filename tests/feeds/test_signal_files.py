"""Files of signals: read series by series, refused row by row, and delivered after everything else of their time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.feeds.files.signals_csv import read_signals
from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import RefusalReason, ResumePoint
from papertape.engine.research.tape import fact_event, tape_of
from papertape.events.errors import MarketDataError
from papertape.events.facts import CandleClosed, FeedConnected, SignalReceived
from papertape.events.units import MINUTE_MS
from tests.build import (
    CANDLE_HEADER,
    FILE_START_MS,
    FUNDING_HEADER,
    OPEN_INTEREST_HEADER,
    candle_rows,
    minutes,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from papertape.events.facts import FeedFact

HEADER = "time_ms,symbol,name,value"
START = FILE_START_MS


def signals(folder: Path, rows: list[str], name: str = "model.csv", header: str = HEADER) -> Path:
    return table(folder, name, header, rows)


def test_rows_become_series_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    rows = [f"{START},B,trend,1", f"{START + 1},B,trend,-0.5", f"{START},A,trend,2", f"{START},A,risk,1e-3"]
    tables = read_signals([signals(tmp_path, rows)], ["A", "B"])
    assert [(one.symbol, one.name, list(one.columns.value)) for one in tables.series] == [
        ("A", "trend", [2.0]), ("A", "risk", [0.001]), ("B", "trend", [1.0, -0.5]),
    ]  # fmt: skip
    assert tables.series[2].event(1) == SignalReceived(
        START + 1, "B", "trend", -0.5, "model.csv", f"{START + 1},B,trend"
    )
    assert (tables.refusals.total, tables.notes) == (0, [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{START},A,trend", RefusalReason.WRONG_FIELD_COUNT),
        (f"{START},A,trend,1,2", RefusalReason.WRONG_FIELD_COUNT),
        (f"{START},A,trend,high", RefusalReason.NOT_A_NUMBER),
        (f"{START},A,trend,1_0", RefusalReason.NOT_A_NUMBER),
        (f"{START},A,trend,٣", RefusalReason.NOT_A_NUMBER),
        (f"{START},A,trend,", RefusalReason.NOT_A_NUMBER),
        (f"{START},A,trend,nan", RefusalReason.NOT_FINITE),
        (f"{START},A,trend,1e999", RefusalReason.NOT_FINITE),
        ("17,A,trend,1", RefusalReason.TIME_OUT_OF_RANGE),
        (f"{START},A,Trend,1", RefusalReason.INVALID_NAME),
        (f"{START},,trend,1", RefusalReason.INVALID_NAME),
        (f"{START + 60_000},A,trend,7", RefusalReason.DUPLICATE),
        (f"{START + 59_999},A,trend,1", RefusalReason.OUT_OF_ORDER),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_reason(tmp_path: Path, row: str, reason: RefusalReason) -> None:
    rows = [f"{START + 60_000},A,trend,1", row, f"{START + 60_000},A,trend,1", f"{START + 60_001},A,trend,2"]
    tables = read_signals([signals(tmp_path, rows)], ["A"])
    assert [(one.line, one.reason, one.text) for one in tables.refusals.kept] == [(3, reason, row)]
    assert list(tables.series[0].columns.value) == [1.0, 2.0], "an equal repetition is ignored"


def test_signals_of_symbols_without_candles_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = signals(tmp_path, [f"{START},A,trend,1", f"{START},B,trend,1", f"{START},C,trend,1"])
    tables = read_signals([path], ["A"])
    assert [one.symbol for one in tables.series] == ["A"]
    assert tables.notes == [f"{path}: left out 2 signals of symbols without candles: B, C"]
    with pytest.raises(MarketDataError, match=r"there are no candles of its symbols A, B, C"):
        read_signals([path], ["D"])


def test_a_file_that_holds_no_signals_is_refused(tmp_path: Path) -> None:
    for rows, header, words in (
        ([], HEADER, "no row below the header"),
        (["x"], HEADER, r"no good row \(1 refused\): 1 wrong_field_count"),
        (["1,2"], "time_ms,rate", "wrong header: expected the columns time_ms,symbol,name,value"),
    ):
        with pytest.raises(MarketDataError, match=words):
            read_signals([signals(tmp_path, rows, header=header)], ["A"])
    names = [f"{START},A,n{number},1" for number in range(65)]
    with pytest.raises(MarketDataError, match="65 names of signals are too many: at most 64"):
        read_signals([signals(tmp_path, names)], ["A"])


def test_other_column_names_times_and_orders_are_recognised(tmp_path: Path) -> None:
    rows = ["1.5,trend,2025-01-01 00:01:00,A,x", "2.5,trend,2025-01-01 00:00:00,A,x"]
    tables = read_signals([signals(tmp_path, rows, "model.csv.gz", "value,name,date,symbol,note")], ["A"])
    assert list(tables.series[0].columns.value) == [2.5, 1.5]
    assert "recognised" in tables.notes[0]


def test_two_files_join_and_may_not_contradict_each_other(tmp_path: Path) -> None:
    first = signals(tmp_path, [f"{START},A,trend,1", f"{START + 2},A,trend,2"], "first.csv")
    second = signals(tmp_path, [f"{START},A,trend,1", f"{START + 2},A,trend,9", f"{START + 4},A,trend,3"], "second.csv")
    tables = read_signals([first, second], ["A"])
    assert [(one.source, list(one.columns.value)) for one in tables.series] == [
        ("first.csv", [1.0, 2.0]), ("second.csv", [3.0]),
    ]  # fmt: skip
    assert [(one.source, one.line) for one in tables.refusals.kept] == [(str(second), 3)]
    (tmp_path / "other").mkdir()
    twin = signals(tmp_path / "other", [f"{START},A,trend,1"], "first.csv")
    with pytest.raises(MarketDataError, match="another file has this name"):
        read_signals([first, twin], ["A"])


# ---------------------------------------------------------------- the feed and the tape


def feed_of(folder: Path, rows: list[str]) -> FileFeed:
    """Two symbols with a candle a minute, a settlement and a reading, and these signals."""
    at_ms = START + 2 * MINUTE_MS
    candles = tuple(
        f"{symbol}={table(folder, f'{symbol}.csv', CANDLE_HEADER, candle_rows(minutes(5)))}" for symbol in "BA"
    )
    return FileFeed(
        FileSettings(
            candles=candles,
            funding=(f"A={table(folder, 'f.csv', FUNDING_HEADER, [f'{at_ms},0.0001'])}",),
            open_interest=(f"A={table(folder, 'oi.csv', OPEN_INTEREST_HEADER, [f'{at_ms},7'])}",),
            signals=(signals(folder, rows),),
        ),
        ManualClock(),
    )


def delivered(feed: FileFeed, seen: Mapping[str, ResumePoint]) -> list[FeedFact]:
    async def everything() -> list[FeedFact]:
        return [fact async for batch in feed.facts(seen, None) for fact in batch]

    return [fact for fact in asyncio.run(everything()) if not isinstance(fact, FeedConnected)]


ROWS = [f"{START + 2 * MINUTE_MS},{symbol},{name},1" for name in ("trend", "risk") for symbol in "AB"]


def test_signals_come_after_everything_else_of_their_time_by_symbol_then_name(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, [f"{START + 2 * MINUTE_MS - 1},A,early,1", *ROWS])
    facts = delivered(feed, {})
    place = next(place for place, fact in enumerate(facts) if isinstance(fact, SignalReceived))
    early, *others = facts[place : place + 9]
    assert isinstance(early, SignalReceived) and early.name == "early"
    assert [type(fact).__name__ for fact in others[:4]] == [
        "CandleClosed", "CandleClosed", "FundingRateSettled", "OpenInterestObserved",
    ]  # fmt: skip
    signals_then = [(one.symbol, one.name) for one in others[4:] if isinstance(one, SignalReceived)]
    assert signals_then == [("B", "trend"), ("B", "risk"), ("A", "trend"), ("A", "risk")]
    tape = tape_of(feed)
    assert [fact_event(tape, fact) for fact in tape.structs()] == facts
    assert [list(column) for column in tape.arrays()] == [list(column) for column in tape.columns()]


def test_a_feed_continues_behind_the_newest_signal_of_each_name(tmp_path: Path) -> None:
    later = f"{START + 3 * MINUTE_MS},A,trend,2"
    feed = feed_of(tmp_path, [*ROWS, later])
    known = {("model.csv", "trend"): START + 2 * MINUTE_MS}
    facts = delivered(feed, {"A": ResumePoint(signals_ms=known)})
    own = [(one.name, one.value) for one in facts if isinstance(one, SignalReceived) and one.symbol == "A"]
    assert own == [("risk", 1.0), ("trend", 2.0)]
    assert sum(isinstance(one, CandleClosed) for one in facts) == 10


def test_signals_that_miss_the_candles_are_warned_about(tmp_path: Path) -> None:
    (warning,) = feed_of(tmp_path, [f"{START - MINUTE_MS * 9_999},A,trend,1"]).warnings()[-1:]
    assert "A signals trend: none of the 1 lies within the candles" in warning
