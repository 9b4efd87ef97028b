"""Frames: what the real exchange sent is understood or refused by reason, and rubbish never passes."""

from __future__ import annotations

import gzip
import json
from random import Random

import pytest

from papertape.engine.feeds.bitget.frames import (
    ROWS_MAX,
    Ack,
    ErrorFrame,
    Message,
    Pong,
    read_frame,
    request,
    subscription,
)
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.live.stream_state import CandleFrame, RefusedFrame, TickerFrame
from papertape.engine.ports.feed import RefusalReason
from papertape.sandbox.bitget.garbage import Garbage, garbage_frame
from tests.feeds.reading import shared_data

MINUTE_MS = 60_000
OPEN_MS = 1_790_000_040_000
ROW = [str(OPEN_MS), "84010.1", "84022.0", "84001.5", "84015.3", "12.3456", "1037155.11", "1037155.11"]
TICKER = {
    "instId": "BTCUSDT",
    "lastPr": "84018.7",
    "bidPr": "84018.6",
    "askPr": "84018.7",
    "markPrice": "84018.7",
    "indexPrice": "84046.9",
    "fundingRate": "-0.0001",
    "nextFundingTime": "1790006400000",
    "holdingAmount": "31911.3455999999605",
    "symbol": "BTCUSDT",
}
FOREIGN = RefusalReason.WRONG_SYMBOL
RECORDED: list[tuple[object, str]] = [
    (FOREIGN, ""),  # 0: trades of the spot market
    (Ack, "XAUTUSDT"),
    (FOREIGN, ""),
    (FOREIGN, ""),
    (Ack, "LUMIAUSDT"),
    (FOREIGN, ""),  # 5: books
    (FOREIGN, ""),
    (FOREIGN, ""),
    (FOREIGN, ""),
    (Ack, "LTCUSDT"),
    (Ack, "BTCPERP"),  # 10
    (FOREIGN, ""),  # coin-margined
    (FOREIGN, ""),
    (FOREIGN, ""),
    (FOREIGN, ""),
    (Ack, "BTCUSDT"),  # 15
    (TickerFrame, "STORJUSDT"),
    (FOREIGN, ""),  # a ticker of a coin-margined contract
    (FOREIGN, ""),
    (FOREIGN, ""),
    (ErrorFrame, "BTCUSDT"),  # 20: candle1h in the wrong letter case
    (FOREIGN, ""),
    (TickerFrame, "BTCUSDT"),  # the ticker of 2026
    (FOREIGN, ""),
    (FOREIGN, ""),  # candles of the spot market
    (Ack, "BTCUSDT"),  # 25
    (CandleFrame, "BTCUSDT"),
    (CandleFrame, "BTCUSDT"),
    (ErrorFrame, ""),
    (RefusalReason.WRONG_SHAPE, ""),  # a request of a client
    (Ack, "BTCUSDT"),  # 30
    (FOREIGN, ""),
    (FOREIGN, ""),
    (ErrorFrame, "NOPEUSDT"),
    (RefusalReason.NOT_JSON, ""),  # a client's ping
    (Pong, ""),  # 35
    (FOREIGN, ""),  # candles of twelve hours
    (TickerFrame, "BTCUSDT"),
    (FOREIGN, ""),  # trades
]
"""What each recorded line is to us: a kind of message and its symbol, or why it is refused."""


def texts() -> list[str]:
    """The recorded frames of today's socket."""
    path = shared_data() / "bitget" / "ws_v2_public_frames.jsonl"
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def told(message: Message) -> tuple[object, str]:
    kind = message.reason if isinstance(message, RefusedFrame) else type(message)
    return kind, getattr(message, "symbol", "")


def test_every_recorded_frame_is_what_it_is() -> None:
    found = [told(read_frame(text, MINUTE_MS)) for text in texts()]
    assert len(found) == len(RECORDED)
    for number, (message, expected) in enumerate(zip(found, RECORDED, strict=True)):
        assert message == expected, f"line {number}"


