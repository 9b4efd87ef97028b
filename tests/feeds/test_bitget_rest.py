"""The REST client: what it understands of Bitget's answers, and what it refuses row by row and why."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.feeds.candle_row import CandleRow
from papertape.engine.feeds.live.exchange import ContractBody, ContractList, FundingSettlement, OpenInterestReading
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ConfigError, ExchangeUnreachable, UsageError
from tests.feeds.http_script import T0_MS, Parts, Script, http, rows, success, timed, used
from tests.sandbox.virtual_time import VirtualClock, run
from tests.support import needs_data, path_of

MINUTE_MS = 60_000
SYMBOL = "BTCUSDT"

# ---------------------------------------------------------------- what the exchange wrote

BTC = ContractBody("BTCUSDT", 1, 10, 1, 10_000, 5.0, 0.0002, 0.0006, "normal")
ETH = ContractBody("ETHUSDT", 1, 100, 1, 100, 5.0, 0.0002, 0.0006, "normal")
XRP = ContractBody("XRPUSDT", 1, 10_000, 1, 1, 5.0, 0.0002, 0.0006, "normal")
OLD_BTC = ContractBody("BTCUSDT", 1, 10, 1, 100, 5.0, 0.0004, 0.0006, "normal")
OLD_CANDLES = [
    CandleRow(1_695_835_800_000, 26210.5, 26210.5, 26194.5, 26194.5, 26.26),
    CandleRow(1_695_836_100_000, 26194.5, 26194.5, 26171.0, 26171.0, 17.98),
]


def all_candles(rest: BitgetRest) -> Awaitable[list[CandleRow]]:
    return rest.candles(SYMBOL, 1_695_835_800_000, 1_695_836_400_000)


def new_candles(rest: BitgetRest) -> Awaitable[list[CandleRow]]:
    return rest.candles(SYMBOL, 1_790_358_660_000, 1_790_358_960_000)


RECORDED: list[tuple[str, Callable[[BitgetRest], Awaitable[Any]] | None, Any]] = [
    ("query-position-lever", lambda rest: rest.tiers(SYMBOL), 12),
    ("contracts", lambda rest: rest.contracts(), ContractList({"BTCUSDT": BTC, "ETHUSDT": ETH, "XRPUSDT": XRP}, {})),
    ("history-candles", new_candles, 5),
    ("history-fund-rate", lambda rest: rest.settlements(SYMBOL, 1_790_236_800_000), 5),
    ("contracts", lambda rest: rest.contracts(), ContractList({"BTCUSDT": OLD_BTC}, {})),
    ("current-fund-rate", lambda rest: rest.next_settlement_ms(SYMBOL), RefusalReason.WRONG_SHAPE),
    (
        "history-fund-rate",
        lambda rest: rest.settlements(SYMBOL, 0),
        [FundingSettlement(1_695_715_200_000, 0.000013), FundingSettlement(1_695_776_400_000, 0.0005)],
    ),
    ("history-candles", all_candles, OLD_CANDLES),
    ("history-mark-candles", lambda rest: rest.mark_candles(SYMBOL, 1_695_835_800_000, 1_695_836_400_000), OLD_CANDLES),
    ("candles", all_candles, OLD_CANDLES),
    ("funding-time", lambda rest: rest.next_settlement_ms(SYMBOL), RefusalReason.WRONG_SHAPE),
    ("open-interest", lambda rest: rest.open_interest(SYMBOL), OpenInterestReading(1_695_796_781_616, 34278.06)),
    ("symbol-price", lambda rest: rest.open_interest(SYMBOL), RefusalReason.WRONG_SHAPE),
    ("fills", all_candles, RefusalReason.WRONG_SHAPE),
    ("ticker", lambda rest: rest.tiers(SYMBOL), RefusalReason.WRONG_SHAPE),
    ("query-position-lever", lambda rest: rest.tiers(SYMBOL), ((0.0, 0.004), (50_000.0, 0.005))),
]
"""Of each line of the file: the path it answers, a call that gets it, and what comes of it.

