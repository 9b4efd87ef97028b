"""Parse the bodies of Bitget's REST responses into types, and refuse invalid rows with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, field

from papertape.engine.feeds.candle_row import CandleRow, candle_row, parse_number, time_of
from papertape.engine.feeds.live.exchange import (
    FEE_FRACTION_MAX,
    FUNDING_RATE_MAX,
    STEP_PARTS_MAX,
    ContractBody,
    ContractList,
    FundingSettlement,
    OpenInterestReading,
)
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ExchangeUnreachable
from papertape.events.units import MINUTE_MS

PERPETUAL: Final = "perpetual"
PRICE_PLACES_MAX: Final = 12
FAULT_CHARS_MAX: Final = 60
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: no JSON or another shape; bytes that are no text; endless brackets."""

T = TypeVar("T")


class ResponseBody(Struct, frozen=True):
    """The `data` of a response, its request, and where refused rows are counted."""

    source: str
    data: Raw
    refusals: RefusalLog
    sent_ms: int = 0
    received_ms: int = 0
    answered_ms: int | None = None
    """When the response was made, by the exchange's own clock."""

    def refuse(self, line: int, reason: RefusalReason, text: object) -> None:
        """Count a refused row."""
        shown = bytes(text).decode("utf-8", "replace") if isinstance(text, Raw) else str(text)
        self.refusals.refuse(self.source, line, reason, shown)

    def empty_answer_error(self, reason: RefusalReason) -> ExchangeUnreachable:
        """Return the error for a response without the requested data, and count it as refused."""
        self.refuse(0, reason, self.data)
        return ExchangeUnreachable(f"{self.source}: the answer does not hold the requested data ({reason.value})")


class _TimeBody(Struct, rename="camel"):
    server_time: str


class _ContractRow(Struct, rename="camel", kw_only=True):
    symbol: str
    symbol_status: Any = UNSET
    price_end_step: Any = UNSET
    price_place: Any = UNSET
    size_multiplier: Any = UNSET
    min_trade_usdt: Any = field(default=UNSET, name="minTradeUSDT")
    maker_fee_rate: Any = UNSET
    taker_fee_rate: Any = UNSET
    symbol_type: Any = PERPETUAL


class _TierRow(Struct, rename="camel"):
    symbol: str
    start_unit: str
    keep_margin_rate: str


class _SettlementRow(Struct, rename="camel"):
    symbol: str
    funding_rate: str
    funding_time: str


class _FundingRow(Struct, rename="camel"):
    symbol: str
    next_update: str


class _OpenInterestRow(Struct, rename="camel"):
    symbol: str
    size: str


class _OpenInterestBody(Struct, rename="camel"):
    open_interest_list: list[Raw]
    ts: str


def convert_data(body: ResponseBody, kind: type[T]) -> T:
    """Return `data` as `kind`. Raise ExchangeUnreachable if it is something else."""
    try:
        return msgspec.json.decode(body.data, type=kind)
    except UNREADABLE:
        raise body.empty_answer_error(RefusalReason.WRONG_SHAPE) from None


def rows_of(
    body: ResponseBody, raws: Sequence[Raw], kind: type[T], symbol: str | None = None
) -> Iterator[tuple[int, T]]:
    """Yield the rows that are a `kind` (of this symbol, if one is named) with their index; refuse the others."""
    for line, raw in enumerate(raws):
        try:
            row = msgspec.json.decode(raw, type=kind)
        except UNREADABLE:
            body.refuse(line, RefusalReason.WRONG_SHAPE, raw)
            continue
        if symbol is not None and getattr(row, "symbol", None) != symbol:
            body.refuse(line, RefusalReason.WRONG_SYMBOL, raw)
        else:
            yield line, row


def only_row(body: ResponseBody, raws: Sequence[Raw], kind: type[T], symbol: str) -> T:
    """Return the first row of the symbol. Raise ExchangeUnreachable if there is none."""
    for _, row in rows_of(body, raws, kind, symbol):
        return row
    raise body.empty_answer_error(RefusalReason.WRONG_SHAPE)


