"""Recognise times in seconds, microseconds, nanoseconds or ISO dates by magnitude, and convert them to milliseconds.

The first rows determine the unit of the whole file. A row in another unit is converted by the same rule; its time is
then out of range and the row is refused, so units are never mixed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from papertape.engine.feeds.candle_row import TIME_MS_MAX, TIME_MS_MIN

MILLISECONDS: Final = "milliseconds"
_WHOLE = re.compile(r"\d{9,19}")
_DECIMAL = re.compile(r"(\d{9,19})\.(\d{0,9})")
_DATE = re.compile(r"(\d{4})[-./](\d\d)[-./](\d\d)(.*)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_MS: Final = {"seconds": 1 / 1_000, MILLISECONDS: 1.0, "microseconds": 1e3, "nanoseconds": 1e6}


def unit_of(times: Sequence[str]) -> str | None:
    """Return the unit of most of these times, or None if none of them is a time."""
    units = Counter(unit for unit in map(_unit, times) if unit is not None)
    return units.most_common(1)[0][0] if units else None


def to_ms(unit: str) -> Callable[[str], str]:
    """Return the function that converts a time in this unit to milliseconds; it returns any other text unchanged."""
    return _RULES[unit]


def unit_before(unit: str, text: str) -> str | None:
    """Return the unit of a time before the rule of `unit` converted it to `text`, or None if it was no time."""
    number = text.removeprefix("?")  # The rule for ISO dates marks any other text with it.
    if unit in _PER_MS and number.isdecimal():
        number = str(round(int(number) * _PER_MS[unit]))
    return _unit(number)


def runs_backwards(times_ms: Sequence[int]) -> bool:
    """Return whether the newest row comes first: more steps fall than rise."""
    steps = [after - before for before, after in pairwise(times_ms)]
    return sum(step < 0 for step in steps) > sum(step > 0 for step in steps)


def _unit(text: str) -> str | None:
    if _DATE.fullmatch(text):
        return "ISO dates"
    decimal = _DECIMAL.fullmatch(text)
    if decimal is None and not _WHOLE.fullmatch(text):
        return None
    number = int(decimal[1] if decimal else text)
    for unit, per_ms in _PER_MS.items():
        if TIME_MS_MIN * per_ms <= number <= TIME_MS_MAX * per_ms:
            return f"decimal {unit}" if decimal and unit == MILLISECONDS else unit
    return None


def _seconds(text: str) -> str:
    whole, _, fraction = text.partition(".")
    if not _WHOLE.fullmatch(whole) or not (fraction or "0").isdecimal():
        return text
    return whole + (fraction + "000")[:3]


def _divide(divisor: int) -> Callable[[str], str]:
    def rule(text: str) -> str:
        whole, _, fraction = text.partition(".")
        if not _WHOLE.fullmatch(whole) or not (fraction or "0").isdecimal():
            return text
        return str(int(whole) // divisor)

    return rule


def _iso(text: str) -> str:
    date = _DATE.fullmatch(text)
    if date is None:
        return f"?{text}"
    clock = date[4].removesuffix(" UTC")
    try:
        moment = datetime.fromisoformat(f"{date[1]}-{date[2]}-{date[3]}{clock}")
    except ValueError:
        return text
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return str((moment - _EPOCH) // timedelta(milliseconds=1))


_RULES: Final[dict[str, Callable[[str], str]]] = {
    "seconds": _seconds,
    "decimal milliseconds": _divide(1),
    "microseconds": _divide(1_000),
    "nanoseconds": _divide(1_000_000),
    "ISO dates": _iso,
}
