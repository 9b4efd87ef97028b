"""The live feed through ccxt, against the stand-in: the same session, so the same faults end the same way."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pytest
from msgspec.structs import replace

from papertape.engine.feeds.ccxt.capabilities import has_open_interest, has_tiers, is_streamed
from papertape.engine.feeds.ccxt.library import exchange_class
from papertape.engine.feeds.ccxt.markets import UNITS
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import ConfigError, UsageError
from papertape.events.facts import (
    ContractDelisted,
    ContractListed,
    FundingRateSettled,
    OpenInterestObserved,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.units import MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.script import ALL
from tests.feeds.bitget_runs import (
    BTC,
    ETH,
    NOW_MS,
    START_MS,
    THREE,
    WatchedTwin,
    assert_candles_are_the_history,
    assert_readings_are_true,
    assert_settlements_are_the_truth,
    assert_within_limits,
    market_of,
    order_of,
    watched,
)
from tests.feeds.ccxt_runs import feed_of_exchange, through_ccxt
from tests.feeds.test_bitget_faults import (
    AT_MINUTE,
    AT_MS,
    NOTICED_S_MAX,
    RECONNECTS,
    is_declared,
    throw,
    undeclared,
)
from tests.feeds.test_bitget_feed import AT_0750, on
from tests.support import REPOSITORY

UNSEEN: Final = (BitgetFault.OUT_OF_ORDER,)
"""ccxt keeps only the last version of a row: an older one that follows a newer one cannot be told from it."""
REPEATED: Final = (BitgetFault.REST_RESET,)
"""aiohttp sends a request again at once if a connection that it had kept was reset."""
BY_REAL_TIME: Final = (BitgetFault.NO_PONG,)
"""ccxt waits for pongs in real time, which does not pass here."""


@pytest.mark.parametrize("fault", [fault for fault in ALL if fault not in UNSEEN])
def test_a_fault_is_noticed_and_repaired_or_declared_and_nothing_is_lost(fault: BitgetFault) -> None:
    seen = watched(minutes=14, then=[(AT_MINUTE, throw(fault))], through=through_ccxt)
    assert seen.twin.faults.counts[fault] > 0
    assert_candles_are_the_history(seen)
    assert_readings_are_true(seen)
    if fault not in REPEATED:
        assert_within_limits(seen.twin)
    assert undeclared(seen) == []
    soon_ms = AT_MS + int(NOTICED_S_MAX * 1_000)
    if fault in RECONNECTS and fault not in BY_REAL_TIME:
        assert any(AT_MS < at_ms <= soon_ms for at_ms in seen.twin.attempts_ms), "no new connection"
    assert seen.candles()[-1].at_ms >= START_MS + 13 * MINUTE_MS
    assert not is_declared(seen, BTC, seen.told[-1].told_ms)
    assert seen.twin.pages("candles", from_ms=START_MS + 11 * MINUTE_MS) == [], "the streams are well"


def test_a_calm_market_is_told_in_the_binding_order_and_on_time_from_the_streams_alone() -> None:
    seen = watched(minutes=20, start_ms=AT_0750, through=through_ccxt)
    from_ms = NOW_MS + 65 * MINUTE_MS
    assert_candles_are_the_history(seen, from_ms=from_ms)
    assert_settlements_are_the_truth(seen, THREE, from_ms, AT_0750 + 20 * MINUTE_MS)
    assert_readings_are_true(seen)
    assert order_of(seen).misplaced == 0
    assert len(seen.of(FundingRateSettled)) == 3 and len(seen.of(OpenInterestObserved)) == 3 * 3
    assert max(seen.delays_s()) <= 4.0
    assert seen.twin.pages("candles", from_ms=AT_0750 + MINUTE_MS) == []
    assert seen.feed.refusals.total == 0
    assert_within_limits(seen.twin)


def test_contracts_are_those_that_the_exchange_specifies() -> None:
    seen = watched(minutes=1, warm_up_minutes=1, through=through_ccxt)
    own = watched(minutes=1, warm_up_minutes=1)
    contracts: list[list[ContractListed]] = [one.of(ContractListed) for one in (seen, own)]
    through, expected = ([replace(one, at_ms=0) for one in listed] for listed in contracts)
    assert len(through) == 3 and through == expected


def test_an_exchange_without_streams_is_asked_for_every_candle_in_time() -> None:
    changes = {"has": {"watchOHLCV": False}}
    seen = watched(minutes=12, through=partial(through_ccxt, changes=changes))
    assert_candles_are_the_history(seen)
    assert {candle.timing for candle in seen.candles()} == {Timing.WARM_UP, Timing.ON_TIME}
    assert max(seen.delays_s()) <= 5.0
    assert seen.twin.attempts_ms == type(seen.twin.attempts_ms)(), "no socket was opened"
    assert_within_limits(seen.twin)


def test_an_exchange_without_open_interest_is_not_asked_for_it() -> None:
    changes = {"has": {"fetchOpenInterest": False}}
    seen = watched(minutes=12, through=partial(through_ccxt, changes=changes))
    assert_candles_are_the_history(seen)
    assert seen.of(OpenInterestObserved) == [] and seen.twin.statistics.requests["open-interest"] == 0


def test_an_unknown_symbol_ends_the_start_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"feed\.ccxt\.symbols: BTCUSD .*did you mean BTCUSDT"):
        watched(minutes=2, market=market_of(THREE), symbols=("BTCUSD", ETH), through=through_ccxt)


def test_a_market_without_a_precision_costs_only_its_own_symbol() -> None:
    odd: dict[str, Any] = {"priceEndStep": "0"}

    def repair(twin: WatchedTwin) -> None:
        twin.faults.off(BitgetFault.ODD_CONTRACT)

    def break_row(twin: WatchedTwin) -> None:
        twin.faults.on(BitgetFault.ODD_CONTRACT, symbol=ETH, value=odd)

    seen = watched(minutes=12, before=break_row, then=[(2.0, repair)], through=through_ccxt)
    (suspended,), (resumed,) = seen.of(SymbolSuspended), seen.of(SymbolResumed)
    assert suspended.symbol == resumed.symbol == ETH and "precision.price" in suspended.reason
    assert_candles_are_the_history(seen, (BTC,))


def test_a_contract_that_is_listed_no_more_is_told_as_delisted() -> None:
    def end(twin: WatchedTwin) -> None:
        twin.faults.on(BitgetFault.DELISTED, symbol=ETH)
        twin.faults.on(BitgetFault.SILENT_SYMBOL, symbol=ETH)

    seen = watched(minutes=16, then=[(2.0, end)], through=through_ccxt)
    (delisted,) = seen.of(ContractDelisted)
    assert delisted.symbol == ETH
    assert_candles_are_the_history(seen, (BTC,))


def test_a_contract_that_is_closed_for_trading_is_suspended() -> None:
    closed = on(BitgetFault.MAINTENANCE, symbol=ETH, value="off")
    seen = watched(minutes=8, then=[(1.0, closed)], through=through_ccxt)
    suspended = seen.of(SymbolSuspended)
    assert [one.symbol for one in suspended] == [ETH] and "not open for trading" in suspended[0].reason


@pytest.mark.parametrize(
    ("exchange", "error", "text"),
    [
        ("nowhere", UsageError, "ccxt does not know it"),
        ("bybitt", UsageError, "did you mean bybit"),
        ("poloniex", ConfigError, r"poloniex has no past funding settlements \(fetchFundingRateHistory\) in ccxt"),
        ("phemex", ConfigError, r"phemex has no time \(fetchTime\)"),
    ],
)
def test_an_exchange_that_lacks_what_is_needed_is_refused_by_name(exchange: str, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        feed_of_exchange(exchange, SystemClock())


@pytest.mark.parametrize("exchange", ["binanceusdm", "bybit", "okx", "hyperliquid", "gate", "kucoinfutures", "mexc"])
def test_the_large_exchanges_have_what_is_needed(exchange: str) -> None:
    feed = feed_of_exchange(exchange, SystemClock())
    assert feed.name == exchange
    lacks = feed.client(SystemClock()).lacks
    assert any("open interest" in text for text in lacks) == (exchange in ("gate", "mexc"))
    assert any("streams no candles" in text for text in lacks) == (exchange == "kucoinfutures")


def test_the_table_of_the_docs_says_what_ccxt_offers() -> None:
    text = (REPOSITORY / "docs" / "live-feed.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == 9
    for name, candles, interest, tiers, volumes in rows:
        exchange = exchange_class(name.strip("`"), "")()
        assert candles == ("streamed" if is_streamed(exchange) else "requested"), name
        assert interest == ("requested" if has_open_interest(exchange) else "none"), name
        assert tiers == ("published" if has_tiers(exchange) else "assumed"), name
        in_contracts = exchange.id in UNITS and UNITS[exchange.id].volume_in_contracts
        assert volumes == ("in contracts, converted" if in_contracts else "in coins"), name
