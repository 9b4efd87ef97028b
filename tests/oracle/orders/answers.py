"""What a strategy answers: plain dicts of a test, as frozen dataclasses with their prices on the grid (section 1).

`enter`: side (1, -1), kind ("market", "limit", "stop"), price, expires, stop_fraction | stop_price, targets
[(price, part)] | target_fractions [(fraction, part)], adds [{kind, price, size, expires}], trailing (f, a, b),
size_usdt, risk_percent. `manage`: stop_price, targets [(price, part)], adds, trailing, reduce; a missing key changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tests.oracle.rounding import Step, stop_price, target_price

from .direction import grid_above, grid_below

KINDS = ("market", "limit", "stop")
Answer = dict[str, Any]


@dataclass(frozen=True)
class Add:
    """An order that increases the position by `size` first fills; `expires` None: it rests until the position ends."""

    kind: str
    price: float = 0.0
    size: float = 1.0
    expires: int | None = None


@dataclass(frozen=True)
class Target:
    """A rung that takes `part` of the position; `level` is a price, or a fraction of the entry fill."""

    level: float
    part: float = 1.0


@dataclass(frozen=True)
class Trailing:
    """Section 7: f "0 = off, else < 1", a ">= 0", b "0 = never"."""

    fraction: float = 0.0
    after: float = 0.0
    breakeven: float = 0.0


@dataclass(frozen=True)
class Entry:
    """ "`enter` names entry, stop, targets, adds, trailing, expiry, size" """

    d: int
    kind: str = "market"
    price: float = 0.0
    expires: int = 1
    stop_fraction: float = 0.0
    stop_price: float | None = None
    targets: tuple[Target, ...] = ()
    by_fraction: bool = False
    adds: tuple[Add, ...] = ()
    trailing: Trailing = Trailing()
    size_usdt: float | None = None
    risk_percent: float | None = None

    def stop_from(self, entry: float, tick: Step) -> float:
        """ "stop_fraction of the entry fill (as in the model) or stop_price (one of them)" """
        return stop_price(entry, self.d, self.stop_fraction, tick) if self.stop_price is None else self.stop_price

    def targets_from(self, entry: float, tick: Step) -> tuple[Target, ...]:
        """ "Levels from fractions are set at the fill from E and then fixed." """
        if not self.by_fraction:
            return self.targets
        return tuple(Target(target_price(entry, self.d, t.level, tick), t.part) for t in self.targets)


@dataclass(frozen=True)
class Change:
    """An answer of `manage` (section 6); None changes nothing."""

    stop_price: float | None = None
    targets: tuple[Target, ...] | None = None
    adds: tuple[Add, ...] | None = None
    trailing: Trailing | None = None
    reduce: float | None = None


def entry_of(answer: Answer, tick: Step) -> Entry | None:
    """ "Prices are put on the grid when they are named, away from the market". None is `not_a_number`."""
    d, kind = answer["side"], answer.get("kind", "market")
    fractions, prices = answer.get("target_fractions"), answer.get("targets")
    entry = Entry(
        d=d,
        kind=kind,
        price=answer.get("price", 0.0),
        expires=answer.get("expires", 1),
        stop_fraction=answer.get("stop_fraction", 0.0),
        stop_price=answer.get("stop_price"),
        targets=targets_of(prices if fractions is None else fractions),
        by_fraction=fractions is not None,
        adds=adds_of(answer.get("adds", ())),
        trailing=Trailing(*answer.get("trailing", ())),
        size_usdt=answer.get("size_usdt"),
        risk_percent=answer.get("risk_percent"),
    )
    own = [x for x in (entry.size_usdt, entry.risk_percent) if x is not None]
    positive = [] if kind == "market" else [entry.price]
    positive += [] if entry.stop_price is None else [entry.stop_price]
    positive += [] if entry.by_fraction else [t.level for t in entry.targets]
    finite = [entry.stop_fraction, *own, *(x for t in entry.targets for x in (t.level, t.part))]
    sound = d in (1, -1) and are_sound(kind, entry.expires, entry.adds, entry.trailing)
    if not sound or not all(map(isfinite, finite)) or not are_positive(positive):
        return None
    return on_grid(entry, tick)


def on_grid(entry: Entry, tick: Step) -> Entry:
    """ "long limit floor, stop entry and stop add ceil, SL floor, TP ceil" """
    d = entry.d
    return Entry(
        **{
            **vars(entry),
            "price": 0.0 if entry.kind == "market" else priced(d, entry.kind, entry.price, tick),
            "stop_price": None if entry.stop_price is None else grid_below(d, entry.stop_price, tick),
            "targets": entry.targets if entry.by_fraction else targets_on_grid(d, entry.targets, tick),
            "adds": adds_on_grid(d, entry.adds, tick),
        }
    )


def change_of(answer: Answer, d: int, tick: Step) -> Change | None:
    """An answer of `manage` with its prices on the grid; None is `not_a_number`."""
    stop, reduce = answer.get("stop_price"), answer.get("reduce")
    targets = targets_of(answer["targets"]) if "targets" in answer else None
    adds = adds_of(answer["adds"]) if "adds" in answer else None
    trailing = Trailing(*answer["trailing"]) if "trailing" in answer else None
    positive = [] if stop is None else [stop]
    positive += [t.level for t in targets or ()]
    sound = are_sound("market", 1, adds or (), trailing or Trailing())
    sound = sound and all(isfinite(t.part) for t in targets or ())
    if not sound or not are_positive(positive) or not (reduce is None or 0.0 < reduce <= 1.0):
        return None
    return Change(
        stop_price=None if stop is None else grid_below(d, stop, tick),
        targets=None if targets is None else targets_on_grid(d, targets, tick),
        adds=None if adds is None else adds_on_grid(d, adds, tick),
        trailing=trailing,
        reduce=reduce,
    )


def are_sound(kind: str, expires: int, adds: tuple[Add, ...], trailing: Trailing) -> bool:
    """Section 2: "`not_a_number` (anything not finite, a price <= 0, or outside the range this file gives, unless a
    later reason names it)". The ranges: expiry 1..288, 0 < size <= 4, f < 1, a >= 0, b >= 0."""
    lives = [expires, *(1 if add.expires is None else add.expires for add in adds)]
    numbers = (trailing.fraction, trailing.after, trailing.breakeven)
    return (
        kind in KINDS
        and all(1 <= n <= 288 for n in lives)
        and all(add.kind in KINDS and 0.0 < add.size <= 4.0 for add in adds)
        and are_positive(add.price for add in adds if add.kind != "market")
        and all(x >= 0.0 and isfinite(x) for x in numbers)
        and trailing.fraction < 1.0
    )


