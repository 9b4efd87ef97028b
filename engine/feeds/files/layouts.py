"""Convert tables that other tools write into the columns that our readers expect.

Columns are recognised by the names that Binance, CryptoDataDownload, freqtrade, ccxt and others use, or, without a
header, by their number. A recognised layout is described in words; the reader refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from papertape.engine.feeds.files.containers import broken_file_error

_TIME_NAMES = ("timestamp", "open time", "time", "date", "datetime")
_NAMES: Final = {
    "open_time_ms": ("open_time_ms", "unix", "open_time", "opentime", "start_time", "starttime", *_TIME_NAMES),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume", "vol"),
    "funding_time_ms": (
        *("funding_time_ms", "calc_time", "funding_time", "fundingtime", "fundingratetimestamp"),
        *_TIME_NAMES,
    ),
    "rate": ("rate", "last_funding_rate", "fundingrate", "funding_rate", "open"),
    "time_ms": ("time_ms", "create_time", *_TIME_NAMES),
    "symbol": ("symbol", "pair", "ticker"),
    "name": ("name", "signal"),
    "value": ("value",),
    "open_interest": ("open_interest", "sum_open_interest", "openinterest", "openinterestamount"),
}
"""The names of each column in other tools, best first. freqtrade stores funding rates in the column `open`."""
_QUOTE_ENDINGS: Final = ("usd", "usdt", "usdc", "fdusd", "busd", "eur")
_HEADERLESS: Final = {
    6: "candles without a header (time, open, high, low, close, volume)",
    12: "Binance's candles without a header",
}
_KNOWN_HEADERS: Final = {
    ("open_time", "close_time", "quote_volume"): "Binance's candles",
    ("calc_time", "last_funding_rate"): "Binance's funding rates",
    ("create_time", "sum_open_interest"): "Binance's metrics",
}
_SYMBOL_NAMES: Final = ("symbol", "pair")
TRADE_NAMES: Final = frozenset({"side", "tickdirection", "trdmatchid", "is_buyer_maker", "tradeid", "trade_id"})
_SHOWN_CHARS_MAX = 120


class Layout(Struct, frozen=True):
    """The positions of the wanted columns in a foreign table, and a description of the table."""

    words: str
    width: int
    picks: tuple[int, ...]
    lines_above: int
    symbol_at: int = -1


def select_columns(source: str, data: bytes, columns: tuple[str, ...]) -> tuple[bytes, int, str]:
    """Return the rows in the wanted columns, the line number of the first row, and the recognised format.

    Raise `MarketDataError` when the table's layout is unknown, or it contains several symbols.
    """
    first, _, rest = data.partition(b"\n")
    if _cells(first) == list(columns):
        return rest, 2, ""
    if data.lstrip()[:1] in (b"[", b"{"):
        data = _json_as_csv(source, data, columns)
        words, numbering = "JSON, ", 1
    else:
        words, numbering = "", 0
    lines = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    layout = _layout(source, lines, columns)
    rows = lines[layout.lines_above :]
    if layout.symbol_at >= 0:
        _check_one_symbol(source, rows, layout)
    text = "\n".join(_row(line, layout) for line in rows)
    return text.encode(), numbering or layout.lines_above + 1, words + layout.words


def _cells(line: bytes | str) -> list[str]:
    text = line if isinstance(line, str) else line.decode("utf-8", "replace")
    return [cell.strip().strip('"').strip() for cell in text.split(",")]


def _layout(source: str, lines: Sequence[str], columns: tuple[str, ...]) -> Layout:
    header = _cells(lines[0])
    if len(header) in _HEADERLESS and columns[0] == "open_time_ms" and all(map(_is_number, header[1:6])):
        picks = tuple(range(len(columns)))
        return Layout(_HEADERLESS[len(header)], len(header), picks, 0)
    title = len(header) == 1 and len(lines) > 1 and len(_cells(lines[1])) > 1
    layout = _named(_cells(lines[1]), columns, 2) if title else _named(header, columns, 1)
    if layout is None:
        raise broken_file_error(source, _wrong_header(_cells(lines[1]) if title else header, columns))
    return layout


def _named(header: Sequence[str], columns: tuple[str, ...], lines_above: int) -> Layout | None:
    names = [name.lower() for name in header]
    picks = tuple(_place(names, column) for column in columns)
    if -1 in picks or len(set(picks)) != len(picks):
        return None
    of_symbols = () if "symbol" in columns else _SYMBOL_NAMES
    symbol_at = next((names.index(name) for name in of_symbols if name in names), -1)
    known = next((words for keys, words in _KNOWN_HEADERS.items() if set(keys) <= set(names)), None)
    if known is None and lines_above == 2:
        known = "CryptoDataDownload's table below a title line"
    words = known or f"the columns {', '.join(header[place] for place in picks)}"
    return Layout(words, len(header), picks, lines_above, symbol_at)


def _place(names: Sequence[str], column: str) -> int:
    """Return the position of a column, or -1."""
    for alias in _NAMES.get(column, (column,)):
        if alias in names:
            return names.index(alias)
    if column == "volume":  # CryptoDataDownload gives the volume in coins and in the quote: Volume BTC, Volume USDT.
        volumes = [place for place, name in enumerate(names) if name.startswith("volume ")]
        coins = [place for place in volumes if names[place].removeprefix("volume ") not in _QUOTE_ENDINGS]
        return (coins or volumes or [-1])[0]
    return -1


def _wrong_header(header: Sequence[str], columns: tuple[str, ...]) -> str:
    shown = ",".join(header)[:_SHOWN_CHARS_MAX]
    why = f"wrong header: expected the columns {','.join(columns)}, found {shown!r}"
    names = {name.lower() for name in header}
    if names & TRADE_NAMES:
        return f"{why}; these are individual trades, not candles"
    if columns[-1] == "volume" and "close" in names and not any("vol" in name for name in names):
        return f"{why}; without a volume these may be mark prices, which cannot be traded at"
    return why


def _row(line: str, layout: Layout) -> str:
    if not line.strip():
        return ""
    cells = _cells(line)
    if len(cells) == layout.width:
        return ",".join([cells[place] for place in layout.picks])
    # A row with the wrong number of fields must keep a wrong number, so that the reader refuses it.
    return line if len(cells) != len(layout.picks) else f"{line},"


def _check_one_symbol(source: str, rows: Sequence[str], layout: Layout) -> None:
    symbols = {cells[layout.symbol_at] for cells in map(_cells, rows) if len(cells) == layout.width}
    if len(symbols) > 1:
        some = ", ".join(sorted(symbols)[:3])
        raise broken_file_error(source, f"it holds {len(symbols)} symbols ({some}): give each a file of its own")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_as_csv(source: str, data: bytes, columns: tuple[str, ...]) -> bytes:
    """Convert a list of lists, as ccxt and freqtrade write it, or a list of objects, to CSV with a header."""
    try:
        rows = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken_file_error(source, f"this is JSON, but it cannot be read: {error}") from error
    if not isinstance(rows, list) or not rows:
        raise broken_file_error(source, "this is JSON, but not a list of rows")
    if isinstance(rows[0], dict):
        header = [str(name) for name in rows[0] if not isinstance(rows[0][name], dict | list)]
        cells = [[row.get(name) if isinstance(row, dict) else None for name in header] for row in rows]
    else:
        header = list(columns)
        cells = [row if isinstance(row, list) else [row] for row in rows]
    return "\n".join([",".join(header), *(",".join(map(_json_cell, row)) for row in cells)]).encode()


def _json_cell(value: object) -> str:
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    text = value if isinstance(value, str) else str(value)
    return text.replace(",", ";").replace("\n", " ")
