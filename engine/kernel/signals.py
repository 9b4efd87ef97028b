"""Signals in the kernel: the last value under each name that a strategy lists in `SIGNALS`, for one symbol.

A signal is a fact without a hook. Its value stands in `close`, and the number of its name or series in `open_time_ms`;
`slots` translates that number to the strategy's place for it, -1 for a name that the strategy does not list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.writes import ease_writes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.kernel.state import Fact

SIGNALS_MAX = 8


class SignalValue(Struct, array_like=True, gc=False):
    """The last value of a signal, and its time, which is -1 before the first."""

    value: float = 0.0
    time_ms: int = -1


def note_signal(last: SignalValue, value: float, time_ms: int) -> None:
    """Make a signal the last one of its name."""
    last.value = value
    last.time_ms = time_ms


def observe_signal(fact: Fact, signals: Any, slots: Any) -> None:
    """Note a signal if the strategy lists its name."""
    slot = slots[fact.open_time_ms]
    if slot >= 0:
        note_signal(signals[slot], fact.close, fact.time_ms)


def have_arrived(signals: Any, count: int) -> bool:
    """Return whether each of a strategy's `count` signals has arrived at least once."""
    for place in range(count):  # noqa: SIM110 - numba compiles no generator
        if signals[place].time_ms < 0:
            return False
    return True


def slots_of(listed: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the place of each of `names` among those that a strategy lists, -1 for others; it is never empty."""
    return [listed.index(name) if name in listed else -1 for name in names] or [-1]


# ---------------------------------------------------------------- the first signals as a tuple, for a view


def take_none(_: Any) -> Any:
    """Return no signal."""
    return ()


def take_one(signals: Any) -> Any:
    """Return one signal."""
    return (signals[0],)


def take_two(signals: Any) -> Any:
    """Return two signals."""
    return signals[0], signals[1]


def take_three(signals: Any) -> Any:
    """Return three signals."""
    return signals[0], signals[1], signals[2]


def take_four(signals: Any) -> Any:
    """Return four signals."""
    return signals[0], signals[1], signals[2], signals[3]


def take_five(signals: Any) -> Any:
    """Return five signals."""
    return signals[0], signals[1], signals[2], signals[3], signals[4]


def take_six(signals: Any) -> Any:
    """Return six signals."""
    return signals[0], signals[1], signals[2], signals[3], signals[4], signals[5]


def take_seven(signals: Any) -> Any:
    """Return seven signals."""
    return signals[0], signals[1], signals[2], signals[3], signals[4], signals[5], signals[6]


def take_eight(signals: Any) -> Any:
    """Return eight signals."""
    return signals[0], signals[1], signals[2], signals[3], signals[4], signals[5], signals[6], signals[7]


TAKE_FIRST = (take_none, take_one, take_two, take_three, take_four, take_five, take_six, take_seven, take_eight)
"""The functions that return the first signals, by their number."""


ease_writes(vars())