def test_the_numbers_of_recorded_frames_are_read_exactly() -> None:
    frames = [read_frame(text, MINUTE_MS) for text in texts()]
    settles_ms = int(json.loads(texts()[22])["data"][0]["nextFundingTime"])
    assert frames[22] == TickerFrame("BTCUSDT", 1_790_358_794_987, 83_692.3, 31_911.34559999996, 0.0001, settles_ms)
    error = frames[33]
    assert isinstance(error, ErrorFrame) and error.code == 30_001 and "doesn't exist" in error.text
    for number, snapshot in ((26, False), (27, True)):
        sent, frame = json.loads(texts()[number])["data"], frames[number]
        assert isinstance(frame, CandleFrame) and frame.snapshot is snapshot and frame.refused == []
        assert frame.rows == [CandleRow(int(row[0]), *map(float, row[1:6])) for row in sent]


def test_the_recording_of_the_first_generation_is_refused_frame_by_frame() -> None:
    path = shared_data() / "bitget" / "ws_v1_mix_recording_2022-04-07.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        frames = [read_frame(json.loads(line).get("text", ""), MINUTE_MS) for line in lines]
    assert len(frames) == 475
    assert {type(frame) for frame in frames} == {Ack, RefusedFrame}
    reasons = {frame.reason for frame in frames if isinstance(frame, RefusedFrame)}
    assert reasons == {FOREIGN, RefusalReason.WRONG_SHAPE, RefusalReason.NOT_JSON}


# ---------------------------------------------------------------- refusals


def frame(channel: str = "candle1m", data: object = None, **other: object) -> str:
    """A frame of the exchange."""
    arg = {"instType": "USDT-FUTURES", "channel": channel, "instId": "BTCUSDT"}
    given = [ROW] if channel == "candle1m" else [TICKER]
    whole = {"action": "update", "arg": arg, "data": given if data is None else data, "ts": OPEN_MS + 500, **other}
    return json.dumps(whole)


def with_row(place: int, value: object) -> str:
    return frame(data=[[*ROW[:place], value, *ROW[place + 1 :]]])


def with_ticker(**other: object) -> str:
    return frame("ticker", data=[{**TICKER, **other}])


