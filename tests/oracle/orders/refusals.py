"""Refusals of an entry that need no account (section 2), and of an answer of `manage` (section 6)."""

from __future__ import annotations

from itertools import pairwise

from tests.oracle.rounding import Step

from .answers import Add, Change, Entry, Target
from .direction import bought, farther, reached

TOLERANCE = 1e-9
RUNGS_MAX = 4


def planned_entry(entry: Entry, close: float, s: float, tick: Step) -> float:
    """ "E_planned: model 6's E for a market entry; p for a limit; p slipped and rounded like a market order for a stop
    entry (s as known at t_c)." """
    if entry.kind == "limit":
        return entry.price
    return bought(entry.d, close if entry.kind == "market" else entry.price, s, tick)


def entry_refusal(entry: Entry, close: float, planned: float, units_max: float, tick: Step) -> str | None:
    """From `stop_wrong_side` to `units`, "in this order"."""
    d, stop, targets = entry.d, entry.stop_from(planned, tick), entry.targets_from(planned, tick)
    if farther(d, stop, planned):
        return "stop_wrong_side"
    if any(farther(-d, target.level, planned) for target in targets):
        return "target_wrong_side"
    if entry.kind == "limit" and reached(d, entry.price, close):
        return "limit_beyond_market"
    if entry.kind == "stop" and reached(-d, entry.price, close):
        return "stop_behind_market"
    if not is_ladder_of_targets(d, targets) or any(add.kind == "market" for add in entry.adds):
        return "ladder"
    if not is_ladder_of_adds(d, entry.adds, stop, planned) or not are_nearer(d, entry.adds, targets):
        return "ladder"
    return "units" if exceeds_units(1.0, entry.adds, units_max) else None


def change_refusal(
    change: Change, d: int, close: float, stop: float, sizes: float, units_max: float, standing: Change
) -> str | None:
    """Section 6: "Refusals in order"; a stop "Not tighter than the present SL: changes nothing, no record".

    `stop` is the present one, `sizes` is 1 plus the sizes filled in the life of the position, `standing` holds the adds
    that rest and the ladder as it was set.
    """
    tightens = change.stop_price is not None and farther(d, change.stop_price, stop)
    after = change.stop_price if tightens and change.stop_price is not None else stop
    if tightens and reached(d, after, close):
        return "stop_through_market"
    if any(reached(-d, target.level, close) for target in change.targets or ()):
        return "target_through_market"
    if change.targets is not None and not is_ladder_of_targets(d, change.targets):
        return "ladder"
    if change.adds is not None and not is_ladder_of_adds(d, change.adds, after, close):
        return "ladder"
    if change.adds is not None or change.targets is not None:
        adds = standing.adds if change.adds is None else change.adds
        targets = standing.targets if change.targets is None else change.targets
        if not are_nearer(d, adds or (), targets or ()):
            return "ladder"
    return "units" if change.adds is not None and exceeds_units(sizes, change.adds, units_max) else None


def is_ladder_of_targets(d: int, targets: tuple[Target, ...]) -> bool:
    """ "more than 4 rungs; targets not strictly farther one after another; a part not in (0, 1]; parts adding up (in
    rung order) to more than 1 + 1e-9" """
    total = 0.0
    for target in targets:
        if not 0.0 < target.part <= 1.0:
            return False
        total = total + target.part
    rising = all(farther(d, b.level, a.level) for a, b in pairwise(targets))
    return len(targets) <= RUNGS_MAX and rising and total <= 1.0 + TOLERANCE


def is_full(targets: tuple[Target, ...]) -> bool:
    """ "a ladder is *full* when they add up to at least 1 - 1e-9" """
    total = 0.0
    for target in targets:
        total = total + target.part
    return total >= 1.0 - TOLERANCE


def is_ladder_of_adds(d: int, adds: tuple[Add, ...], stop: float, market: float) -> bool:
    """ "limit adds not strictly between SL and E_planned or not strictly farther one after another; stop adds not
    strictly beyond E_planned, one after another"; `manage`: "one market add, first, is allowed"."""
    limits = [market, *(add.price for add in adds if add.kind == "limit")]
    stops = [market, *(add.price for add in adds if add.kind == "stop")]
    below = all(farther(-d, b, a) for a, b in pairwise(limits)) and all(farther(d, p, stop) for p in limits[1:])
    above = all(farther(d, b, a) for a, b in pairwise(stops))
    later_market = any(add.kind == "market" for add in adds[1:])
    return len(adds) <= RUNGS_MAX and below and above and not later_market


def are_nearer(d: int, adds: tuple[Add, ...], targets: tuple[Target, ...]) -> bool:
    """ "stop adds [...] nearer than the last target of a full ladder" """
    if not targets or not is_full(targets):
        return True
    return all(farther(d, targets[-1].level, add.price) for add in adds if add.kind == "stop")


def exceeds_units(sizes: float, adds: tuple[Add, ...], units_max: float) -> bool:
    """ "`units`: 1 + sum of the adds' sizes > `units_max` + 1e-9" """
    for add in adds:
        sizes = sizes + add.size
    return sizes > units_max + TOLERANCE