The numbers are how many rows. The documentation's example of `current-fund-rate` is older than `nextUpdate`; of
four paths nothing is asked, so their bodies are wrong answers to something else.
"""


@needs_data
@pytest.mark.parametrize("line", range(len(RECORDED)))
def test_a_recorded_body_is_understood_or_refused(line: int) -> None:
    lines = path_of("bitget/rest_v2_responses.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(RECORDED)
    name, call, expected = RECORDED[line]
    recorded = json.loads(lines[line])
    assert recorded["request"].split("?")[0].endswith(f"/{name}")
    refusals, later_ms = RefusalLog(), T0_MS + 10 * 86_400_000

    def answer(path: str, _params: dict[str, str]) -> Parts:
        return success({"serverTime": str(later_ms)}) if path.endswith("/time") else http(recorded["body"])

    async def use(rest: BitgetRest, _script: Script) -> Any:
        assert call is not None
        return await call(rest)

    if isinstance(expected, RefusalReason) and name != "fills":
        with pytest.raises(ExchangeUnreachable):
            used(answer, use, refusals)
        assert expected in refusals.counts
        return
    found = used(answer, use, refusals)
    if isinstance(expected, RefusalReason):
        assert found == [] and set(refusals.counts) == {expected}
        return
    assert (len(found) if isinstance(expected, int) else found) == expected
    assert refusals.total == 0


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([str(T0_MS - MINUTE_MS), 100.0, "100", "100", "100", "1", "1"], RefusalReason.WRONG_SHAPE),
        ([T0_MS - MINUTE_MS, "100", "100", "100", "100", "1", "1"], RefusalReason.WRONG_SHAPE),
        ({"ts": "1"}, RefusalReason.WRONG_SHAPE),
        (None, RefusalReason.WRONG_SHAPE),
        ([str(T0_MS - MINUTE_MS), "100", "100", "100", "100"], RefusalReason.WRONG_FIELD_COUNT),
        ([str(T0_MS - MINUTE_MS + 1), "100", "100", "100", "100", "1"], RefusalReason.OFF_GRID),
        ([str(T0_MS - MINUTE_MS), "100", "99", "101", "100", "1"], RefusalReason.HIGH_BELOW_LOW),
        ([str(T0_MS - MINUTE_MS), "NaN", "100", "100", "100", "1"], RefusalReason.NOT_FINITE),
        (rows(T0_MS - 2 * MINUTE_MS, price="101")[0], RefusalReason.DUPLICATE),
    ],
)
def test_a_row_that_is_no_candle_is_refused_and_the_others_stand(row: Any, reason: RefusalReason) -> None:
    refusals, open_ms = RefusalLog(), T0_MS - 2 * MINUTE_MS

    async def use(rest: BitgetRest, _script: Script) -> list[CandleRow]:
        return await rest.candles(SYMBOL, T0_MS - 2 * MINUTE_MS, T0_MS - MINUTE_MS)

    found = used(timed(lambda _path, _params: success([*rows(open_ms), row])), use, refusals)
    assert [candle.open_time_ms for candle in found] == [open_ms]
    assert refusals.counts == {reason: 1}
    assert refusals.kept[0].line == 1
    assert refusals.kept[0].source.startswith("GET /api/v2/mix/market/candles?symbol=BTCUSDT&productType=USDT-FUTURES")


def contract(**changes: Any) -> dict[str, Any]:
    """A row of `contracts`."""
    return {
        "symbol": "XUSDT", "symbolType": "perpetual", "symbolStatus": "normal", "priceEndStep": "5", "pricePlace": "1",
        "sizeMultiplier": "10", "minTradeUSDT": "5", "makerFeeRate": "0.0002", "takerFeeRate": "0.0006",
        "fundInterval": "4", "more": [1],
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason", "fault"),
    [
        ({"pricePlace": 1}, RefusalReason.WRONG_SHAPE, "pricePlace 1"),
        ({"pricePlace": "-1"}, RefusalReason.NOT_A_NUMBER, "pricePlace '-1'"),
        ({"pricePlace": "99"}, RefusalReason.INCONSISTENT, "pricePlace '99'"),
        ({"priceEndStep": "0"}, RefusalReason.NOT_POSITIVE, "priceEndStep '0'"),
        ({"priceEndStep": None}, RefusalReason.WRONG_SHAPE, "priceEndStep None"),
        ({"sizeMultiplier": "0"}, RefusalReason.NOT_POSITIVE, "sizeMultiplier '0'"),
        ({"sizeMultiplier": "1e-30"}, RefusalReason.INCONSISTENT, "sizeMultiplier '1e-30'"),
        ({"sizeMultiplier": "nan"}, RefusalReason.NOT_FINITE, "sizeMultiplier 'nan'"),
        ({"minTradeUSDT": ""}, RefusalReason.NOT_A_NUMBER, "minTradeUSDT ''"),
        ({"minTradeUSDT": "-5"}, RefusalReason.INCONSISTENT, "minTradeUSDT '-5'"),
        ({"symbolStatus": ["x"]}, RefusalReason.WRONG_SHAPE, "symbolStatus ['x']"),
    ],
)
def test_a_contract_that_cannot_be_read_is_named_with_its_field(
    changes: dict[str, Any], reason: RefusalReason, fault: str
) -> None:
    found, refusals = listed_contracts(contract(**changes))
    assert found == ContractList({"YUSDT": CONTRACT}, {"XUSDT": fault})
    assert refusals.counts == {reason: 1}


@pytest.mark.parametrize("name", ["pricePlace", "priceEndStep", "sizeMultiplier", "minTradeUSDT", "symbolStatus"])
def test_a_contract_without_a_field_is_named_with_it(name: str) -> None:
    row = contract()
    del row[name]
    assert listed_contracts(row)[0].unreadable == {"XUSDT": f"{name} missing"}


@pytest.mark.parametrize(
    ("changes", "fees"),
    [
        ({"fundInterval": "0"}, (0.0002, 0.0006)),
        ({"fundInterval": "2.5"}, (0.0002, 0.0006)),
        ({"fundInterval": ""}, (0.0002, 0.0006)),
        ({"takerFeeRate": "0.6"}, (0.0002, None)),
        ({"makerFeeRate": "", "takerFeeRate": []}, (None, None)),
    ],
)
def test_a_field_that_nothing_needs_costs_no_contract(
    changes: dict[str, Any], fees: tuple[float | None, float | None]
) -> None:
    found, refusals = listed_contracts(contract(**changes))
    assert found.unreadable == {} and refusals.counts == {}
    assert (found.readable["XUSDT"].maker_fee_fraction, found.readable["XUSDT"].taker_fee_fraction) == fees


def test_a_contract_that_stands_there_twice_counts_once() -> None:
    found, refusals = listed_contracts(contract(symbol="YUSDT"))
    assert found == ContractList({"YUSDT": CONTRACT}, {})
    assert refusals.counts == {RefusalReason.DUPLICATE: 1}


CONTRACT = ContractBody("YUSDT", 1, 2, 10, 1, 5.0, 0.0002, 0.0006, "normal")


def listed_contracts(row: dict[str, Any]) -> tuple[ContractList, RefusalLog]:
    """The contracts of an answer that has this row between two good ones, one of them with a day of delivery."""
    refusals = RefusalLog()
    given = [contract(symbol="YUSDT"), row, contract(symbol="ZUSDT_261226", symbolType="delivery")]

    async def use(rest: BitgetRest, _script: Script) -> ContractList:
        return await rest.contracts()

    return used(lambda _path, _params: success(given), use, refusals), refusals


def tier(start: str, fraction: str, symbol: str = SYMBOL) -> dict[str, str]:
    """A row of `query-position-lever`."""
    return {"symbol": symbol, "startUnit": start, "endUnit": "9", "leverage": "5", "keepMarginRate": fraction}


@pytest.mark.parametrize(
    "given",
    [
        [],
        [tier("10", "0.01")],
        [tier("0", "0.01"), tier("0", "0.02")],
        [tier("0", "0.02"), tier("10", "0.01")],
        [tier("0", "0.01"), tier("10", "1")],
        [tier("0", "0.01"), tier("10", "x")],
        [tier("0", "0.01"), tier("10", "0.02", "ETHUSDT")],
        [tier("0", "0.01"), {"symbol": SYMBOL}],
    ],
)
def test_a_table_of_tiers_counts_only_when_it_is_whole(given: list[dict[str, str]]) -> None:
    async def use(rest: BitgetRest, _script: Script) -> Any:
        return await rest.tiers(SYMBOL)

    with pytest.raises(ExchangeUnreachable):
        used(lambda _path, _params: success(given), use)
    good = success([tier("10", "0.02"), tier("0", "0.01")])
    assert used(lambda _path, _params: good, use) == ((0.0, 0.01), (10.0, 0.02))


@pytest.mark.parametrize(
    ("call", "data"),
    [
        (lambda rest: rest.next_settlement_ms(SYMBOL), [{"symbol": "ETHUSDT", "nextUpdate": "1790006400000"}]),
        (
            lambda rest: rest.open_interest(SYMBOL),
            {"openInterestList": [{"symbol": "ETHUSDT", "size": "1"}], "ts": "1790006400000"},
        ),
        (lambda rest: rest.tiers(SYMBOL), [tier("0", "0.01", "ETHUSDT")]),
    ],
)
def test_an_answer_about_another_symbol_is_refused(call: Callable[[BitgetRest], Awaitable[Any]], data: Any) -> None:
    refusals = RefusalLog()
    with pytest.raises(ExchangeUnreachable):
        used(lambda _path, _params: success(data), lambda rest, _script: call(rest), refusals)
    assert refusals.counts[RefusalReason.WRONG_SYMBOL] == 1


def test_funding_and_open_interest_are_read() -> None:
    def answer(path: str, _params: dict[str, str]) -> Parts:
        if path.endswith("open-interest"):
            return success({"openInterestList": [{"symbol": SYMBOL, "size": "12.5"}], "ts": "1790000100007"})
        return success([{"symbol": SYMBOL, "fundingRate": "0.0001", "nextUpdate": "1790006400000"}])

    async def use(rest: BitgetRest, _script: Script) -> tuple[int, OpenInterestReading]:
        return await rest.next_settlement_ms(SYMBOL), await rest.open_interest(SYMBOL)

    assert used(answer, use) == (1_790_006_400_000, OpenInterestReading(1_790_000_100_007, 12.5))


# ---------------------------------------------------------------- limits


def test_a_timeframe_that_is_not_served_is_refused_at_once() -> None:
    async def main(clock: VirtualClock) -> None:
        with pytest.raises(ConfigError, match="1m 5m 15m 1H"):
            BitgetRest(BitgetSettings(timeframe_ms=123), clock, RefusalLog())

    run(main)


def test_a_range_that_is_too_long_is_refused() -> None:
    async def use(rest: BitgetRest, _script: Script) -> list[CandleRow]:
        return await rest.candles(SYMBOL, T0_MS - 50_002 * MINUTE_MS, T0_MS)

    with pytest.raises(UsageError, match="split the range"):
        used(timed(lambda _path, _params: success([])), use)
