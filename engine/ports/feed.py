"""The port that every feed implements: contracts, then batches of facts in time order, and refused data.

A feed delivers validated facts only, in a binding order: a candle counts at its close, a settlement at its time
truncated to the minute, a reading at its own time; at equal times candles come first (symbols in configured order),
then funding, then open interest, then signals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct

from papertape.events.facts import ContractListed, FeedConnected, FeedFact

BATCH_FACTS_MAX: Final = 256
REFUSALS_KEPT_MAX: Final = 100
REFUSAL_TEXT_CHARS_MAX: Final = 200


class ResumePoint(Struct, frozen=True):
    """The times of the newest facts about a symbol that the engine knows, -1 if there are none.

    `suspended` means that it is not tradable, `in_position` that a strategy holds a position in it. `signals_ms` holds
    the times of its newest signals by source and name.
    """

    candle_open_ms: int = -1
    funding_ms: int = -1
    open_interest_ms: int = -1
    suspended: bool = False
    in_position: bool = False
    signals_ms: Mapping[tuple[str, str], int] = {}


NOTHING_SEEN: Final = ResumePoint()


class RefusalReason(StrEnum):
    """Why one row or message was not taken as a fact."""

    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    PRICE_TOO_HIGH = "price_too_high"
    """Above 1e12 USDT."""
    IMPLAUSIBLE_RATE = "implausible_rate"
    """A funding rate beyond 3 % per settlement: exchanges cap it there."""
    NEGATIVE_VOLUME = "negative_volume"
    HIGH_BELOW_LOW = "high_below_low"
    INCONSISTENT = "inconsistent"
    """The high lies below the open or close, or the low above one of them."""
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE = "duplicate"
    """The time occurred before; for settlements and readings, with another value."""
    OFF_GRID = "off_grid"
    """The open time is not a multiple of the timeframe."""
    TIME_OUT_OF_RANGE = "time_out_of_range"
    """Not a time in ms between 1973 and 2100. This catches rows whose unit differs from the file's."""
    WRONG_FIELD_COUNT = "wrong_field_count"
    NOT_JSON = "not_json"
    """HTML, a truncated body, or bytes that are not text."""
    WRONG_SHAPE = "wrong_shape"
    """JSON without the keys and types that the exchange writes."""
    INVALID_NAME = "invalid_name"
    """A signal's name is not lower-case letters, digits and underscores, or its symbol is missing."""
    WRONG_SYMBOL = "wrong_symbol"
    """For a symbol or channel that was not requested."""
    ABSURD_JUMP = "absurd_jump"
    """So far from the last known price that an error is likelier than a real move."""
    STALE = "stale"
    """Older than what is already known about the same candle."""
    TOO_LARGE = "too_large"


class Refusal(Struct, frozen=True):
    """One refused row: its place, the reason, and its text (shortened)."""

    source: str
    line: int
    reason: RefusalReason
    text: str


class RefusalLog:
    """The data that a feed refused: the first `REFUSALS_KEPT_MAX`, the newest of each reason, and counts of all."""

    def __init__(self) -> None:
        self.kept: list[Refusal] = []
        self.newest: dict[RefusalReason, Refusal] = {}
        self.counts: dict[RefusalReason, int] = {}

    @property
    def total(self) -> int:
        """The number of refusals, kept or not."""
        return sum(self.counts.values())

    def refuse(self, source: str, line: int, reason: RefusalReason, text: str) -> None:
        """Count a refusal, and keep it if there is room."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        refusal = self.newest[reason] = Refusal(source, line, reason, text[:REFUSAL_TEXT_CHARS_MAX])
        if len(self.kept) < REFUSALS_KEPT_MAX:
            self.kept.append(refusal)

    def extend(self, other: RefusalLog) -> None:
        """Add the counts of another log, and keep its refusals if there is room."""
        for reason, count in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
        self.newest |= other.newest
        self.kept.extend(other.kept[: REFUSALS_KEPT_MAX - len(self.kept)])


class Feed(Protocol):
    """Delivers a market: live, recorded or simulated."""

    name: str
    refusals: RefusalLog

    def contracts(self) -> list[ContractListed]:
        """Return the specifications of the symbols, in configured order."""
        ...

    def facts(self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None) -> AsyncIterator[list[FeedFact]]:
        """Yield batches of at most `BATCH_FACTS_MAX` facts in time order, until the market ends.

        Omit facts that the engine knows according to `seen`. `anchor` is the newest `FeedConnected` in the log, None on
        the first start: from it a simulated market derives how far it has moved since.
        """
        ...
