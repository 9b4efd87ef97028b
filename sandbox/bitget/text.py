"""Numbers, rows and envelopes as Bitget writes them: decimals as text without an exponent, times as text."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from typing import Final

from papertape.engine.feeds.candle_row import CandleRow

INSTRUMENTS: Final = "USDT-FUTURES"


def text_of(value: float) -> str:
    """Return the shortest decimal text that reads back as the same number: 63039, 0.000078, 3000000.5."""
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def format_rounded(value: float, decimals: int) -> str:
    """Return a number with at most `decimals` decimals."""
    return text_of(round(value, decimals) + 0.0)


def ratio_text(ratio: tuple[int, int]) -> str:
    """Return a tick or lot, given as a ratio of integers."""
    return format((Decimal(ratio[0]) / Decimal(ratio[1])).normalize(), "f")


def decimals_of(denominator: int) -> int:
    """Return the decimals of a power of ten."""
    return len(str(denominator)) - 1


def turnover(row: CandleRow) -> str:
    """Return the volume in USDT, at the middle of the candle."""
    return format_rounded(row.volume * (row.open + row.high + row.low + row.close) / 4.0, 5)


def rest_row(row: CandleRow) -> str:
    """Return a candle of the REST pages: 7 texts."""
    values = (row.open, row.high, row.low, row.close, row.volume)
    texts = '","'.join(map(text_of, values))
    return f'["{row.open_time_ms}","{texts}","{turnover(row)}"]'


def stream_row(row: CandleRow, usdt_volume: str) -> str:
    """Return a candle of the stream: 8 texts, the last two equal for USDT contracts."""
    values = (row.open, row.high, row.low, row.close, row.volume)
    texts = '","'.join(map(text_of, values))
    return f'["{row.open_time_ms}","{texts}","{usdt_volume}","{usdt_volume}"]'


def arg_text(channel: str, symbol: str, instruments: str = INSTRUMENTS) -> str:
    """Return the argument that names a frame's channel and symbol."""
    return f'{{"instType":{json.dumps(instruments)},"channel":{json.dumps(channel)},"instId":{json.dumps(symbol)}}}'


def push_text(action: str, arg: str, rows: str, ts_ms: int) -> str:
    """Return a push; `rows` is the inside of its list."""
    return f'{{"action":"{action}","arg":{arg},"data":[{rows}],"ts":{ts_ms}}}'


def envelope(code: str, message: str, now_ms: int, data: str = "null") -> bytes:
    """Return the body of a REST response; `data` is JSON."""
    text = f'{{"code":"{code}","msg":{json.dumps(message)},"requestTime":{now_ms},"data":{data}}}'
    return text.encode()


def frame_of(message: str | bytes) -> bytes:
    """Return a message as the bytes of one unmasked frame."""
    opcode, data = (0x81, message.encode()) if isinstance(message, str) else (0x82, message)
    length = len(data)
    if length < 126:
        return struct.pack("!BB", opcode, length) + data
    if length < 65_536:
        return struct.pack("!BBH", opcode, 126, length) + data
    return struct.pack("!BBQ", opcode, 127, length) + data
