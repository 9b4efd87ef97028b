"""References: other symbols that a strategy looks at, and when it is shown their candles.

A strategy is shown each candle of its own series and of its references' exactly once, in the order of the facts:
`observe` is called when its own symbol completes one, and when a reference does. In either call `completed` is 1 only
for series of the symbol whose candle it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.engine.kernel.codes import CANDLE
from papertape.engine.kernel.series import is_ready
from papertape.engine.kernel.view import MarketData, Reference, with_series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.state import Fact, Needs
    from papertape.engine.kernel.view import SeriesView

    Part = Callable[[Any], Any]
    """What a compiled loop does to each function that it consists of; CPython leaves them as they are."""


def as_it_is(function: Any) -> Any:
    """Return a function as CPython calls it."""
    return function


def ignore_candle(*_: Any) -> None:
    """Do nothing, for a strategy without references."""


def hide_completions(series: tuple[SeriesView, ...]) -> int:
    """Make every series say that it completed nothing; return what they said, one bit each."""
    said, bit = 0, 1
    for one in series:
        if one.candle.completed == 1:
            one.candle.completed = 0
            said += bit
        bit += bit
    return said


def restore_completions(series: tuple[SeriesView, ...], said: int) -> None:
    """Make every series say again what `hide_completions` returned."""
    for one in series:
        half = int(said / 2)
        if said != half + half:
            one.candle.completed = 1
        said = half


def make_own_update(update_strategy: Callable[..., None], count: int, part: Part = as_it_is) -> Callable[..., None]:
    """Bind `update_strategy` so that it shows a fact of the strategy's own symbol, with all references at rest."""

    def update_beside_one(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        first = data.references[0]
        said = hide_completions(first.series) if first.symbol != fact.symbol else 0
        update_strategy(fact, data, state, params)
        restore_completions(first.series, said)

    def update_beside_two(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        first, second = data.references[0], data.references[1]
        said = hide_completions(first.series) if first.symbol != fact.symbol else 0
        also = hide_completions(second.series) if second.symbol != fact.symbol else 0
        update_strategy(fact, data, state, params)
        restore_completions(first.series, said)
        restore_completions(second.series, also)

    return (update_strategy, part(update_beside_one), part(update_beside_two))[count]


def make_reference_update(observe: Callable[..., None], count: int, part: Part = as_it_is) -> Callable[..., None]:
    """Bind `observe`, bound by `bind_observing`, so that it shows a candle of a reference if that completed a series.

    The data are those of the strategy's own symbol, whose series are at rest.
    """

    def update_of_one(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        if completed_any(data.references[0].series):
            said = hide_completions(data.series)
            observe(fact.time_ms, data, state, params)
            restore_completions(data.series, said)

    def update_of_two(fact: Fact, data: MarketData, state: Any, params: Any) -> None:
        first, second = data.references[0], data.references[1]
        said = hide_completions(first.series) if first.symbol != fact.symbol else 0
        also = hide_completions(second.series) if second.symbol != fact.symbol else 0
        if completed_any(first.series) or completed_any(second.series):
            own = hide_completions(data.series)
            observe(fact.time_ms, data, state, params)
            restore_completions(data.series, own)
        restore_completions(first.series, said)
        restore_completions(second.series, also)

    return (ignore_candle, part(update_of_one), part(update_of_two))[count]


def completed_any(series: tuple[SeriesView, ...]) -> bool:
    """Return whether the latest base candle completed a candle of at least one of the series."""
    for one in series:  # noqa: SIM110 - numba compiles no generator
        if one.candle.completed == 1:
            return True
    return False


def is_reference(symbol: int, references: Sequence[int]) -> bool:
    """Return whether a symbol is among the references."""
    for other in references:  # noqa: SIM110 - numba compiles no generator
        if other == symbol:
            return True
    return False


# ---------------------------------------------------------------- readiness


def none_missing(data: MarketData, needs: Needs) -> bool:  # noqa: ARG001 - all three have one signature
    """Return True, for a strategy without references."""
    return True


def first_ready(data: MarketData, needs: Needs) -> bool:
    """Return whether the only reference has the complete candles that the strategy needs of its own series."""
    return is_ready(data.references[0].series, needs)


def both_ready(data: MarketData, needs: Needs) -> bool:
    """Return whether both references have the complete candles that the strategy needs of its own series."""
    return is_ready(data.references[0].series, needs) and is_ready(data.references[1].series, needs)


REFERENCES_READY = (none_missing, first_ready, both_ready)
"""The functions that tell whether the references are ready, by their number."""


# ---------------------------------------------------------------- loops over a tape


def with_data(series: int, references: int, act: Callable[..., Any], part: Part = as_it_is) -> Callable[..., Any]:
    """Bind `act(data, ...)` into `act_on(series, bars, s, others, market, rings, ...)`, with the data of symbol `s`.

    `series` and `references` are their numbers; `others` is `(series, bars, markets, indices of the references)`, and
    `rings` the symbol's settlements, readings and signals.
    """

    def act_alone(views: Any, others: Any, market: Any, rings: Any, *rest: Any) -> Any:  # noqa: ARG001 - as act_with_one
        return act(MarketData(market, views, rings[0], rings[1], rings[2], ()), *rest)

    def act_with_one(first: Any, leader: Any, r: int, views: Any, market: Any, rings: Any, *rest: Any) -> Any:
        references = (Reference(r, leader, first),)
        return act(MarketData(market, views, rings[0], rings[1], rings[2], references), *rest)

    def act_with_two(second: Any, other: Any, q: int, one: Any, views: Any, market: Any, rings: Any, *rest: Any) -> Any:
        references = one, Reference(q, other, second)
        return act(MarketData(market, views, rings[0], rings[1], rings[2], references), *rest)

    if references == 0:
        return with_series(series, part(act_alone))
    if references == 1:
        bound = part(with_series(series, part(act_with_one)))

        def act_on_first(views: Any, others: Any, *rest: Any) -> Any:
            all_series, bars, markets, indices = others
            r = indices[0]
            return bound(all_series, bars, r, markets[r], r, views, *rest)

        return with_series(series, part(act_on_first))
    bound_second = part(with_series(series, part(act_with_two)))

    def act_on_second(first: Any, market: Any, r: int, views: Any, others: Any, *rest: Any) -> Any:
        all_series, bars, markets, indices = others
        q = indices[1]
        return bound_second(all_series, bars, q, markets[q], q, Reference(r, market, first), views, *rest)

    bound_first = part(with_series(series, part(act_on_second)))

    def act_on_both(views: Any, others: Any, *rest: Any) -> Any:
        all_series, bars, markets, indices = others
        r = indices[0]
        return bound_first(all_series, bars, r, markets[r], r, views, others, *rest)

    return with_series(series, part(act_on_both))


def make_show(series: int, references: int, update: Callable[..., None], part: Part = as_it_is) -> Callable[..., None]:
    """Make the function that shows a candle of a reference to the strategy, on every other symbol.

    `update` is that of `make_reference_update`.
    """

    def update_on(data: Any, fact: Any, state: Any, params: Any) -> None:
        update(fact, data, state, params)

    bound = part(with_data(series, references, part(update_on), part))

    def show(fact: Any, others: Any, settlements: Any, readings: Any, signals: Any, states: Any, params: Any) -> None:
        all_series, bars, markets, indices = others
        if fact.kind != CANDLE or not is_reference(fact.symbol, indices):
            return
        for s in range(len(states)):
            if s != fact.symbol:
                rings = settlements[s], readings[s], signals[s]
                bound(all_series, bars, s, others, markets[s], rings, fact, states[s], params[s])

    return ignore_candle if references == 0 else show
