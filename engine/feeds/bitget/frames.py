"""Decode Bitget's socket frames with strict types into a handful of messages, or refuse them with a reason.

The order of the checks is the exchange's own: the text `pong` before JSON, then `event`, then `action`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from papertape.engine.feeds.candle_row import CandleRow, candle_row, parse_number, time_of
from papertape.engine.feeds.live.stream_state import CandleFrame, RefusedFrame, TickerFrame
from papertape.engine.ports.feed import RefusalReason
from papertape.events.units import HOUR_MS, MINUTE_MS

INSTRUMENTS: Final = "USDT-FUTURES"
CANDLES: Final = "candle"
TICKER: Final = "ticker"
CHANNELS: Final = {MINUTE_MS: "candle1m", 5 * MINUTE_MS: "candle5m", 15 * MINUTE_MS: "candle15m", HOUR_MS: "candle1H"}
PING: Final = "ping"
PONG: Final = "pong"
ROWS_MAX: Final = 1_000


class Pong(Struct, frozen=True):
    """The answer to a ping."""


class Ack(Struct, frozen=True):
    """A subscription or unsubscription was accepted. That proves no data."""

    channel: str
    symbol: str


class ErrorFrame(Struct, frozen=True):
    """The exchange refused a request; channel and symbol are empty if it does not name them."""

    channel: str
    symbol: str
    code: int
    text: str


Message = Pong | Ack | ErrorFrame | CandleFrame | TickerFrame | RefusedFrame


class _Arg(Struct):
    instType: str = ""  # noqa: N815 - the exchange's own names.
    channel: str = ""
    instId: str = ""  # noqa: N815


class _Frame(Struct):
    event: str | None = None
    action: str | None = None
    arg: _Arg | None = None
    data: Raw = Raw()
    ts: int | str | None = None
    code: int | str | None = None
    msg: str | None = None


class _Ticker(Struct):
    instId: str  # noqa: N815
    markPrice: str  # noqa: N815
    holdingAmount: str  # noqa: N815
    fundingRate: str  # noqa: N815
    nextFundingTime: str  # noqa: N815


_FRAMES: Final = msgspec.json.Decoder(_Frame)
_ROWS: Final = msgspec.json.Decoder(list[list[str | int | float | bool | None]])
_TICKERS: Final = msgspec.json.Decoder(list[_Ticker])
_WHOLE: Final = re.compile(r"[0-9]{1,13}")


def subscription(channel: str, symbol: str) -> dict[str, str]:
    """Return the argument that names one channel of one symbol."""
    return {"instType": INSTRUMENTS, "channel": channel, "instId": symbol}


def request(op: str, args: list[dict[str, str]]) -> str:
    """Return a subscribe or unsubscribe frame."""
    return msgspec.json.encode({"op": op, "args": args}).decode()


def read_frame(text: str | bytes, timeframe_ms: int) -> Message:
    """Decode a frame, whatever it is. Never raises."""
    if text == PONG:
        return Pong()
    try:
        frame = _FRAMES.decode(text)
    except msgspec.ValidationError:
        return RefusedFrame(RefusalReason.WRONG_SHAPE)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return RefusedFrame(RefusalReason.NOT_JSON)
    arg = frame.arg or _Arg()
    if frame.event is not None:
        return _answer(frame, arg)
    if frame.action not in ("snapshot", "update") or not bytes(frame.data) or frame.arg is None:
        return RefusedFrame(RefusalReason.WRONG_SHAPE, arg.instId)
    if arg.instType != INSTRUMENTS:
        return RefusedFrame(RefusalReason.WRONG_SYMBOL)
    at_ms = _time(frame.ts)
    if at_ms is None:
        return RefusedFrame(RefusalReason.WRONG_SHAPE, arg.instId)
    if arg.channel == CHANNELS[timeframe_ms]:
        return _candles(frame.data, arg.instId, frame.action == "snapshot", at_ms, timeframe_ms)
    if arg.channel == TICKER:
        return _ticker(frame.data, arg.instId, at_ms)
    return RefusedFrame(RefusalReason.WRONG_SYMBOL)


def _answer(frame: _Frame, arg: _Arg) -> Message:
    if frame.event in ("subscribe", "unsubscribe"):
        return Ack(arg.channel, arg.instId)
    if frame.event == "error":
        code = str(frame.code or "")
        number = int(code) if _WHOLE.fullmatch(code) else 0
        return ErrorFrame(arg.channel, arg.instId, number, (frame.msg or "")[:200])
    return RefusedFrame(RefusalReason.WRONG_SHAPE, arg.instId)


def _time(ts: int | str | None) -> int | None:
    """Parse the frame's time: a number on the wire, a text in older samples."""
    time_ms = time_of(str(ts)) if ts is not None and not isinstance(ts, bool) else RefusalReason.WRONG_SHAPE
    return None if isinstance(time_ms, RefusalReason) else time_ms


def _candles(data: Raw, symbol: str, snapshot: bool, at_ms: int, timeframe_ms: int) -> Message:
    try:
        texts = _ROWS.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return RefusedFrame(RefusalReason.WRONG_SHAPE, symbol)
    if len(texts) > ROWS_MAX:
        return RefusedFrame(RefusalReason.TOO_LARGE, symbol)
    rows: list[CandleRow] = []
    refused: list[tuple[RefusalReason, str]] = []
    for fields in texts:
        row = candle_row(fields, timeframe_ms)
        if isinstance(row, CandleRow):
            rows.append(row)
        else:
            refused.append((row, str(fields)))
    return CandleFrame(symbol, snapshot, at_ms, rows, refused)


def _ticker(data: Raw, symbol: str, at_ms: int) -> Message:
    try:
        (ticker,) = _TICKERS.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
        return RefusedFrame(RefusalReason.WRONG_SHAPE, symbol)
    if ticker.instId != symbol:
        return RefusedFrame(RefusalReason.WRONG_SYMBOL, symbol)
    mark, open_interest, rate = (
        parse_number(ticker.markPrice),
        parse_number(ticker.holdingAmount),
        parse_number(ticker.fundingRate),
    )
    settles = time_of(ticker.nextFundingTime)
    for value in (mark, open_interest, rate, settles):
        if isinstance(value, RefusalReason):
            return RefusedFrame(value, symbol)
    assert isinstance(mark, float) and isinstance(open_interest, float) and isinstance(rate, float)  # noqa: PT018
    assert isinstance(settles, int)
    if mark <= 0.0 or open_interest <= 0.0:
        return RefusedFrame(RefusalReason.NOT_POSITIVE, symbol)
    return TickerFrame(symbol, at_ms, mark, open_interest, rate, settles)
