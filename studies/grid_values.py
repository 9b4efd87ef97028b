"""The values of one varied parameter: `0.2:1.2:0.1`, `10:1000~7`, `1.5,2,3` or `*`, computed without drift."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.studies.ranges import ParameterRange

VALUES_MAX: Final = 10_000
WHOLE_RANGE_STEPS: Final = 10
GRAMMAR: Final = "write FIRST:LAST:STEP, FIRST:LAST~COUNT, a list such as 1.5,2,3, or *"
EVEN_DIGITS: Final = 12
"""Significant digits of geometric values: fewer than a float has, so that a value reads as it was meant."""


def grid_values(text: str, bounds: ParameterRange) -> tuple[int | float, ...]:
    """Return the values that a text describes, ascending and without repetition, in the type of the parameter.

    Raise UsageError for a text outside the grammar and for a value outside the range.
    """
    if text == "*":
        return _whole_range(bounds)
    values: set[int | float] = set()
    for piece in text.split(","):
        values.update(_piece(piece.strip(), bounds))
    if len(values) > VALUES_MAX:
        raise UsageError(f"{len(values):,} values of one parameter, at most {VALUES_MAX:,} are allowed")
    return tuple(sorted(values))


def _piece(text: str, bounds: ParameterRange) -> list[int | float]:
    """Return the values of one part of a list: a number, or a range of them."""
    first, colon, rest = text.partition(":")
    if not colon:
        return [bounds.checked(float(_decimal(text)))]
    if "~" in rest:
        last, _, count = rest.partition("~")
        return _geometric(_decimal(first), _decimal(last), count.strip(), bounds)
    last, colon, step = rest.partition(":")
    if not colon:
        raise UsageError(f"{text!r} has no step: {GRAMMAR}")
    return _stepped(_decimal(first), _decimal(last), _decimal(step), bounds)


def _stepped(first: Decimal, last: Decimal, step: Decimal, bounds: ParameterRange) -> list[int | float]:
    """Return first, first + step, ... up to last, each the float nearest to the exact decimal."""
    if step <= 0:
        raise UsageError(f"the step {step} must be above 0")
    if last < first:
        raise UsageError(f"{first}:{last}:{step} ends before it begins")
    count = int((last - first) / step) + 1
    if count > VALUES_MAX:
        raise UsageError(f"{first}:{last}:{step} has more than {VALUES_MAX:,} values")
    return [bounds.checked(float(first + place * step)) for place in range(count)]


def _geometric(first: Decimal, last: Decimal, count_text: str, bounds: ParameterRange) -> list[int | float]:
    """Return `count` values from first to last, each the same multiple of the one before; whole numbers are rounded."""
    if not count_text.isdecimal() or not 2 <= int(count_text) <= VALUES_MAX:
        raise UsageError(f"{first}:{last}~{count_text}: the count must be a whole number from 2 to {VALUES_MAX:,}")
    if first <= 0 or last <= first:
        raise UsageError(f"{first}:{last}~{count_text}: a geometric range needs 0 < FIRST < LAST")
    for bound in (first, last):
        bounds.checked(float(bound))
    steps = int(count_text) - 1
    ratio = (last / first) ** (Decimal(1) / steps)
    inner = [float(f"{first * ratio**place:.{EVEN_DIGITS}g}") for place in range(1, steps)]
    values = [float(first), *inner, float(last)]
    return [bounds.checked(float(round(value)) if bounds.is_whole else value) for value in values]


def _whole_range(bounds: ParameterRange) -> tuple[int | float, ...]:
    """Return the range of a parameter in 10 equal steps, without a bound that is open; whole numbers are rounded."""
    if bounds.low is None or bounds.high is None:
        raise UsageError(f"* needs a range with two ends, {bounds.name} has {bounds.words}; {GRAMMAR}")
    low, high = Decimal(repr(bounds.low)), Decimal(repr(bounds.high))
    exact = [low + (high - low) * place / WHOLE_RANGE_STEPS for place in range(WHOLE_RANGE_STEPS + 1)]
    values = [float(round(value)) if bounds.is_whole else float(value) for value in exact]
    return tuple(sorted({bounds.checked(value) for value in values if bounds.accepts(value)}))


def _decimal(text: str) -> Decimal:
    """Return a number as it is written. Raise UsageError for anything else."""
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise UsageError(f"{text.strip()!r} is no number; {GRAMMAR}") from None
    if not number.is_finite() or abs(number) > Decimal("1e15") or (number and abs(number) < Decimal("1e-12")):
        raise UsageError(f"{text.strip()!r} is no usable number; {GRAMMAR}")
    return number