def server_time_of(body: ResponseBody) -> int:
    """Return the server's time, UTC ms. Raise ExchangeUnreachable if the body has none."""
    time_ms = time_of(convert_data(body, _TimeBody).server_time)
    if isinstance(time_ms, RefusalReason):
        raise body.empty_answer_error(time_ms)
    return time_ms


def candles_of(body: ResponseBody, timeframe_ms: int) -> dict[int, CandleRow]:
    """Return the valid candles by open time; refuse other rows, and a different second candle of the same time."""
    candles: dict[int, CandleRow] = {}
    for line, row in enumerate(convert_data(body, list[Any])):
        candle = candle_row(row, timeframe_ms) if isinstance(row, list) else RefusalReason.WRONG_SHAPE
        if isinstance(candle, RefusalReason):
            body.refuse(line, candle, row)
        elif candles.setdefault(candle.open_time_ms, candle) != candle:
            body.refuse(line, RefusalReason.DUPLICATE, row)
    return candles


def contracts_of(body: ResponseBody) -> ContractList:
    """Return the perpetuals by symbol. An invalid row affects only its own symbol; dated futures are left out."""
    contracts = ContractList({}, {})
    raws = convert_data(body, list[Raw])
    for line, row in rows_of(body, raws, _ContractRow):
        if row.symbol_type != PERPETUAL or not row.symbol:
            continue
        contract = _contract(row)
        if isinstance(contract, _Fault):
            body.refuse(line, contract.reason, raws[line])
            contracts.unreadable.setdefault(row.symbol, contract.text)
        elif row.symbol in contracts.readable:
            body.refuse(line, RefusalReason.DUPLICATE, raws[line])
        else:
            contracts.readable[row.symbol] = contract
    return contracts


class _Fault(Struct, frozen=True):
    """The reason why a contract cannot be read, and its field, such as `sizeMultiplier '0'`."""

    reason: RefusalReason
    text: str


def _contract(row: _ContractRow) -> ContractBody | _Fault:
    places = _whole(row.price_place, 0, PRICE_PLACES_MAX)
    tick = places if isinstance(places, RefusalReason) else _ratio(row.price_end_step, places)
    lot, notional_usdt, status = _ratio(row.size_multiplier, 0), _notional(row.min_trade_usdt), row.symbol_status
    if not isinstance(status, str) or not status:
        return _fault("symbolStatus", status, RefusalReason.WRONG_SHAPE)
    if isinstance(places, RefusalReason):
        return _fault("pricePlace", row.price_place, places)
    if isinstance(tick, RefusalReason):
        return _fault("priceEndStep", row.price_end_step, tick)
    if isinstance(lot, RefusalReason):
        return _fault("sizeMultiplier", row.size_multiplier, lot)
    if isinstance(notional_usdt, RefusalReason):
        return _fault("minTradeUSDT", row.min_trade_usdt, notional_usdt)
    fees = _fee(row.maker_fee_rate), _fee(row.taker_fee_rate)
    return ContractBody(row.symbol, *tick, *lot, notional_usdt, *fees, status)


def _fault(name: str, value: object, reason: RefusalReason) -> _Fault:
    shown = "missing" if value is UNSET else repr(value)[:FAULT_CHARS_MAX]
    return _Fault(reason, f"{name} {shown}")


def _notional(text: object) -> float | RefusalReason:
    value = parse_number(text)
    return RefusalReason.INCONSISTENT if isinstance(value, float) and value < 0.0 else value


def _fee(text: object) -> float | None:
    """Return a published fee for reports. Accounts pay the fee in their settings, so an invalid one is harmless."""
    value = parse_number(text)
    return value if isinstance(value, float) and abs(value) <= FEE_FRACTION_MAX else None


def _numbers(*texts: str) -> list[float] | RefusalReason:
    values: list[float] = []
    for text in texts:
        value = parse_number(text)
        if isinstance(value, RefusalReason):
            return value
        values.append(value)
    return values


def _whole(text: object, least: int, most: int) -> int | RefusalReason:
    if not isinstance(text, str):
        return RefusalReason.WRONG_SHAPE
    if not (text.isascii() and text.isdigit()):
        return RefusalReason.NOT_A_NUMBER
    return int(text) if len(text) <= 3 and least <= int(text) <= most else RefusalReason.INCONSISTENT


