"""Fill a window of rows from pages.

Exchanges treat a window differently: some return its oldest rows, some its newest, some fewer than requested. What an
answer leaves open on either side is therefore requested again until nothing more comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from papertape.events.errors import ExchangeError

T = TypeVar("T")
ROWS_A_PAGE: Final = 500
"""The page size of an exchange for which ccxt knows none."""
SETTLEMENTS_A_PAGE: Final = 100
REQUESTS_MAX: Final = 2_000
"""The most requests for one window; each but the last of a span brings rows."""


async def fetch_filled(
    fetch: Callable[[int, int], Awaitable[list[T]]],
    time_of: Callable[[T], int],
    from_ms: int,
    until_ms: int,
    step_ms: int,
) -> list[T]:
    """Return the rows of a window; request again wherever an answer leaves room for rows on a side."""
    rows: dict[int, T] = {}
    spans = [(from_ms, until_ms)] if from_ms < until_ms else []
    for _ in range(REQUESTS_MAX):
        if not spans:
            return [rows[time_ms] for time_ms in sorted(rows)]
        begin_ms, end_ms = spans.pop()
        page = await fetch(begin_ms, end_ms)
        inside = {time_of(row): row for row in page if begin_ms <= time_of(row) < end_ms}
        if inside:
            rows |= inside
            oldest_ms, newest_ms = min(inside), max(inside)
            if oldest_ms - begin_ms >= step_ms:
                spans.append((begin_ms, oldest_ms))
            if end_ms - newest_ms > step_ms:
                spans.append((newest_ms + step_ms, end_ms))
    raise ExchangeError(f"no end after {REQUESTS_MAX} requests for one window")
