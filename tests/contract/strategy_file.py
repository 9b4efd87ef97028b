"""A strategy's file that keeps the contract, and the same file with one thing changed."""

from __future__ import annotations

GOOD = '''"""Buy what has fallen three candles in a row."""

from __future__ import annotations

from math import sqrt
from typing import Annotated

from msgspec import Struct, field

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON
from papertape.engine.kernel.indicators import Donchian, update_donchian
from papertape.engine.kernel.parameters import positive
from papertape.engine.kernel.strategy import Condition

NAME = "fallen"
SERIES = ("5m", "15m")
NEEDS_BARS = 4
EXIT_REASONS = ("recovered",)
RECOVERED = FIRST_EXIT_REASON
WEIGHTS = (0.5, 0.3, 0.2)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Distances of the stop and the target."""

    candles: int = 3
    stop_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.5


class State(Struct):
    """How many candles in a row have fallen."""

    fallen: int = 0
    mean: float = 0.0
    top: Donchian = field(default_factory=Donchian)


class Reading(Struct):
    """The numbers behind a decision."""

    fallen: int = 0
    mean: float = 0.0


def observe(view, params):
    """Count the candles that have fallen in a row."""
    state, candle = view.state, view.candle
    state.fallen = state.fallen + 1 if candle.close < candle.open else 0
    mean = 0.0
    for back in range(3):
        mean += WEIGHTS[back] * view.m5.bars[(candle.row - back) & (len(view.m5.bars) - 1)].close
    state.mean = sqrt(mean * mean)
    update_donchian(state.top, view.m5, params.candles)


def on_funding(view, params):
    """Forget the mean when the rate is extreme."""
    if abs(view.market.rate) > 0.01:
        _forget(view.state)


def _forget(state):
    state.mean = 0.0


def enter(view, params, answer):
    """Buy after so many candles."""
    if view.state.fallen < params.candles:
        return 0
    answer.stop_fraction = min(0.1, params.stop_percent / 100.0)
    answer.target_fraction = 0.01
    read(view, params, answer.reading)
    return 1


def read(view, params, reading):
    """Fill in the numbers of this moment."""
    reading.fallen = view.state.fallen
    reading.mean = view.state.mean


def leave(view, params, answer):
    """Leave above the mean."""
    return RECOVERED if view.candle.close > view.state.mean else NO_REASON


def explain(reading, params, side):
    """Return the condition of an entry."""
    return [
        Condition(f"fallen {side}", value, ">=", params.candles, value >= params.candles)
        for value in (float(reading.fallen),)
    ]


def needs(params):
    """Return the candles that it needs."""
    return max(4, params.candles + 1)


if __name__ == "__main__":
    import sys

    print(sys.argv)
'''


def changed(old: str, new: str) -> str:
    """The good file with one thing changed."""
    assert GOOD.count(old) == 1, f"{old!r} stands {GOOD.count(old)} times in the file"
    return GOOD.replace(old, new)


def with_line(hook: str, line: str) -> str:
    """The good file with a line more, at the beginning of a hook."""
    before, _, after = GOOD.partition(f"def {hook}(")
    signature, _, rest = after.partition('"""\n')
    return f'{before}def {hook}({signature}"""\n    {line}\n{rest}'
