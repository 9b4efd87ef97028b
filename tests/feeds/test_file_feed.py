"""Files of several symbols become one market: in order, at a pace, from where the engine stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import BATCH_FACTS_MAX, RefusalReason
from papertape.events.errors import MarketDataError
from papertape.events.facts import CandleClosed, FeedConnected, FundingRateSettled, OpenInterestObserved, Timing
from papertape.events.units import MINUTE_MS
from tests.build import CANDLE_HEADER, FILE_START_MS, FUNDING_HEADER, OPEN_INTEREST_HEADER, candle_rows, minutes, table
from tests.feeds.reading import batches, candles_only, facts, market_only, seen_after, shared_data


def settings(folder: Path, count: int = 6, **changes: object) -> FileSettings:
    """Two symbols, ETHUSDT before BTCUSDT, with settlements and readings at the closes of some candles."""
    series = [FILE_START_MS + 2 * MINUTE_MS, FILE_START_MS + 4 * MINUTE_MS]
    given: dict[str, object] = {"candles": (), "funding": (), "open_interest": ()}
    for symbol in ("ETHUSDT", "BTCUSDT"):
        rows = candle_rows(minutes(count), 100.0 if symbol == "BTCUSDT" else 50.0)
        candles = table(folder, f"x_{symbol}_1m_.csv", CANDLE_HEADER, rows)
        rates = table(folder, f"x_{symbol}_funding_.csv", FUNDING_HEADER, [f"{at_ms},0.0001" for at_ms in series])
        readings = table(folder, f"x_{symbol}_oi_.csv", OPEN_INTEREST_HEADER, [f"{at_ms},7" for at_ms in series])
        for kind, path in (("candles", candles), ("funding", rates), ("open_interest", readings)):
            given[kind] = (*given[kind], path)  # type: ignore[misc]
    return FileSettings(**{**given, **changes})  # type: ignore[arg-type]


def feed(folder: Path, clock: ManualClock | None = None, count: int = 6, **changes: object) -> FileFeed:
    """A feed of these files."""
    return FileFeed(settings(folder, count, **changes), clock or ManualClock())


def test_at_equal_times_candles_come_before_funding_before_open_interest_symbols_as_configured(tmp_path: Path) -> None:
    at_ms = FILE_START_MS + 2 * MINUTE_MS
    together = [fact for fact in market_only(facts(feed(tmp_path))) if fact.at_ms == at_ms]
    assert [(type(fact), fact.symbol) for fact in together] == [
        (kind, symbol)
        for kind in (CandleClosed, FundingRateSettled, OpenInterestObserved)
        for symbol in ("ETHUSDT", "BTCUSDT")
    ]


def test_times_never_go_back_and_nothing_is_lost(tmp_path: Path) -> None:
    served = market_only(facts(feed(tmp_path)))
    assert [fact.at_ms for fact in served] == sorted(fact.at_ms for fact in served)
    assert len(served) == 2 * 6 + 2 * 2 + 2 * 2


def test_a_candle_counts_at_its_close_and_keeps_its_numbers(tmp_path: Path) -> None:
    first = candles_only(facts(feed(tmp_path)))[0]
    assert first == CandleClosed(FILE_START_MS + MINUTE_MS, "ETHUSDT", MINUTE_MS, 50.0, 51.5, 48.75, 50.5, 10.0)
    assert (first.open_time_ms, first.timing) == (FILE_START_MS, Timing.ON_TIME)


def test_the_first_fact_is_the_connection(tmp_path: Path) -> None:
    connected = facts(feed(tmp_path, ManualClock(5_000)))[0]
    assert connected == FeedConnected(FILE_START_MS + MINUTE_MS, "file", 5_000, 0.0)


def test_candles_before_the_start_warm_up_and_those_from_the_end_on_are_not_read(tmp_path: Path) -> None:
    limited = feed(tmp_path, start_ms=FILE_START_MS + 2 * MINUTE_MS, end_ms=FILE_START_MS + 4 * MINUTE_MS)
    timings = [(candle.open_time_ms - FILE_START_MS, candle.timing) for candle in candles_only(facts(limited))][::2]
    assert timings == [
        (0, Timing.WARM_UP),
        (MINUTE_MS, Timing.WARM_UP),
        (2 * MINUTE_MS, Timing.ON_TIME),
        (3 * MINUTE_MS, Timing.ON_TIME),
    ]


def test_resuming_at_any_cut_gives_exactly_the_remaining_facts(tmp_path: Path) -> None:
    files = feed(tmp_path, start_ms=FILE_START_MS + 2 * MINUTE_MS)
    whole = market_only(facts(files))
    for cut in range(len(whole) + 1):
        resumed = market_only(facts(files, seen_after(whole[:cut]), FeedConnected(FILE_START_MS, "file", 0, 60.0)))
        assert resumed == whole[cut:], f"cut after {cut} facts"


def test_when_everything_was_seen_the_feed_ends_without_a_word(tmp_path: Path) -> None:
    files = feed(tmp_path)
    assert facts(files, seen_after(facts(files))) == []


def test_at_a_pace_each_minute_comes_when_it_is_due(tmp_path: Path) -> None:
    clock = ManualClock(1_000_000)
    served = batches(feed(tmp_path, clock, speed=30.0))
    assert [market_only(batch)[0].at_ms for batch in served] == minutes(6, FILE_START_MS + MINUTE_MS)
    assert clock.now_ms() == 1_000_000 + 5 * 2_000
    assert all(seconds == pytest.approx(2.0) for seconds in clock.slept_seconds)


def test_the_warm_up_is_not_waited_for_and_the_pace_begins_with_its_own_connection(tmp_path: Path) -> None:
    clock = ManualClock(0)
    served = facts(feed(tmp_path, clock, start_ms=FILE_START_MS + 3 * MINUTE_MS, speed=60.0))
    connections = [fact for fact in served if isinstance(fact, FeedConnected)]
    assert [(fact.at_ms - FILE_START_MS, fact.wall_at_ms, fact.speed) for fact in connections] == [
        (MINUTE_MS, 0, 0.0),
        (4 * MINUTE_MS, 0, 60.0),
    ]
    assert clock.now_ms() == 2_000


def test_a_reader_that_was_held_up_gets_the_overdue_minutes_together(tmp_path: Path) -> None:
    clock = ManualClock(0)

    async def read() -> list[int]:
        taken = []
        async for batch in feed(tmp_path, clock, speed=60.0).facts({}, None):
            taken.append(len(candles_only(batch)) // 2)
            if len(taken) == 1:
                clock.advance(3.0)
        return taken

    assert asyncio.run(read()) == [1, 3, 1, 1]


def test_batches_are_filled_up_at_full_speed_but_never_above_the_limit(tmp_path: Path) -> None:
    served = batches(feed(tmp_path, count=1_000))
    assert max(map(len, served)) <= BATCH_FACTS_MAX
    assert min(map(len, served[:-1])) > BATCH_FACTS_MAX - 6


def test_refusals_of_all_files_are_gathered(tmp_path: Path) -> None:
    given = settings(tmp_path)
    path = Path(given.candles[1])
    path.write_text(path.read_text() + "rubbish\n")
    gathered = FileFeed(given, ManualClock()).refusals
    assert gathered.counts == {RefusalReason.WRONG_FIELD_COUNT: 1}
    assert (gathered.kept[0].source, gathered.kept[0].line) == (str(path), 8)


def test_contracts_come_in_configured_order_with_their_groups(tmp_path: Path) -> None:
    contracts = feed(tmp_path, groups={"BTCUSDT": "major"}).contracts()
    assert [(contract.symbol, contract.group) for contract in contracts] == [
        ("ETHUSDT", "crypto"),
        ("BTCUSDT", "major"),
    ]


def test_settlements_without_candles_and_mixed_timeframes_are_refused_by_name(tmp_path: Path) -> None:
    candles = table(tmp_path, "x_BTCUSDT_1m_.csv", CANDLE_HEADER, candle_rows(minutes(3)))
    hourly = table(tmp_path, "x_ETHUSDT_1h_.csv", CANDLE_HEADER, candle_rows(minutes(3, step_ms=60 * MINUTE_MS)))
    rates = table(tmp_path, "x_SOLUSDT_funding_.csv", FUNDING_HEADER, [f"{FILE_START_MS},0.1"])
    for wrong, reason in (
        (FileSettings(candles=(candles,), funding=(rates,)), f"{rates}: there are no candles of its symbol SOLUSDT"),
        (FileSettings(candles=(candles, hourly)), f"{hourly}: timeframe 3600000 ms"),
        (FileSettings(candles=()), "candles of at least one symbol are needed"),
    ):
        with pytest.raises(MarketDataError, match=reason):
            FileFeed(wrong, ManualClock())


def test_real_files_of_three_symbols_are_served_in_order() -> None:
    folder = shared_data()
    name = "binance_{}USDT_{}_2024-12-31_2025-09-30.csv.gz"
    coins = ("SOL", "BTC", "ETH")
    given = FileSettings(
        candles=tuple(folder / name.format(coin, "5m") for coin in coins),
        funding=tuple(folder / name.format(coin, "funding") for coin in coins),
    )
    served = market_only(facts(FileFeed(given, ManualClock())))
    ranks = [(fact.at_ms, isinstance(fact, FundingRateSettled), coins.index(fact.symbol[:3])) for fact in served]
    assert ranks == sorted(ranks)
    assert len(served) == 3 * 78_912 + 3 * 822