def _ratio(text: Any, places: int) -> tuple[int, int] | RefusalReason:
    """Return the step `text` x 10^-places as a reduced ratio of integers."""
    value = parse_number(text)
    if isinstance(value, RefusalReason):
        return value
    if value <= 0.0:
        return RefusalReason.NOT_POSITIVE
    ratio = Decimal(text).scaleb(-places).as_integer_ratio()
    return ratio if max(ratio) <= STEP_PARTS_MAX else RefusalReason.INCONSISTENT


def tiers_of(body: ResponseBody, symbol: str) -> tuple[tuple[float, float], ...]:
    """Return (lowest notional in USDT, maintenance margin as a fraction) of every tier, rising.

    Raise ExchangeUnreachable unless every row is valid and the first tier begins at 0: if a tier were missing, a
    position would be liquidated too late.
    """
    tiers: list[tuple[float, float]] = []
    raws = convert_data(body, list[Raw])
    for _, row in rows_of(body, raws, _TierRow, symbol):
        tier = _numbers(row.start_unit, row.keep_margin_rate)
        if isinstance(tier, RefusalReason):
            raise body.empty_answer_error(tier)
        tiers.append((tier[0], tier[1]))
    tiers.sort()
    whole = bool(tiers) and len(tiers) == len(raws) and tiers[0][0] == 0.0
    rising = all(low < high and before <= after for (low, before), (high, after) in pairwise(tiers))
    if not whole or not rising or not all(0.0 < fraction < 1.0 for _, fraction in tiers):
        raise body.empty_answer_error(RefusalReason.INCONSISTENT)
    return tuple(tiers)


def settlements_of(body: ResponseBody, symbol: str) -> tuple[dict[int, FundingSettlement], int]:
    """Return the settlements by time, and the number of rows, refused ones included."""
    settlements: dict[int, FundingSettlement] = {}
    raws = convert_data(body, list[Raw])
    for line, row in rows_of(body, raws, _SettlementRow, symbol):
        settlement = _settlement(row)
        if isinstance(settlement, RefusalReason):
            body.refuse(line, settlement, raws[line])
        elif settlements.setdefault(settlement.time_ms, settlement) != settlement:
            body.refuse(line, RefusalReason.DUPLICATE, raws[line])
    return settlements, len(raws)


def _settlement(row: _SettlementRow) -> FundingSettlement | RefusalReason:
    time_ms, rate = time_of(row.funding_time), parse_number(row.funding_rate)
    if isinstance(time_ms, RefusalReason):
        return time_ms
    if isinstance(rate, RefusalReason):
        return rate
    if abs(rate) > FUNDING_RATE_MAX:
        return RefusalReason.INCONSISTENT
    return FundingSettlement(time_ms // MINUTE_MS * MINUTE_MS, rate)


def next_settlement_of(body: ResponseBody, symbol: str) -> int:
    """Return when funding is settled next, UTC ms. Raise ExchangeUnreachable if the body does not say it."""
    time_ms = time_of(only_row(body, convert_data(body, list[Raw]), _FundingRow, symbol).next_update)
    if isinstance(time_ms, RefusalReason):
        raise body.empty_answer_error(time_ms)
    return time_ms


def open_interest_of(body: ResponseBody, symbol: str) -> OpenInterestReading:
    """Return the open interest of the symbol. Raise ExchangeUnreachable if the body does not say it."""
    data = convert_data(body, _OpenInterestBody)
    row = only_row(body, data.open_interest_list, _OpenInterestRow, symbol)
    time_ms, size = time_of(data.ts), parse_number(row.size)
    if isinstance(time_ms, RefusalReason):
        raise body.empty_answer_error(time_ms)
    if isinstance(size, RefusalReason):
        raise body.empty_answer_error(size)
    if size <= 0.0:
        raise body.empty_answer_error(RefusalReason.NOT_POSITIVE)
    return OpenInterestReading(time_ms, size)
