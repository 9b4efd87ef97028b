"""The rule that chooses a set: the best Sharpe ratio of daily returns among those that traded often enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from papertape.events.units import DAY_MS
from papertape.projections.folds.metrics import daily_returns, sharpe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from papertape.engine.research.set_result import SetResult

CHOSEN_TRADES_MIN: Final = 10
"""A set that traded less often in training is not chosen: its ratio is an accident."""

SetRow = tuple[int, "SetResult", float | None]
"""A set's number, its figures over a span, and its annualised Sharpe ratio."""


class Choice(Struct, frozen=True):
    """The set that was chosen, and the annualised Sharpe ratio that it was chosen for."""

    number: int
    sharpe: float


def choose(
    rows: Iterable[SetRow],
    equities: Mapping[int, Any] | None = None,
    capital_usdt: float = 0.0,
    train_until_ms: int = 0,
    test_from_ms: int | None = None,
) -> Choice | None:
    """Return the best set of a training window, the lowest number among equals; None if no set traded often enough.

    `rows` are in the order of their numbers. Days of the window within a set's longest holding before the test begins
    do not count for it, by its day-end `equities`: a trade of that length would reach into the test.
    """
    best: Choice | None = None
    for number, result, stored in rows:
        if result.trades < CHOSEN_TRADES_MIN:
            continue
        ratio = stored
        if test_from_ms is not None and equities is not None and number in equities:
            purged = purged_days(train_until_ms, test_from_ms, result.longest_holding_ms)
            if purged:
                ratio = sharpe(daily_returns(capital_usdt, equities[number].tolist()[:-purged]))
        if ratio is not None and (best is None or ratio > best.sharpe):
            best = Choice(number, ratio)
    return best


def purged_days(train_until_ms: int, test_from_ms: int, longest_holding_ms: int) -> int:
    """Return how many of the last days of a training window lie within the longest holding before the test."""
    reach_ms = test_from_ms - longest_holding_ms
    if reach_ms >= train_until_ms:
        return 0
    return (train_until_ms - 1) // DAY_MS - reach_ms // DAY_MS + 1
