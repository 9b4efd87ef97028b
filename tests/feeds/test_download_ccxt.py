"""What answers of exchanges leave open is asked for again, whatever part of a window they serve; rows are checked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.feeds.ccxt.library import replace_base_urls
from papertape.engine.feeds.ccxt.pages import fetch_filled
from papertape.engine.feeds.download.ccxt import _candle, _settlement
from papertape.engine.feeds.download.partial_file import DownloadKind, DownloadRequest, Row
from papertape.engine.ports.feed import RefusalReason
from tests.support import examples

STEP_MS = 60_000
T0_MS = 1_790_000_100_000
CANDLES = DownloadRequest(DownloadKind.CANDLES, "BTCUSDT", STEP_MS, T0_MS)
MARK = DownloadRequest(DownloadKind.MARK, "BTCUSDT", STEP_MS, T0_MS)


@given(
    st.integers(0, 700),
    st.frozensets(st.integers(0, 700), max_size=300),
    st.integers(1, 150),
    st.sampled_from(["oldest", "newest", "oldest, whatever the end", "newest, whatever the begin"]),
)
@examples(200)
def test_a_window_is_filled_from_either_end(count: int, lost: frozenset[int], page: int, serves: str) -> None:
    there: list[Row] = [(T0_MS + n * STEP_MS, (1.0,)) for n in range(-50, 800) if n not in lost]
    asked: list[tuple[int, int]] = []

    async def ask(begin_ms: int, end_ms: int) -> list[Row]:
        asked.append((begin_ms, end_ms))
        assert len(asked) <= 2 * count + 3
        from_ms = 0 if "begin" in serves else begin_ms
        until_ms = 1 << 60 if "end" in serves else end_ms
        rows = [row for row in there if from_ms <= row[0] < until_ms]
        return rows[:page] if serves.startswith("oldest") else rows[-page:]

    until_ms = T0_MS + count * STEP_MS
    found = asyncio.run(fetch_filled(ask, lambda row: row[0], T0_MS, until_ms, STEP_MS))
    assert found == [row for row in there if T0_MS <= row[0] < until_ms]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([T0_MS, 1, 2, 0.5, 1.5, 7], (T0_MS, (1.0, 2.0, 0.5, 1.5, 7.0))),
        ([T0_MS, 1, 2, 0.5, 1.5], RefusalReason.WRONG_SHAPE),
        ([T0_MS, 1, 2, 0.5, 1.5, None], RefusalReason.WRONG_SHAPE),
        (["x", 1, 2, 0.5, 1.5, 7], RefusalReason.WRONG_SHAPE),
        (None, RefusalReason.WRONG_SHAPE),
        ([T0_MS + 1, 1, 2, 0.5, 1.5, 7], RefusalReason.OFF_GRID),
        ([T0_MS * 1_000, 1, 2, 0.5, 1.5, 7], RefusalReason.TIME_OUT_OF_RANGE),
        ([T0_MS, 1, 2, 0.5, float("nan"), 7], RefusalReason.NOT_FINITE),
        ([T0_MS, 1, 0.5, 2, 1, 7], RefusalReason.HIGH_BELOW_LOW),
        ([T0_MS, 1, 2, 0.5, 1.5, -7], RefusalReason.NEGATIVE_VOLUME),
    ],
)
def test_a_candle_of_ccxt_is_checked(line: Any, expected: Any) -> None:
    assert _candle(line, CANDLES) == expected


def test_a_candle_of_marks_has_no_volume() -> None:
    assert _candle([T0_MS, 1, 2, 0.5, 1.5], MARK) == (T0_MS, (1.0, 2.0, 0.5, 1.5))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"timestamp": T0_MS + 9, "fundingRate": -0.0001}, (T0_MS, (-0.0001,))),
        ({"timestamp": T0_MS}, RefusalReason.WRONG_SHAPE),
        ({"timestamp": None, "fundingRate": 0.1}, RefusalReason.WRONG_SHAPE),
        ([T0_MS, 0.1], RefusalReason.WRONG_SHAPE),
    ],
)
def test_a_settlement_of_ccxt_is_checked(entry: Any, expected: Any) -> None:
    assert _settlement(entry) == expected


def test_addresses_move_with_their_paths() -> None:
    urls = {"public": "https://fapi.binance.com/fapi/v1", "more": {"spot": "https://api.{hostname}"}, "none": None}
    assert replace_base_urls(urls, "http://127.0.0.1:99/", "") == {
        "public": "http://127.0.0.1:99/fapi/v1", "more": {"spot": "http://127.0.0.1:99"}, "none": None
    }  # fmt: skip
