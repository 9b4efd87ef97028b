"""Paging: no candle and no settlement is lost or doubled at any edge, whatever the bounds mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from papertape.engine.feeds.bitget.rest import HISTORY, MARK, RECENT, BitgetRest
from papertape.engine.feeds.live.exchange import FundingSettlement
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from tests.feeds.http_script import T0_MS, Answer, Parts, Script, rows, success, timed, used
from tests.support import examples

SYMBOL = "BTCUSDT"
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# ---------------------------------------------------------------- candles

Within: Final[dict[str, Callable[[int, int], bool]]] = {
    "closed": lambda open_ms, end_ms: open_ms + MINUTE_MS <= end_ms,
    "closed before": lambda open_ms, end_ms: open_ms + MINUTE_MS < end_ms,
    "open": lambda open_ms, end_ms: open_ms <= end_ms,
    "open before": lambda open_ms, end_ms: open_ms < end_ms,
}
"""What `endTime` may mean. The first was measured, the others are what readers of the documents took it for."""


class Venue(Struct):
    """An exchange with the candles of a stretch of minutes before T0, some of them missing."""

    minutes: int = 50_000
    holes: frozenset[int] = frozenset()
    """Minutes before T0."""
    end: str = "closed"
    bounded: bool = False
    """Whether `startTime` means anything, and whether the rows next to it are served instead of the last ones."""
    from_start: bool = False
    deep_days: float = 30.0
    empty_above: int = 1_000
    """A larger limit is answered with nothing."""

    def has(self, open_ms: int) -> bool:
        before = (T0_MS - open_ms) // MINUTE_MS
        return before <= self.minutes and before not in self.holes

    def answer(self, path: str, params: dict[str, str]) -> Parts:
        start_ms, end_ms, limit = int(params["startTime"]), int(params["endTime"]), int(params["limit"])
        recent = path == RECENT.path
        assert limit <= (1_000 if recent else 200) and end_ms - start_ms <= 90 * DAY_MS
        if recent and limit > self.empty_above:
            return success([])
        oldest_ms = T0_MS - int(self.deep_days * DAY_MS) if recent else 0
        # The candle that forms at T0 is served too, as `candles` does.
        newest_ms = min(end_ms, T0_MS if recent else T0_MS - MINUTE_MS)
        opens = range(newest_ms // MINUTE_MS * MINUTE_MS, max(start_ms - 2_000 * MINUTE_MS, 0), -MINUTE_MS)
        served = [o for o in opens if self.has(o) and Within[self.end](o, end_ms) and o >= oldest_ms]
        if self.bounded:
            served = [open_ms for open_ms in served if open_ms >= start_ms]
        return success(rows(*reversed(served[-limit:] if self.bounded and self.from_start else served[:limit])))


def opens_found(venue: Venue, from_ms: int, until_ms: int) -> tuple[list[int], int]:
    """The open times that the client finds, and how many requests it made for them."""

    async def use(rest: BitgetRest, script: Script) -> tuple[list[int], int]:
        found = await rest.candles(SYMBOL, from_ms, until_ms)
        return [candle.open_time_ms for candle in found], len(script.requests) - 1

    return used(timed(venue.answer), use, requests_per_s=100_000.0)


def true_opens(venue: Venue, from_ms: int, until_ms: int) -> list[int]:
    """The closed candles there are."""
    first_ms = -(-from_ms // MINUTE_MS) * MINUTE_MS
    return [open_ms for open_ms in range(first_ms, min(until_ms, T0_MS), MINUTE_MS) if venue.has(open_ms)]


@pytest.mark.system
@pytest.mark.parametrize("end", Within)
@pytest.mark.parametrize("ago", [0, 45_000], ids=["recent", "old"])
@pytest.mark.parametrize("count", [1, 197, 198, 199, 200, 201, 997, 998, 999, 1_000, 1_001, 2_500])
def test_a_range_of_any_length_is_whole(count: int, ago: int, end: str) -> None:
    venue = Venue(end=end)
    until_ms = T0_MS - ago * MINUTE_MS
    found, requests = opens_found(venue, until_ms - count * MINUTE_MS, until_ms)
    assert found == true_opens(venue, until_ms - count * MINUTE_MS, until_ms) and len(found) == count
    assert requests <= -(-count // (198 if ago else 998))


@pytest.mark.system
@given(
    st.builds(
        Venue,
        minutes=st.integers(0, 46_000),
        holes=st.lists(st.tuples(st.integers(0, 46_000), st.integers(1, 1_500)), max_size=6).map(
            lambda spans: frozenset(minute for first, length in spans for minute in range(first, first + length))
        ),
        end=st.sampled_from(list(Within)),
        bounded=st.booleans(),
        from_start=st.booleans(),
        deep_days=st.sampled_from([30.0, 29.5, 1.0, 0.0]),
        empty_above=st.sampled_from([1_000, 700]),
    ),
    st.one_of(st.integers(-3, 3_000), st.integers(39_000, 46_000)),
    st.integers(0, 3_000),
    st.integers(0, 59_999),
)
@examples(150)
def test_what_is_there_is_found_and_nothing_else(venue: Venue, ago: int, count: int, crooked_ms: int) -> None:
    until_ms = T0_MS - ago * MINUTE_MS + crooked_ms
    from_ms = until_ms - count * MINUTE_MS
    found, _ = opens_found(venue, from_ms, until_ms)
    assert found == true_opens(venue, from_ms, until_ms)


def test_the_forming_candle_is_never_served() -> None:
    venue = Venue(end="open")
    assert opens_found(venue, T0_MS - 2 * MINUTE_MS, T0_MS + HOUR_MS)[0] == [T0_MS - 2 * MINUTE_MS, T0_MS - MINUTE_MS]


def test_closed_is_what_the_servers_clock_says() -> None:
    """Our clock is half a minute ahead: a candle that it takes for closed is still forming."""

    def answer(path: str, _params: dict[str, str]) -> Parts:
        if path.endswith("/time"):
            return success({"serverTime": str(T0_MS - 30_000)})
        return success(rows(T0_MS - 2 * MINUTE_MS, T0_MS - MINUTE_MS))

    async def use(rest: BitgetRest, _script: Script) -> list[int]:
        return [candle.open_time_ms for candle in await rest.candles(SYMBOL, T0_MS - HOUR_MS, T0_MS)]

    assert used(answer, use) == [T0_MS - 2 * MINUTE_MS]


@pytest.mark.parametrize("of_mark", [False, True])
def test_an_exchange_that_shows_the_same_page_for_ever_ends_the_paging(of_mark: bool) -> None:
    async def use(rest: BitgetRest, script: Script) -> tuple[int, int]:
        ask = rest.mark_candles if of_mark else rest.candles
        return len(await ask(SYMBOL, T0_MS - 2_000 * MINUTE_MS, T0_MS)), len(script.requests)

    same = success(rows(*range(T0_MS - 100 * MINUTE_MS, T0_MS, MINUTE_MS)))
    found, requests = used(timed(lambda _path, _params: same), use, requests_per_s=1_000.0)
    assert found == 100
    assert requests < 25


def test_the_mark_price_is_asked_of_its_own_history() -> None:
    async def use(rest: BitgetRest, script: Script) -> tuple[int, int]:
        found = await rest.mark_candles(SYMBOL, T0_MS - 500 * MINUTE_MS, T0_MS)
        return len(found), len(script.asked("history-mark-candles"))

    assert MARK.path != HISTORY.path
    assert used(timed(Venue().answer), use) == (500, 3)


# ---------------------------------------------------------------- settlements


def settlement(number: int, symbol: str = SYMBOL) -> dict[str, str]:
    """The `number`-th settlement before T0, a few milliseconds after its hour."""
    return {"symbol": symbol, "fundingRate": f"{number}e-6", "fundingTime": str(T0_MS - number * HOUR_MS + 7)}


def settlement_pages(count: int, moves: bool = False) -> Answer:
    """A history of `count`; with `moves` one more is settled between two pages."""
    pages_asked = [0]

    def answer(_path: str, params: dict[str, str]) -> Parts:
        assert params["pageSize"] == "100"
        first = (int(params["pageNo"]) - 1) * 100 - (pages_asked[0] if moves else 0)
        pages_asked[0] += 1
        return success([settlement(number) for number in range(max(0, first), min(first + 100, count))])

    return answer


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_settlements_are_paged_to_the_end(count: int, moves: bool) -> None:
    async def use(rest: BitgetRest, _script: Script) -> list[FundingSettlement]:
        return await rest.settlements(SYMBOL, 0)

    found = used(settlement_pages(count, moves), use)
    assert found == [FundingSettlement(T0_MS - n * HOUR_MS, float(f"{n}e-6")) for n in reversed(range(count))]


def test_settlements_end_where_they_were_asked_to() -> None:
    async def use(rest: BitgetRest, script: Script) -> tuple[int, int]:
        found = await rest.settlements(SYMBOL, T0_MS - 120 * HOUR_MS)
        return len(found), len(script.requests)

    assert used(settlement_pages(2_000), use) == (121, 2)


def test_a_page_that_is_always_the_same_ends_the_paging() -> None:
    async def use(rest: BitgetRest, script: Script) -> int:
        await rest.settlements(SYMBOL, 0)
        return len(script.requests)

    assert used(lambda _path, _params: success([settlement(n) for n in range(100)]), use) == 2


def test_settlements_of_another_symbol_or_rate_are_refused() -> None:
    refusals = RefusalLog()
    given = [settlement(1, "ETHUSDT"), settlement(2), settlement(2) | {"fundingRate": "0.9"}, settlement(3)]
    given[3]["fundingRate"] = "7"

    async def use(rest: BitgetRest, _script: Script) -> int:
        return len(await rest.settlements(SYMBOL, 0))

    assert used(lambda _path, _params: success(given), use, refusals) == 1
    assert refusals.counts == {
        RefusalReason.WRONG_SYMBOL: 1, RefusalReason.DUPLICATE: 1, RefusalReason.INCONSISTENT: 1
    }  # fmt: skip
