"""Count the decimals of a table's prices: the most decimals of any good row determine the file's tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from papertape.engine.feeds.files.table_source import TableText

DECIMALS_MAX: Final = 18
"""More decimals are ignored."""
_PLAIN_BYTES = b"0123456789.,-\r\n"
_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)


def price_decimals(table: TableText, lines: Sequence[int]) -> int:
    """Return the most decimals of any price in these lines of the file."""
    if not lines:
        return 0
    if len(lines) == table.row_count and not table.rows.translate(None, _PLAIN_BYTES):
        return _of_plain(table.rows)
    texts = table.lines()
    return max(
        _decimals(cell) for line in lines for cell in texts[(line - table.first_line) * table.line_step].split(",")[1:5]
    )


def _of_plain(rows: bytes) -> int:
    """Do the same for rows without plus signs, exponents or blanks, where only prices are followed by a comma."""
    shape = rows.translate(_AS_ZEROS)
    most = 0  # Of any field. A hit is found early, so only two or three searches scan the whole text.
    while most < DECIMALS_MAX and b"." + b"0" * (most + 1) in shape:
        most += 1
    return next((count for count in range(most, 0, -1) if b"." + b"0" * count + b"," in shape), 0)


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.strip().lower().partition("e")
    written = len(mantissa.partition(".")[2])
    return min(DECIMALS_MAX, max(0, written - int(exponent or 0)))
