"""The simulated market is a function of seed, symbol and time, and has in it what strategies live on."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from papertape.engine.feeds.sim.episodes import CRASH_BLOCK_DAYS, EXTREME_RATE
from papertape.engine.feeds.sim.market import KNOWN, Block, SimMarket, sim_symbol
from papertape.events.units import DAY_MS

DAY = 20_089
"""2025-01-01."""
SEED = 7
DIGEST = """
from tests.feeds.test_sim_market import digest
print(digest())
"""
KNOWN_DIGEST = "54596d50ae3ad7ea76215dce476b5bacce7d5f4eccdc729489a871ba06f7da60"


def digest() -> str:
    """A print of one day of two symbols, its rates and outages."""
    market = SimMarket(SEED)
    days = [market.block(symbol, DAY) for symbol in ("BTCUSDT", "NEWUSDT")]
    numbers = [(day.open, day.high, day.low, day.close, day.volume, day.open_interest) for day in days]
    rates = [market.funding_rate("BTCUSDT", DAY * 3 + number) for number in range(30)]
    outages = [str(market.outage(DAY * DAY_MS + hour * 3_600_000)) for hour in range(2_000)]
    return sha256(repr((numbers, rates, outages)).encode()).hexdigest()


def rising(closes: list[float], minutes: int) -> list[float]:
    """Changes over this many minutes, as fractions."""
    return [after / before - 1.0 for before, after in zip(closes, closes[minutes:], strict=False)]


@pytest.fixture(scope="module")
def month() -> list[Block]:
    """Thirty days of every symbol."""
    market = SimMarket(SEED)
    return [market.block(symbol, DAY + number) for symbol in KNOWN for number in range(30)]


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_the_market_is_the_same_in_every_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DIGEST]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment)
    assert done.stdout.strip() == digest()


def test_the_market_of_a_seed_stays_what_it_was() -> None:
    """A change here is a new market: logs written on the old one would go on with foreign prices."""
    assert digest() == KNOWN_DIGEST


def test_another_seed_is_another_market() -> None:
    assert SimMarket(SEED).block("BTCUSDT", DAY).close != SimMarket(SEED + 1).block("BTCUSDT", DAY).close


def test_a_day_reached_directly_equals_the_day_reached_in_sequence() -> None:
    walked = SimMarket(SEED)
    for number in range(80):
        last = walked.block("ETHUSDT", DAY + number)
    assert SimMarket(SEED).block("ETHUSDT", DAY + 79) == last
    assert walked.block("ETHUSDT", DAY) == SimMarket(SEED).block("ETHUSDT", DAY)


def test_days_join_without_a_jump() -> None:
    market = SimMarket(SEED)
    for number in range(20):
        assert market.block("SOLUSDT", DAY + number).close[-1] == market.block("SOLUSDT", DAY + number + 1).open[0]


@pytest.mark.system
def test_candles_are_valid_and_on_the_tick_grid(month: list[Block]) -> None:
    for place, block in enumerate(month):
        numerator, denominator = list(KNOWN.values())[place // 30].tick
        rows = zip(block.open, block.high, block.low, block.close, block.volume, strict=True)
        for open_, high, low, close, volume in rows:
            assert 0.0 < low <= min(open_, close) <= max(open_, close) <= high
            assert volume > 0.0
            for price in (open_, high, low, close):
                assert round(price * denominator / numerator) * numerator / denominator == price


@pytest.mark.system
def test_prices_stay_near_their_listing_for_years() -> None:
    market = SimMarket(SEED)
    for symbol, listing in KNOWN.items():
        for year in range(-16, 32, 4):
            price = market.block(symbol, DAY + year * 365).close[720]
            assert listing.price_usdt / 4.0 < price < listing.price_usdt * 4.0


@pytest.mark.system
def test_volume_spikes_come_with_moves(month: list[Block]) -> None:
    for block in month:
        fives = [sum(block.volume[at : at + 5]) for at in range(0, 1_440, 5)]
        spikes = [at for at in range(20, 288) if fives[at] > 2.0 * sum(fives[at - 19 : at + 1]) / 20.0]
        assert len(spikes) < 60
    assert sum(max(block.volume) > 3.0 * sum(block.volume) / 1_440 for block in month) > len(month) // 2


def test_funding_knows_extreme_runs_and_normal_times() -> None:
    market = SimMarket(SEED)
    rates = [market.funding_rate(symbol, DAY * 3 + number) for symbol in KNOWN for number in range(300)]
    extreme = [abs(rate) >= EXTREME_RATE for rate in rates]
    assert 0.2 < sum(extreme) / len(rates) < 0.6
    assert 0.2 < sum(abs(rate) < 0.0001 for rate in rates) / len(rates) < 0.6
    assert min(rates) < -EXTREME_RATE
    assert sum(before and after for before, after in pairwise(extreme)) > sum(extreme) // 2


def test_open_interest_builds_up_and_falls(month: list[Block]) -> None:
    changes = [change for block in month for change in rising(block.open_interest, 12)]
    assert 0.02 < sum(change >= 0.015 for change in changes) / len(changes) < 0.3
    assert min(changes) < -0.03


def test_a_crash_takes_all_symbols_and_their_open_interest_with_it() -> None:
    market = SimMarket(SEED)
    fallen = []
    for day in range(DAY, DAY + 5 * CRASH_BLOCK_DAYS):
        blocks = [market.block(symbol, day) for symbol in ("BTCUSDT", "DOGEUSDT")]
        if max(min(rising(block.close, 30)) for block in blocks) < -0.025:
            fallen.append(max(min(rising(block.open_interest, 6)) for block in blocks))
    assert 3 <= len(fallen) <= 7
    assert max(fallen) < -0.03


def test_symbols_move_together_but_not_alike() -> None:
    market = SimMarket(SEED)
    agree = total = 0
    for number in range(20):
        one, other = (rising(market.block(symbol, DAY + number).close, 60) for symbol in ("BTCUSDT", "ETHUSDT"))
        agree += sum(a * b > 0.0 for a, b in zip(one, other, strict=True))
        total += len(one)
    assert 0.55 < agree / total < 0.9


def test_outages_are_rare_short_and_whole_minutes() -> None:
    market = SimMarket(SEED)
    minutes = [DAY * DAY_MS + number * 60_000 for number in range(30 * 1_440)]
    found = {outage for at_ms in minutes if (outage := market.outage(at_ms)) is not None}
    assert 4 <= len(found) <= 10
    for outage in found:
        assert 5 <= (outage.back_ms - outage.lost_ms) / 60_000 <= 40
        assert outage.lost_ms % 60_000 == outage.back_ms % 60_000 == 0


@pytest.mark.parametrize("every_hours", [2, 6])
def test_outages_come_as_often_as_asked_and_lie_within_their_span(every_hours: int) -> None:
    market, span_ms = SimMarket(SEED, every_hours), every_hours * 3_600_000
    minutes = [DAY * DAY_MS + number * 60_000 for number in range(10 * 1_440)]
    found = {outage for at_ms in minutes if (outage := market.outage(at_ms)) is not None}
    spans = 10 * 24 // every_hours
    assert 0.65 * spans <= len(found) <= 0.95 * spans
    assert all(one.lost_ms // span_ms == one.back_ms // span_ms for one in found)


def test_a_market_without_outages_has_none() -> None:
    assert not any(SimMarket(SEED, 0).outage(DAY * DAY_MS + number * 60_000) for number in range(10 * 1_440))


def test_an_unknown_symbol_gets_a_price_and_a_grid_from_its_name() -> None:
    listing = sim_symbol(SEED, "NEWUSDT")
    assert listing == sim_symbol(SEED, "NEWUSDT")
    assert listing.price_usdt != sim_symbol(SEED, "OTHERUSDT").price_usdt
    assert 5e3 < listing.price_usdt * listing.tick[1] / listing.tick[0] < 2e6
    assert 1.0 <= listing.price_usdt * listing.lot[0] / listing.lot[1] <= 10.0
