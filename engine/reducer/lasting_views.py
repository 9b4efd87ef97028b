"""Views that last: in CPython, a hook is given the same view again while only the time has changed.

Whatever a view refers to changes in place, so a new view is needed only for other data. A reference has a time of its
own in a view, so strategies with references get a new view each time, as in compiled code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import force_setattr

from papertape.engine.kernel.view import deciding_type, observing_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.state import Account, SymbolState
    from papertape.engine.kernel.view import MarketData


def show_again(
    series: Sequence[str],
    signals: Sequence[str],
    show_signals: Callable[[Any], tuple[Any, ...]],
    hook: Callable[..., Any],
) -> Callable[..., None]:
    """Bind an observing hook as `bind_observing` does."""
    view_type = observing_type(series, (), signals)
    seen: MarketData | None = None
    view: Any = None

    def show(now_ms: int, data: MarketData, state: Any, params: Any) -> None:
        nonlocal seen, view
        if data is seen and state is view.state:
            force_setattr(view, "now_ms", now_ms)
        else:
            seen, own = data, (data.market, data.readings, state, *show_signals(data.signals))
            view = view_type(now_ms, data.series[0].candle, *data.series, *own)
        hook(view, params)

    return show


def ask_again(
    series: Sequence[str],
    signals: Sequence[str],
    show_signals: Callable[[Any], tuple[Any, ...]],
    hook: Callable[..., Any],
) -> Callable[..., Any]:
    """Bind a deciding hook as `bind_hook` does."""
    view_type = deciding_type(series, (), signals)
    seen: MarketData | None = None
    view: Any = None

    def call_hook(
        now_ms: int, data: MarketData, state: Any, account: Account, symbol: SymbolState, params: Any, filled: Any
    ) -> Any:
        nonlocal seen, view
        if data is seen and state is view.state and symbol is view.symbol and account is view.account:
            force_setattr(view, "now_ms", now_ms)
        else:
            seen, traded = data, (symbol.position, account, symbol, *show_signals(data.signals))
            own = data.market, data.readings, state
            view = view_type(now_ms, data.series[0].candle, *data.series, *own, *traded)
        return hook(view, params, filled)

    return call_hook