R = RefusalReason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (with_row(1, "NaN"), R.NOT_FINITE),
        (with_row(1, "-Infinity"), R.NOT_FINITE),
        (with_row(4, "1e400"), R.NOT_FINITE),
        (with_row(2, "-84022.0"), R.NOT_POSITIVE),
        (with_row(3, "0"), R.NOT_POSITIVE),
        (with_row(5, "-1"), R.NEGATIVE_VOLUME),
        (with_row(2, "84001"), R.HIGH_BELOW_LOW),
        (with_row(2, "84015"), R.INCONSISTENT),
        (with_row(3, "84011"), R.INCONSISTENT),
        (with_row(1, "84_010.1"), R.NOT_A_NUMBER),
        (with_row(1, "0x1F"), R.NOT_A_NUMBER),
        (with_row(1, ""), R.NOT_A_NUMBER),
        (with_row(1, 84_010.1), R.WRONG_SHAPE),
        (with_row(1, None), R.WRONG_SHAPE),
        (with_row(1, True), R.WRONG_SHAPE),
        (with_row(0, str(OPEN_MS + 1)), R.OFF_GRID),
        (with_row(0, str(OPEN_MS // 1_000)), R.OFF_GRID),
        (with_row(0, str(OPEN_MS * 1_000)), R.TIME_OUT_OF_RANGE),
        (with_row(0, "-60000"), R.NOT_A_NUMBER),
        (frame(data=[ROW[:5]]), R.WRONG_FIELD_COUNT),
        (frame(data=[[]]), R.WRONG_FIELD_COUNT),
    ],
)
def test_a_row_that_is_no_candle_is_refused_by_reason_and_the_others_stand(text: str, reason: RefusalReason) -> None:
    whole = json.loads(text)
    whole["data"].append(ROW)
    message = read_frame(json.dumps(whole), MINUTE_MS)
    assert isinstance(message, CandleFrame)
    assert [why for why, _ in message.refused] == [reason]
    assert [row.open_time_ms for row in message.rows] == [OPEN_MS]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<html>upstream error</html>", R.NOT_JSON),
        (frame()[:80], R.NOT_JSON),
        (b"\xff\xfe\x00rubbish", R.NOT_JSON),
        ("[" * 100_000, R.WRONG_SHAPE),
        ('{"x":' * 100_000, R.NOT_JSON),
        ("", R.NOT_JSON),
        ('"pong"', R.WRONG_SHAPE),
        ("[]", R.WRONG_SHAPE),
        ("null", R.WRONG_SHAPE),
        ("{}", R.WRONG_SHAPE),
        (frame(action="delete"), R.WRONG_SHAPE),
        (frame(ts=None), R.WRONG_SHAPE),
        (frame(ts=True), R.WRONG_SHAPE),
        (frame(ts=1.5), R.WRONG_SHAPE),
        (frame(ts=-1), R.WRONG_SHAPE),
        (frame(arg=None), R.WRONG_SHAPE),
        (frame(event="surprise"), R.WRONG_SHAPE),
        (frame(data={}), R.WRONG_SHAPE),
        (frame(data=[{"a": "b"}]), R.WRONG_SHAPE),
        (frame(data=[ROW] * (ROWS_MAX + 1)), R.TOO_LARGE),
        (frame(arg={"instType": "SPOT", "channel": "candle1m", "instId": "BTCUSDT"}), R.WRONG_SYMBOL),
        (frame(arg={"instType": "USDT-FUTURES", "channel": "candle5m", "instId": "BTCUSDT"}), R.WRONG_SYMBOL),
        (frame("ticker", data=[]), R.WRONG_SHAPE),
        (frame("ticker", data=[TICKER, TICKER]), R.WRONG_SHAPE),
        (with_ticker(instId="ETHUSDT"), R.WRONG_SYMBOL),
        (with_ticker(markPrice="NaN"), R.NOT_FINITE),
        (with_ticker(markPrice="-1"), R.NOT_POSITIVE),
        (with_ticker(markPrice=84_018.7), R.WRONG_SHAPE),
        (with_ticker(holdingAmount="Infinity"), R.NOT_FINITE),
        (with_ticker(holdingAmount="0"), R.NOT_POSITIVE),
        (with_ticker(fundingRate="abc"), R.NOT_A_NUMBER),
        (with_ticker(nextFundingTime="17900064000000"), R.TIME_OUT_OF_RANGE),
    ],
)
def test_a_frame_that_says_nothing_is_refused_by_reason(text: str | bytes, reason: RefusalReason) -> None:
    message = read_frame(text, MINUTE_MS)
    assert isinstance(message, RefusedFrame) and message.reason is reason


def test_every_rubbish_of_the_stand_in_is_refused_and_true_numbers_in_another_shape_are_not() -> None:
    for channel in ("candle1m", "ticker"):
        for kind in Garbage:
            message = read_frame(garbage_frame(kind, frame(channel), Random(1)), MINUTE_MS)
            refused = isinstance(message, RefusedFrame) or bool(getattr(message, "refused", []))
            good = {Garbage.TEXT_FOR_NUMBER, Garbage.EXTRA_FIELDS, Garbage.NO_ROWS}
            # Only a place among others shows these to be wrong: the board looks at them.
            board = {Garbage.JUMP, Garbage.FUTURE, Garbage.WRONG_SYMBOL, Garbage.OFF_GRID}
            assert refused or kind in good | board, (channel, kind)
            assert not refused or kind not in {Garbage.TEXT_FOR_NUMBER, Garbage.EXTRA_FIELDS}, (channel, kind)


def test_errors_carry_their_code_as_a_number_or_a_text() -> None:
    for code in (30_006, "30006"):
        text = json.dumps({"event": "error", "arg": subscription("ticker", "BTCUSDT"), "code": code, "msg": "too many"})
        assert read_frame(text, MINUTE_MS) == ErrorFrame("ticker", "BTCUSDT", 30_006, "too many")
    assert read_frame('{"event":"error","code":"x"}', MINUTE_MS) == ErrorFrame("", "", 0, "")


def test_a_request_names_what_is_asked_for() -> None:
    args = [subscription("candle1m", "BTCUSDT"), subscription("ticker", "BTCUSDT")]
    assert json.loads(request("subscribe", args)) == {"op": "subscribe", "args": args}
