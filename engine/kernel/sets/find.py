"""The third pass: the closes at which `enter` gives a side and `leave` a reason, whatever was traded before.

It serves hooks that look at neither the account nor the symbol. What it finds is asked again when it is traded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.changes import keep_answer, renew_answer
from papertape.engine.kernel.references import REFERENCES_READY
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.signals import have_arrived
from papertape.engine.kernel.view import MarketData

if TYPE_CHECKING:
    from collections.abc import Callable

TILE = 512
"""Closes that are looked at for all sets before the next ones, so that their rows stay in the processor's cache."""


def make_would_answer(hook: Callable[..., Any], signals: int, references: int, *, enters: bool) -> Callable[..., bool]:
    """Make the function that tells whether `enter` gives a side, or `leave` a reason, at a row.

    `hook` is bound by `bind_hook`. Only `enter`, which `enters`, waits for candles, its own and those of so many
    references, and for so many signals.
    """
    references_ready = REFERENCES_READY[references]

    def would_answer(
        views: Any,
        others: Any,
        market: Any,
        settlements: Any,
        readings: Any,
        last_signals: Any,
        now_ms: int,
        state: Any,
        desk: Any,
        account: Any,
        params: Any,
        needs: Any,
        answer: Any,
    ) -> bool:
        data = MarketData(market, views, settlements, readings, last_signals, others)
        if enters and not (is_ready(views, needs) and have_arrived(last_signals, signals)):
            return False
        if enters and not references_ready(data, needs):
            return False
        given = hook(now_ms, data, state, account, desk, params, answer)
        return given is not None and given != 0

    return would_answer


def make_find(answers: Callable[..., bool], *, renew: bool) -> Callable[..., int]:
    """Make the pass that writes the closes at which a hook answers, by their number: `found[m][:counts[m]]`.

    It looks at the first `total` closes of `among`. Member `m` is the set `members[m]`. `answers` is bound by
    `with_rows`, and `renew` is for a hook that reads what it wrote to its answer.
    """
    prepare = renew_answer if renew else keep_answer

    def find(
        times_ms: Any,
        asks: Any,
        among: Any,
        total: int,
        rows: Any,
        bars: Any,
        settlements: Any,
        readings: Any,
        states: Any,
        desks: Any,
        accounts: Any,
        params: Any,
        needs: Any,
        members: Any,
        scratch: Any,
        found: Any,
        counts: Any,
    ) -> int:
        desk, account, answer, rings = desks[0], accounts[0], scratch[0], (settlements[0], readings[0])
        for first in range(0, total, TILE):
            last = min(total, first + TILE)
            for m in range(len(members)):
                j, into, count = members[m], found[m], counts[m]
                param, need = params[j], needs[j]
                for k in range(first, last):
                    a = among[k]
                    r = asks.row[a]
                    prepare(answer)
                    seen = rows.markets[r], *rings, rows.signals[r]
                    now_ms = times_ms[asks.candle[a]]
                    if answers(rows, bars, r, *seen, now_ms, states[r], desk, account, param, need, answer):
                        into[count] = a
                        count += 1
                counts[m] = count
        return total

    return find


def fill_following(found: Any, counts: Any, total: int, following: Any) -> int:
    """Write for every close and member the first close from it on that was found, `total` behind the last one."""
    for m in range(len(counts)):
        a, into = total, following[m]
        into[total] = total
        k = counts[m] - 1
        for b in range(total - 1, -1, -1):
            if k >= 0 and found[m][k] == b:
                a = b
                k -= 1
            into[b] = a
    return total
