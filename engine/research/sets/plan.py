"""How the sets of a strategy are traded: what they share, what may be passed over, and what takes the long way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from papertape.engine.kernel.codes import FUNDING, OPEN_INTEREST
from papertape.engine.kernel.strategy import ignore_fact
from papertape.engine.kernel.view import field_of
from papertape.engine.research.sets.reads import ANSWER, VIEW, never_zero, observing_reads, reads_of, state_params
from papertape.engine.research.sets.sift import sift_params

if TYPE_CHECKING:
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.research.sets.reads import Reads
    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings

SIDE = (VIEW, "position", "side")
EXTREMES = (VIEW, "position", "best_usdt"), (VIEW, "position", "worst_usdt")
OWN = ("position", "account", "symbol")
"""The parts of a view that depend on what was traded."""


class SetPlan(Struct, frozen=True):
    """What decides the passes over the sets of a strategy.

    `needing` are the parameters that decide how many candles it needs, `observing`, `entering` and `leaving` those that
    decide its state, its entries and its exits, and `leaving_state` those that decide what `leave` sees of the state.
    Entries are found beforehand if `finds` is true, else it is asked at every close; `sifting` has the parameters that
    each of its first conditions reads. `skips` says that exits are found too, so that closes may be passed over.
    `renews` is for an `enter` that reads its own answer, `renews_exit` for `leave`, and `asks_side` for a `leave` that
    answers by the side, and `watched` for hooks that look at the extremes of a position.
    """

    needing: tuple[str, ...]
    observing: tuple[str, ...]
    entering: tuple[str, ...]
    leaving: tuple[str, ...]
    leaving_state: tuple[str, ...]
    finds: bool
    skips: bool
    renews: bool
    renews_exit: bool
    asks_side: bool
    watched: bool
    sifting: tuple[tuple[str, ...], ...]
    shown: tuple[int, ...]
    """By kind, whether a fact that is no candle is shown to the strategy."""
    unfit: str
    """What keeps its hooks from being asked over rows, empty if nothing does."""


_PLANS: dict[tuple[str, str, tuple[Any, ...]], SetPlan] = {}


def plan_of(strategy: Strategy) -> SetPlan:
    """Return how the sets of a strategy are traded; it is found out once."""
    key = strategy.name, strategy.source, strategy.references
    if key not in _PLANS:
        _PLANS[key] = _plan(strategy)
    return _PLANS[key]


def _plan(strategy: Strategy) -> SetPlan:
    hooks, names, safe = strategy.hooks, strategy.parameters.__struct_fields__, never_zero(strategy)
    enter, leave = reads_of(hooks.enter, safe), reads_of(hooks.leave, safe)
    finds = not any(enter.reads(VIEW, part) for part in OWN)
    alone = not (leave.reads(VIEW, "account") or leave.reads(VIEW, "symbol")) and leave.only((VIEW, "position"), SIDE)
    shown = [0, 0, 0, 0]
    shown[FUNDING] = int(hooks.on_funding is not ignore_fact)
    shown[OPEN_INTEREST] = int(hooks.on_open_interest is not ignore_fact or "readings" in strategy.source)
    needs, manage = reads_of(strategy.needs), reads_of(hooks.manage)
    return SetPlan(
        needing=tuple(name for name in names if needs.reads(VIEW, name)),
        observing=observing_reads(strategy).params(names),
        entering=enter.params(names),
        leaving=leave.params(names),
        leaving_state=state_params(strategy, leave),
        finds=finds,
        skips=finds and alone and hooks.manage is None,
        renews=enter.reads(ANSWER),
        renews_exit=leave.reads(ANSWER),
        asks_side=leave.reads(*SIDE),
        watched=any(one.reads(*path) for path in EXTREMES for one in (leave, manage)),
        sifting=sift_params(strategy) if finds else (),
        shown=tuple(shown),
        unfit=next(filter(None, (_unfit(one, strategy) for one in (enter, leave, manage))), ""),
    )


def long_way_reason(strategy: Strategy, settings: RunnerSettings, tape: Tape) -> str:
    """Return why no set of a strategy can be traded over a prepared market, empty if all can."""
    if strategy.fault:
        return "the strategy's file cannot be used"
    if tape.disorder:
        return tape.disorder
    if len({table.timeframe_ms for table in tape.candles}) > 1:
        return "candles of several lengths"
    if settings.symbol_parameters:
        return "parameters by symbol"
    if settings.symbols is not None and not settings.symbols:
        return "no symbol"
    return plan_of(strategy).unfit


def _unfit(reads: Reads, strategy: Strategy) -> str:
    """Return what keeps a hook from being asked over rows, empty if nothing does."""
    if any(path[0] != ANSWER for path in reads.writes):
        return "a deciding hook writes to its view"
    if any(path[0] == VIEW and path[-1] in ("bars", "readings") for path in reads.paths):
        return "a deciding hook reads the history"
    series = [field_of(one) for one in strategy.series]
    wholes = {(VIEW,), *((VIEW, name) for name in (*series, *strategy.reference_names))}
    wholes |= {(VIEW, name, one) for name in strategy.reference_names for one in series}
    if not wholes.isdisjoint(reads.paths):
        return "a deciding hook reads the history"
    return ""
