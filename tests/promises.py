"""A promise of a study, and trades that keep it or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from papertape.events.facts import ResultBand, StudyPromoted
from papertape.events.units import HOUR_MS
from tests.build import BTC, DAY_0_MS, closed, opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from papertape.events.facts import Event

BANDS = (ResultBand(1, -1.0, -1.0, -1.0, 0.5, 2.0, 2.0), ResultBand(21, -9.0, -5.0, 4.0, 10.5, 16.0, 22.0))
"""After 11 trades: 1 % below -5 R, 5 % below -3 R, half below 5.5 R."""


def promoted(strategy: str = "momentum", at_ms: int = DAY_0_MS, **changes: Any) -> StudyPromoted:
    """Return the promise of 2 trades a day and of 0.5 R a trade."""
    event = StudyPromoted(
        at_ms, strategy, "momentum-btc", "5eed", "0123", 4_711, (BTC,), {}, "c0de", "BET", "", 2.0, 0.5, 0.5, 0.06,
        0.15, BANDS,
    )  # fmt: skip
    return replace(event, **changes)


def traded(results_usdt: Iterable[float], at_ms: int = DAY_0_MS) -> list[Event]:
    """Return trades with these results after fees. Each risks 2 USDT and costs 0.06 R."""
    events: list[Event] = []
    for result_usdt in results_usdt:
        closing = closed(result_usdt + 0.02, fee_usdt=0.01, entry_time_ms=at_ms, at_ms=at_ms + HOUR_MS)
        events += [opened(at_ms=at_ms), closing]
    return events
