"""Read a feed: its batches and facts, and where an engine that took them resumes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from papertape.engine.ports.feed import NOTHING_SEEN, Feed, ResumePoint
from papertape.events.facts import (
    CandleClosed,
    FeedConnected,
    FeedFact,
    FundingRateSettled,
    MarketFact,
    OpenInterestObserved,
)

BATCHES_MAX = 100_000


def shared_data() -> Path:
    """The folder of real market data, or a skipped test."""
    root = os.environ.get("PAPERTAPE_SHARED")
    shared = Path(root) if root else Path(__file__).parents[3] / "shared"
    if not (shared / "data").is_dir():
        pytest.skip(f"no market data at {shared}: set PAPERTAPE_SHARED")
    return shared / "data"


def batches(
    feed: Feed,
    seen: Mapping[str, ResumePoint] | None = None,
    anchor: FeedConnected | None = None,
    most: int = BATCHES_MAX,
) -> list[list[FeedFact]]:
    """The batches of a feed, to its end or the first `most` of them."""

    async def read() -> list[list[FeedFact]]:
        taken: list[list[FeedFact]] = []
        async with aclosing(feed.facts(seen or {}, anchor)) as stream:  # type: ignore[type-var]
            async for batch in stream:
                taken.append(batch)
                if len(taken) >= most:
                    break
        return taken

    return asyncio.run(read())


def facts(
    feed: Feed,
    seen: Mapping[str, ResumePoint] | None = None,
    anchor: FeedConnected | None = None,
    most: int = BATCHES_MAX,
) -> list[FeedFact]:
    """The same, in one list."""
    return [fact for batch in batches(feed, seen, anchor, most) for fact in batch]


def market_only(given: Iterable[FeedFact]) -> list[MarketFact]:
    """Candles, settlements and readings without the news about the feed."""
    return [fact for fact in given if isinstance(fact, CandleClosed | FundingRateSettled | OpenInterestObserved)]


def candles_only(given: Iterable[FeedFact]) -> list[CandleClosed]:
    """The candles."""
    return [fact for fact in given if isinstance(fact, CandleClosed)]


def seen_after(given: Sequence[FeedFact]) -> dict[str, ResumePoint]:
    """What an engine holds that took these facts."""
    seen: dict[str, ResumePoint] = {}
    for fact in market_only(given):
        before = seen.get(fact.symbol, NOTHING_SEEN)
        candle_ms, funding_ms, reading_ms = before.candle_open_ms, before.funding_ms, before.open_interest_ms
        match fact:
            case CandleClosed():
                candle_ms = fact.open_time_ms
            case FundingRateSettled():
                funding_ms = fact.at_ms
            case OpenInterestObserved():
                reading_ms = fact.at_ms
        seen[fact.symbol] = ResumePoint(candle_ms, funding_ms, reading_ms)
    return seen


def newest_anchor(given: Sequence[FeedFact]) -> FeedConnected | None:
    """The newest connection among the facts."""
    return next((fact for fact in reversed(given) if isinstance(fact, FeedConnected)), None)
