"""What a strategy sees when one of its hooks is called: the view.

The kernel builds a view only when it calls a hook. It holds references to the state and a few numbers, so it costs
nothing in compiled code and little in CPython. Each strategy has view types of its own, because their fields are named
after its series.

All of them are Structs, because CPython reads their fields eight times as fast as those of a named tuple. For numba
each is a named tuple with the same fields (`engine.research.numba_callees`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct, defstruct

from papertape.engine.kernel.signals import TAKE_FIRST, take_none

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.signals import SignalValue
    from papertape.engine.kernel.state import (
        Account,
        Bars,
        Market,
        Position,
        Readings,
        Series,
        Settlements,
        SymbolState,
    )

SERIES_MAX = 4
REFERENCES_MAX = 2


class ViewPart(Struct, frozen=True, gc=False):
    """A view, or what one is made of."""


class SeriesView(ViewPart, frozen=True, gc=False):
    """One series: its last complete candle, and the ring of its history."""

    candle: Series
    bars: Bars


class Reference(ViewPart, frozen=True, gc=False):
    """Another symbol that a strategy looks at: its index, its market, and its series in the strategy's order."""

    symbol: int
    market: Market
    series: tuple[SeriesView, ...]


class MarketData(ViewPart, frozen=True, gc=False):
    """What was observed of one symbol for one runner; series and signals stand in the order of the strategy's lists."""

    market: Market
    series: tuple[SeriesView, ...]
    settlements: Settlements
    readings: Readings
    signals: Sequence[SignalValue]
    references: tuple[Reference, ...]


class View:
    """The fields of a view, for annotations; a strategy has only the series that its `SERIES` names.

    `now_ms` is the time of the fact that is shown: for a candle its close. `candle` is the last complete candle of the
    first series. The observing hooks see no position, account and symbol. `signals` has a field for each name in
    `SIGNALS`, the last signal as a `SignalValue`; a strategy that lists none has no such field. Each of the strategy's
    `REFERENCES` is a field too: it has the same series by name, and `close_ms`, the close of that symbol's last candle,
    -1 before the first.
    """

    now_ms: int
    candle: Series
    m1: SeriesView
    m3: SeriesView
    m5: SeriesView
    m15: SeriesView
    m30: SeriesView
    h1: SeriesView
    h2: SeriesView
    h4: SeriesView
    h6: SeriesView
    h12: SeriesView
    d1: SeriesView
    market: Market
    readings: Readings
    state: Any
    position: Position
    account: Account
    symbol: SymbolState
    signals: Any


SERIES_FIELDS = frozenset(name for name in View.__annotations__ if name[-1:].isdigit())
"""The fields of all series that there are."""


def field_of(series: str) -> str:
    """Return the name of a series' field in a view: `m5` for 5m."""
    return f"{series[-1]}{series[:-1]}"


def observing_type(series: Sequence[str], references: Sequence[str] = (), signals: Sequence[str] = ()) -> type[Any]:
    """Return the type of the view of a strategy's observing hooks, by the names of its series, references, signals."""
    return _view_type("ObservingView", tuple(series), (), tuple(references), tuple(signals))


def deciding_type(series: Sequence[str], references: Sequence[str] = (), signals: Sequence[str] = ()) -> type[Any]:
    """Return the type of the view of a strategy's other hooks, by the names of its series, references and signals."""
    own = ("position", "account", "symbol")
    return _view_type("DecidingView", tuple(series), own, tuple(references), tuple(signals))


@cache
def reference_type(series: Sequence[str]) -> type[Any]:
    """Return the type of a reference in a view, given the names of the strategy's series."""
    fields = tuple(map(field_of, series))
    return _type_of("_".join(("ReferenceView", *fields)), ("close_ms", *fields))


@cache
def _view_type(
    kind: str, series: tuple[str, ...], own: tuple[str, ...], references: tuple[str, ...], signals: tuple[str, ...]
) -> type[Any]:
    """Return a view type, with the field `signals` if the strategy lists any, and one for each reference."""
    named = tuple(map(field_of, series))
    fields = ("now_ms", "candle", *named, "market", "readings", "state", *own, *(("signals",) if signals else ()))
    name = "__".join(("_".join((kind, *named)), *filter(None, ("_".join(signals), "_".join(references)))))
    return _type_of(
        f"{name}_{len(signals)}{len(references)}" if signals or references else name, (*fields, *references)
    )


def _type_of(name: str, fields: tuple[str, ...]) -> type[Any]:
    """Return a type with these fields. It becomes a name of this module, by which numba's disk cache knows it."""
    globals()[name] = made = defstruct(name, fields, bases=(ViewPart,), module=__name__, frozen=True, gc=False)
    return made


