"""The port every feed serves: contracts, then batches of facts in time order, and what it refused.

A feed hands over validated facts only. Their order is binding: a candle counts at its close, a settlement
at its time cut to the minute, a reading at its own time; at equal times candles come first (symbols in
configured order), then funding, then open interest.
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
    """The times of the newest facts about a symbol that the engine holds, -1 if there are none.

    `suspended` means that it is not tradable, `in_position` that a strategy holds a position in it.
    """

    candle_open_ms: int = -1
    funding_ms: int = -1
    open_interest_ms: int = -1
    suspended: bool = False
    in_position: bool = False


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
    """The time was there before; for settlements and readings: with another value."""
    OFF_GRID = "off_grid"
    """The open time is no multiple of the timeframe."""
    TIME_OUT_OF_RANGE = "time_out_of_range"
    """Not a time in ms between 1973 and 2100. This catches rows whose unit differs from the file's."""
    WRONG_FIELD_COUNT = "wrong_field_count"
    NOT_JSON = "not_json"
    """HTML, a body that was cut, bytes that are no text."""
    WRONG_SHAPE = "wrong_shape"
    """JSON, but not with the keys and types that the exchange writes."""
    WRONG_SYMBOL = "wrong_symbol"
    """Of a symbol or channel that was not asked for."""
    ABSURD_JUMP = "absurd_jump"
    """So far from the last known price that an error is likelier than a market."""
    STALE = "stale"
    """Older than what was already known of the same candle."""
    TOO_LARGE = "too_large"


class Refusal(Struct, frozen=True):
    """One row that was not taken: where it stood, why, and its text (shortened)."""

    source: str
    line: int
    reason: RefusalReason
    text: str


class RefusalLog:
    """What a feed refused: the first `REFUSALS_KEPT_MAX` in full, the newest of each reason, and counts of all."""

    def __init__(self) -> None:
        self.kept: list[Refusal] = []
        self.newest: dict[RefusalReason, Refusal] = {}
        self.counts: dict[RefusalReason, int] = {}

    @property
    def total(self) -> int:
        """How many were refused, kept or not."""
        return sum(self.counts.values())

    def refuse(self, source: str, line: int, reason: RefusalReason, text: str) -> None:
        """Count a refusal, and keep it while there is room."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        refusal = self.newest[reason] = Refusal(source, line, reason, text[:REFUSAL_TEXT_CHARS_MAX])
        if len(self.kept) < REFUSALS_KEPT_MAX:
            self.kept.append(refusal)

    def extend(self, other: RefusalLog) -> None:
        """Take over the counts of another log, and its refusals while there is room."""
        for reason, count in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
        self.newest |= other.newest
        self.kept.extend(other.kept[: REFUSALS_KEPT_MAX - len(self.kept)])


class Feed(Protocol):
    """Whatever delivers a market: live, recorded or simulated."""

    name: str
    refusals: RefusalLog

    def contracts(self) -> list[ContractListed]:
        """The specifications of the symbols, in configured order."""
        ...

    def facts(self, seen: Mapping[str, ResumePoint], anchor: FeedConnected | None) -> AsyncIterator[list[FeedFact]]:
        """Batches of at most `BATCH_FACTS_MAX` facts in time order; ends when the market ends.

        Facts that `seen` says the engine holds are left out. `anchor` is the newest `FeedConnected` of the
        log, None on the first boot: with it a simulated market knows how far it went on meanwhile.
        """
        ...
