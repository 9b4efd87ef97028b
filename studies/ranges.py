"""The valid range of each parameter of a strategy, from the type and the `Meta` of its field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from papertape.events.errors import UsageError
from papertape.events.names import unknown_name_text

if TYPE_CHECKING:
    from papertape.engine.kernel.strategy import Strategy

NUMBERS: Final = (msgspec.inspect.IntType, msgspec.inspect.FloatType)


class ParameterRange(Struct, frozen=True):
    """What a parameter accepts: whole numbers or any, from `low` to `high`; an open bound is itself not valid."""

    name: str
    is_whole: bool
    low: float | None
    high: float | None
    low_is_open: bool
    high_is_open: bool
    unit: str

    @property
    def words(self) -> str:
        """The range in words: `1 to 500 candles`, `above 0 to 50 %`."""
        low = "" if self.low is None else f"{'above ' if self.low_is_open else ''}{short(self.low)}"
        high = "" if self.high is None else f"{'below ' if self.high_is_open else ''}{short(self.high)}"
        numbers = f"{low} to {high}" if low and high else (f"{low} or more" if low else high or "any number")
        return f"{numbers} {self.unit}".strip()

    def accepts(self, value: float) -> bool:
        """Return whether a value lies within the range."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_is_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_is_open)
        return above and below

    def checked(self, value: float) -> int | float:
        """Return a value in the parameter's type. Raise UsageError if it is outside the range or must be whole."""
        if self.is_whole and not float(value).is_integer():
            raise UsageError(f"{short(value)} is no whole number; {self.name} accepts {self.words}")
        if not self.accepts(value):
            raise UsageError(f"{short(value)} is outside the range of {self.name}: {self.words}")
        return int(value) if self.is_whole else float(value)


def ranges_of(strategy: Strategy) -> dict[str, ParameterRange]:
    """Return the ranges of a strategy's parameters by name."""
    fields = msgspec.inspect.type_info(strategy.parameters).fields  # type: ignore[attr-defined]
    return {field.name: _range(field) for field in fields if isinstance(_bare(field.type), NUMBERS)}


def range_of(strategy: Strategy, name: str) -> ParameterRange:
    """Return the range of one parameter. Raise UsageError with the nearest name if the strategy has no such one."""
    ranges = ranges_of(strategy)
    if name not in ranges:
        raise UsageError(unknown_name_text(f"{strategy.name} parameter", name, ranges))
    return ranges[name]


def short(value: float) -> str:
    """Return a number without a needless fraction: 5 instead of 5.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _bare(info: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return info.type if isinstance(info, msgspec.inspect.Metadata) else info


def _range(field: msgspec.inspect.Field) -> ParameterRange:
    info = field.type
    unit = (info.extra or {}).get("unit", "") if isinstance(info, msgspec.inspect.Metadata) else ""
    number = _bare(info)
    assert isinstance(number, NUMBERS), "only numbers have a range"
    low, high = (number.ge if number.gt is None else number.gt), (number.le if number.lt is None else number.lt)
    return ParameterRange(
        name=field.name,
        is_whole=isinstance(number, msgspec.inspect.IntType),
        low=low,
        high=high,
        low_is_open=number.gt is not None,
        high_is_open=number.lt is not None,
        unit=str(unit),
    )