@cache
def signal_part(signals: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that makes the last fields of a view from a symbol's signals: one, or none."""
    if not signals:
        return take_none
    view_type, take = _type_of("_".join(("SignalsView", *signals)), signals), TAKE_FIRST[len(signals)]

    def show_signals(values: Any) -> tuple[Any, ...]:
        return (as_view(view_type, take(values)),)

    return show_signals


def as_view(view_type: type[Any], fields: tuple[Any, ...]) -> Any:
    """Return fields as a view. The compiled loop's version is in `engine.research.numba_callees`."""
    return view_type(*fields)


def bind_observing(
    series: Sequence[str],
    references: Sequence[str],
    signals: Sequence[str],
    show_signals: Callable[[Any], tuple[Any, ...]],
    hook: Callable[..., Any],
) -> Callable[..., None]:
    """Bind an observing hook into a function that builds its view and calls it; `show_signals` is `signal_part`'s."""
    view_type, other_type = observing_type(series, references, signals), reference_type(tuple(series))

    def show(now_ms: int, data: MarketData, state: Any, params: Any) -> None:
        series, own = data.series, (data.market, data.readings, state)
        head, signals = (now_ms, series[0].candle), show_signals(data.signals)
        hook(as_view(view_type, head + series + own + signals), params)

    def show_with_one(now_ms: int, data: MarketData, state: Any, params: Any) -> None:
        own, first = (data.market, data.readings, state, *show_signals(data.signals)), data.references[0]
        leader = as_view(other_type, (first.market.close_time_ms, *first.series))
        hook(as_view(view_type, (now_ms, data.series[0].candle, *data.series, *own, leader)), params)

    def show_with_two(now_ms: int, data: MarketData, state: Any, params: Any) -> None:
        own, first = (data.market, data.readings, state, *show_signals(data.signals)), data.references[0]
        second = data.references[1]
        leader = as_view(other_type, (first.market.close_time_ms, *first.series))
        other = as_view(other_type, (second.market.close_time_ms, *second.series))
        hook(as_view(view_type, (now_ms, data.series[0].candle, *data.series, *own, leader, other)), params)

    return (show, show_with_one, show_with_two)[len(references)]


def bind_hook(
    series: Sequence[str],
    references: Sequence[str],
    signals: Sequence[str],
    show_signals: Callable[[Any], tuple[Any, ...]],
    hook: Callable[..., Any],
) -> Callable[..., Any]:
    """Bind a deciding hook into a function that builds its view and calls it; `filled` is an answer or a reading."""
    view_type, other_type = deciding_type(series, references, signals), reference_type(tuple(series))

    def call_hook(
        now_ms: int, data: MarketData, state: Any, account: Account, symbol: SymbolState, params: Any, filled: Any
    ) -> Any:
        series, own = data.series, (data.market, data.readings, state, symbol.position, account, symbol)
        head, signals = (now_ms, series[0].candle), show_signals(data.signals)
        return hook(as_view(view_type, head + series + own + signals), params, filled)

    def call_with_one(
        now_ms: int, data: MarketData, state: Any, account: Account, symbol: SymbolState, params: Any, filled: Any
    ) -> Any:
        own, first = (data.market, data.readings, state), data.references[0]
        traded = (symbol.position, account, symbol, *show_signals(data.signals))
        leader = as_view(other_type, (first.market.close_time_ms, *first.series))
        view = as_view(view_type, (now_ms, data.series[0].candle, *data.series, *own, *traded, leader))
        return hook(view, params, filled)

    def call_with_two(
        now_ms: int, data: MarketData, state: Any, account: Account, symbol: SymbolState, params: Any, filled: Any
    ) -> Any:
        own, first, second = (data.market, data.readings, state), data.references[0], data.references[1]
        traded = (symbol.position, account, symbol, *show_signals(data.signals))
        leader = as_view(other_type, (first.market.close_time_ms, *first.series))
        other = as_view(other_type, (second.market.close_time_ms, *second.series))
        view = as_view(view_type, (now_ms, data.series[0].candle, *data.series, *own, *traded, leader, other))
        return hook(view, params, filled)

    return (call_hook, call_with_one, call_with_two)[len(references)]


def with_series(count: int, act: Callable[..., Any]) -> Callable[..., Any]:
    """Bind `act(views, ...)` into `act_on(series, bars, s, ...)`; the views are those of symbol `s` in `count` series.

    Compiled functions cannot return such views, so whatever needs them is called with them.
    """

    def act_on_one(series: Any, bars: Any, s: int, *rest: Any) -> Any:
        return act((SeriesView(series[0][s], bars[0][s]),), *rest)

    def act_on_two(series: Any, bars: Any, s: int, *rest: Any) -> Any:
        return act((SeriesView(series[0][s], bars[0][s]), SeriesView(series[1][s], bars[1][s])), *rest)

    def act_on_three(series: Any, bars: Any, s: int, *rest: Any) -> Any:
        views = SeriesView(series[0][s], bars[0][s]), SeriesView(series[1][s], bars[1][s])
        return act((*views, SeriesView(series[2][s], bars[2][s])), *rest)

    def act_on_four(series: Any, bars: Any, s: int, *rest: Any) -> Any:
        views = SeriesView(series[0][s], bars[0][s]), SeriesView(series[1][s], bars[1][s])
        return act((*views, SeriesView(series[2][s], bars[2][s]), SeriesView(series[3][s], bars[3][s])), *rest)

    return (act_on_one, act_on_two, act_on_three, act_on_four)[count - 1]
