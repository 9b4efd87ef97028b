"""What chance explains in the daily returns of all sets, and in the order of the trades. Needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import Struct

from papertape.studies.choice import CHOSEN_TRADES_MIN
from papertape.studies.evidence import Family
from papertape.studies.statistics.bootstrap import family_test
from papertape.studies.statistics.orders import cumulative_bands, quantile, shuffled_drawdowns
from papertape.studies.statistics.overfitting import effective_trials, overfitting, path_sharpes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.studies.choice import SetRow

BEST_SETS: Final = 1_000
SETS_MAX: Final = 5_000
"""The tests over all sets use at most this many: the best, and an even sample of the others."""


class Chance(Struct, frozen=True):
    """The tests over all sets, the survivors, how many sets seem independent, and the Sharpe ratios of the paths."""

    family: Family
    survivors: tuple[int, ...] = ()
    effective_trials: float | None = None
    path_sharpes: tuple[float, ...] = ()


def sets_against_chance(
    rows: Sequence[SetRow], numbers: Sequence[int], equities: Any, capital_usdt: float, seed: int
) -> Chance:
    """Test the sets of `rows` by the matrix of day-end equities whose rows are the sets `numbers`."""
    ratios = {number: ratio for number, _, ratio in rows}
    places = _representative([place for place, number in enumerate(numbers) if number in ratios], numbers, ratios)
    if not places:
        why = f"no set traded {CHOSEN_TRADES_MIN} times"
        return Chance(Family(0, overfitting_why=why, family_why=why))
    returns = returns_of(np.asarray(equities)[places], capital_usdt)
    split = overfitting(returns)
    against = family_test(returns, seed=seed)
    family = Family(
        sets=len(places),
        overfitting=split.probability,
        splits=split.splits,
        overfitting_why=split.why,
        slope=split.slope,
        p_value=against.p_value,
        survivors=len(against.survivors),
        family_why=against.why,
    )
    survivors = tuple(numbers[places[column]] for column in against.survivors)
    paths = path_sharpes(returns) if len(places) > 1 else []
    return Chance(family, survivors, effective_trials(returns), tuple(sorted(paths)))


def returns_of(equities: Any, capital_usdt: float) -> Any:
    """Return the daily returns, a row a day, of day-end equities, a row a set; like `metrics.daily_returns`."""
    starts = np.concatenate([np.full((len(equities), 1), capital_usdt), equities[:, :-1]], axis=1)
    lives = starts > 0.0
    return np.where(lives, equities / np.where(lives, starts, 1.0) - 1.0, 0.0).T


def _representative(places: list[int], numbers: Sequence[int], ratios: dict[int, float | None]) -> list[int]:
    """Return the places of all sets, or of the best and of others evenly spread if there are too many."""
    if len(places) <= SETS_MAX:
        return places
    ranked = sorted(places, key=lambda place: -(ratios[numbers[place]] or 0.0))
    others = sorted(ranked[BEST_SETS:])
    step = -(-len(others) // (SETS_MAX - BEST_SETS))
    return sorted([*ranked[:BEST_SETS], *others[::step]])


def drawdown_95(nets_usdt: Sequence[float], capital_usdt: float, seed: int) -> float | None:
    """Return the drawdown that 95 % of the shuffles of the trades stay below; None without trades."""
    return quantile(shuffled_drawdowns(nets_usdt, capital_usdt, seed=seed), 0.95)


def bands(r_multiples: Sequence[float], seed: int) -> tuple[tuple[float, float, float, float, float, float], ...]:
    """Return the bands of the cumulative result in R; see `cumulative_bands`."""
    return cumulative_bands(r_multiples, seed=seed)
