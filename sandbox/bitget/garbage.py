"""Turn a valid frame into garbage."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any, Final

ROWS_SPOILT: Final = slice(1, 6)
"""The prices and the volume of a candle row."""
PRICES: Final = ("lastPr", "bidPr", "askPr", "markPrice", "indexPrice", "holdingAmount")
NOBODY: Final = "NOPEUSDT"
FUTURE_MS: Final = 600_000
BINARY_BYTES: Final = 64


class Garbage(StrEnum):
    """One kind of garbage. Some kinds hold the true numbers in another shape."""

    TEXT = "text"
    BINARY = "binary"
    CUT_JSON = "cut_json"
    NOT_A_NUMBER = "not_a_number"
    INFINITY = "infinity"
    NEGATIVE = "negative"
    HUGE = "huge"
    JUMP = "jump"
    """All prices ten times as high."""
    NUMBER_FOR_TEXT = "number_for_text"
    """The true numbers, as JSON numbers."""
    TEXT_FOR_NUMBER = "text_for_number"
    """The true numbers; the frame's own time is a text."""
    EXTRA_FIELDS = "extra_fields"
    """The true numbers, with unknown fields."""
    WRONG_SYMBOL = "wrong_symbol"
    NO_ROWS = "no_rows"
    SHORT_ROW = "short_row"
    NULLS = "nulls"
    FUTURE = "future"
    """A candle that opens ten minutes later."""
    OFF_GRID = "off_grid"


def garbage_frame(kind: Garbage | None, text: str, rng: Random) -> str | bytes:
    """Return garbage made from a valid frame; bytes are a binary message."""
    kind = rng.choice(list(Garbage)) if kind is None else kind
    if kind is Garbage.TEXT:
        return "<html>upstream error</html>"
    if kind is Garbage.BINARY:
        return rng.randbytes(BINARY_BYTES)
    if kind is Garbage.CUT_JSON:
        return text[: max(1, int(len(text) * rng.random()))]
    frame = json.loads(text)
    _SPOIL[kind](frame)
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)


def _each_number(change: Callable[[str], Any]) -> Callable[[dict[str, Any]], None]:
    def spoil(frame: dict[str, Any]) -> None:
        for row in frame["data"]:
            if isinstance(row, list):
                row[ROWS_SPOILT] = [change(value) for value in row[ROWS_SPOILT]]
            else:
                row.update({name: change(row[name]) for name in PRICES})

    return spoil


def _set_arg(frame: dict[str, Any]) -> None:
    frame["arg"]["instId"] = NOBODY
    for row in frame["data"]:
        if isinstance(row, dict):
            row.update(symbol=NOBODY, instId=NOBODY)


def _move_time(by_ms: int) -> Callable[[dict[str, Any]], None]:
    def spoil(frame: dict[str, Any]) -> None:
        for row in frame["data"]:
            if isinstance(row, list):
                row[0] = str(int(row[0]) + by_ms)
            else:
                row["nextFundingTime"] = str(int(row["nextFundingTime"]) + by_ms)

    return spoil


def _shorten(frame: dict[str, Any]) -> None:
    frame["data"] = [row[:3] if isinstance(row, list) else {"symbol": row["symbol"]} for row in frame["data"]]


def _extend(frame: dict[str, Any]) -> None:
    frame["surprise"] = {"nested": [1, None, "x"]}
    for row in frame["data"]:
        if isinstance(row, list):
            row.extend(["0", "surprise"])
        else:
            row["surprise"] = None


_SPOIL: Final[dict[Garbage, Callable[[dict[str, Any]], None]]] = {
    Garbage.NOT_A_NUMBER: _each_number(lambda _: "NaN"),
    Garbage.INFINITY: _each_number(lambda _: "Infinity"),
    Garbage.NEGATIVE: _each_number(lambda value: f"-{value}"),
    Garbage.HUGE: _each_number(lambda _: "1e400"),
    Garbage.JUMP: _each_number(lambda value: str(float(value) * 10.0)),
    Garbage.NUMBER_FOR_TEXT: _each_number(float),
    Garbage.NULLS: _each_number(lambda _: None),
    Garbage.TEXT_FOR_NUMBER: lambda frame: frame.update(ts=str(frame["ts"])),
    Garbage.EXTRA_FIELDS: _extend,
    Garbage.WRONG_SYMBOL: _set_arg,
    Garbage.NO_ROWS: lambda frame: frame.update(data=[]),
    Garbage.SHORT_ROW: _shorten,
    Garbage.FUTURE: _move_time(FUTURE_MS),
    Garbage.OFF_GRID: _move_time(1),
}
