"""The equity curve of an account over a tape: drawdown after every candle, and the equity at the end of every day.

Written like the kernel, so that one source serves lists and arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import CANDLE, WARM_UP
from papertape.events.units import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS_MAX = 36_600


class EquitySummary(Struct, frozen=True):
    """The summary of an equity curve. Drawdown is a fraction of the peak so far, which starts with the capital.

    `day_equities_usdt` has every calendar day from the first candle's to the last's; the last day ends with
    the last candle. `from_ms` is the first candle's open, `until_ms` the last one's close, 0 without candles.
    """

    from_ms: int
    until_ms: int
    end_equity_usdt: float
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    day_equities_usdt: list[float]


def walk_equity(facts: Any, equities: Any, capital: float, days: Any) -> tuple[int, int, float, float, int, int]:
    """Compute drawdown and day ends over a tape; write the latter to `days`."""
    from_ms, until_ms, under_ms, longest_ms, day_end_ms = 0, 0, -1, 0, 0
    peak, equity, deepest, count = capital, capital, 0.0, 0
    kinds, timings, opens_ms, times_ms = facts.kind, facts.timing, facts.open_time_ms, facts.time_ms
    for f in range(len(kinds)):
        if kinds[f] != CANDLE or timings[f] == WARM_UP:
            continue
        open_ms = opens_ms[f]
        if open_ms >= day_end_ms:
            if day_end_ms == 0:
                from_ms = open_ms
                until_ms = open_ms
                day_end_ms = open_ms - open_ms % DAY_MS + DAY_MS
            while open_ms >= day_end_ms:
                if count < len(days) - 1:
                    days[count] = equity
                    count += 1
                day_end_ms += DAY_MS
        at_ms = max(times_ms[f], until_ms)
        if equities[f] == equity:
            until_ms = at_ms
            continue  # Neither a peak nor a drawdown begins or ends.
        equity = equities[f]
        if equity >= peak:
            if under_ms >= 0:
                longest_ms = max(longest_ms, at_ms - under_ms)
            peak = equity
            under_ms = -1
        else:
            if under_ms < 0:
                under_ms = until_ms
            if peak > 0.0:
                deepest = max(deepest, (peak - equity) / peak)
        until_ms = at_ms
    if under_ms >= 0:
        longest_ms = max(longest_ms, until_ms - under_ms)
    days[count] = equity
    return from_ms, until_ms, equity, deepest, longest_ms, count + 1


def summarize_equity(
    walk: Callable[..., Any], facts: Any, equities: Any, capital_usdt: float, days: Any
) -> EquitySummary:
    """Return the summary of one account; `walk` is the loop, plain or compiled, `days` room for the day ends."""
    from_ms, until_ms, equity, deepest, longest_ms, count = walk(facts, equities, capital_usdt, days)
    ends = [float(days[k]) for k in range(count)] if until_ms else []
    return EquitySummary(int(from_ms), int(until_ms), float(equity), float(deepest), int(longest_ms), ends)