def are_positive(prices: Iterable[float]) -> bool:
    """No "price <= 0", and none that is not finite."""
    return all(isfinite(price) and price > 0.0 for price in prices)


def targets_of(pairs: Iterable[tuple[float, float]] | None) -> tuple[Target, ...]:
    """ "No target is allowed" """
    return tuple(Target(level, part) for level, part in pairs or ())


def adds_of(answers: Iterable[Answer]) -> tuple[Add, ...]:
    """Adds in rung order."""
    return tuple(Add(**answer) for answer in answers)


def targets_on_grid(d: int, targets: tuple[Target, ...], tick: Step) -> tuple[Target, ...]:
    """ "TP ceil" """
    return tuple(Target(grid_above(d, t.level, tick), t.part) for t in targets)


def adds_on_grid(d: int, adds: tuple[Add, ...], tick: Step) -> tuple[Add, ...]:
    """Limit adds and stop adds at prices of their grid."""
    return tuple(
        add if add.kind == "market" else Add(add.kind, priced(d, add.kind, add.price, tick), add.size, add.expires)
        for add in adds
    )


def priced(d: int, kind: str, price: float, tick: Step) -> float:
    """ "long limit floor, stop entry and stop add ceil" """
    return grid_below(d, price, tick) if kind == "limit" else grid_above(d, price, tick)
