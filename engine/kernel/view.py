"""What a strategy sees when one of its hooks is called: the view.

The kernel builds a view only when it calls a hook. It holds references to the state and a few numbers, so it costs
nothing in compiled code and little in CPython. Each strategy has view types of its own, because their fields are named
after its series.
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from papertape.engine.kernel.signals import TAKE_FIRST, take_none

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.signals import SignalValue
    from papertape.engine.kernel.state import Account, Bars, Market, Readings, Series, Settlements, SymbolState

SERIES_MAX = 4


class SeriesView(NamedTuple):
    """One series: its last complete candle, and the ring of its history."""

    candle: Series
    bars: Bars


class MarketData(NamedTuple):
    """What was observed of one symbol for one runner; series and signals stand in the order of the strategy's lists."""

    market: Market
    series: tuple[SeriesView, ...]
    settlements: Settlements
    readings: Readings
    signals: Sequence[SignalValue]


class OpenPosition(NamedTuple):
    """The open position; `side` is 0 when flat. `profit_usdt` is the profit of leaving at this close, after costs."""

    side: int
    entry_time_ms: int
    quantity_base: float
    entry_price_usdt: float
    stop_price_usdt: float
    target_price_usdt: float
    liquidation_price_usdt: float
    margin_usdt: float
    fee_usdt: float
    funding_usdt: float
    profit_usdt: float


FLAT = OpenPosition(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class View:
    """The fields of a view, for annotations; a strategy has only the series that its `SERIES` names.

    `now_ms` is the time of the fact that is shown: for a candle its close. `candle` is the last complete candle of the
    first series. The observing hooks see no position, account and symbol. `signals` has a field for each name in
    `SIGNALS`, the last signal as a `SignalValue`; a strategy that lists none has no such field.
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
    position: OpenPosition
    account: Account
    symbol: SymbolState
    signals: Any


def field_of(series: str) -> str:
    """Return the name of a series' field in a view: `m5` for 5m."""
    return f"{series[-1]}{series[:-1]}"


def observing_type(series: Sequence[str], signals: Sequence[str] = ()) -> type[Any]:
    """Return the type of the view that a strategy's observing hooks get, given the names of its series and signals."""
    return _view_type("ObservingView", tuple(map(field_of, series)), (), tuple(signals))


def deciding_type(series: Sequence[str], signals: Sequence[str] = ()) -> type[Any]:
    """Return the type of the view that a strategy's other hooks get, given the names of its series and signals."""
    return _view_type("DecidingView", tuple(map(field_of, series)), ("position", "account", "symbol"), tuple(signals))


@cache
def _view_type(kind: str, series: tuple[str, ...], own: tuple[str, ...], signals: tuple[str, ...]) -> type[Any]:
    """Return a view type, with the field `signals` if the strategy lists any."""
    fields = ("now_ms", "candle", *series, "market", "readings", "state", *own)
    return _named_type("_".join((kind, *series, *signals)), (*fields, "signals") if signals else fields)


def _named_type(name: str, fields: tuple[str, ...]) -> type[Any]:
    """Return a tuple type. It becomes a name of this module, because numba's disk cache finds types by their names."""
    globals()[name] = made = namedtuple(name, fields)  # noqa: PYI024 - the fields are known at run time only
    made.__module__ = __name__
    return made


@cache
def signal_part(signals: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function that makes the last fields of a view from a symbol's signals: one, or none."""
    if not signals:
        return take_none
    view_type, take = _named_type("_".join(("SignalsView", *signals)), signals), TAKE_FIRST[len(signals)]

    def show_signals(values: Any) -> tuple[Any, ...]:
        return (as_view(view_type, take(values)),)

    return show_signals


def as_view(view_type: type[Any], fields: tuple[Any, ...]) -> Any:
    """Return fields as a view. The compiled loop's version is in `engine.research.numba_callees`."""
    return tuple.__new__(view_type, fields)


def bind_hook(
    view_type: type[Any], hook: Callable[..., Any], show_signals: Callable[[Any], tuple[Any, ...]] = take_none
) -> Callable[..., Any]:
    """Bind a deciding hook into a function that builds its view and calls it; `filled` is an answer or a reading.

    `show_signals` is `signal_part`'s.
    """

    def call_hook(
        now_ms: int,
        data: MarketData,
        state: Any,
        position: OpenPosition,
        account: Account,
        symbol: SymbolState,
        params: Any,
        filled: Any,
    ) -> Any:
        series = data.series
        own = (data.market, data.readings, state, position, account, symbol)
        shown = (now_ms, series[0].candle, *series, *own, *show_signals(data.signals))
        return hook(as_view(view_type, shown), params, filled)

    return call_hook


def bind_deciding_hook(series: Sequence[str], signals: tuple[str, ...], hook: Callable[..., Any]) -> Callable[..., Any]:
    """Bind a deciding hook of a strategy with these series and signals."""
    return bind_hook(deciding_type(series, signals), hook, signal_part(signals))


def position_now(symbol: SymbolState, profit_usdt: float) -> OpenPosition:
    """Return the open position with the profit of leaving it at this close."""
    position = symbol.position
    return OpenPosition(
        position.side,
        position.entry_time_ms,
        position.quantity_base,
        position.entry_price_usdt,
        position.stop_price_usdt,
        position.target_price_usdt,
        position.liquidation_price_usdt,
        position.margin_usdt,
        position.fee_usdt,
        position.funding_usdt,
        profit_usdt,
    )


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
