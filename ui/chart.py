"""The chart of one symbol: candles with indicators or a strategy's readings, fills, and open positions."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.errors import UsageError
from papertape.events.units import CHART_TIMEFRAMES_MS
from papertape.projections.text.formats import decimals, moment_ms, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.folds.portfolio import PositionView
    from papertape.projections.folds.resting_prices import RestingPrice
    from papertape.projections.folds.trades import TradeView
    from papertape.projections.site.ports import ChartView
    from papertape.ui.page_request import PageRequest

TIMEFRAME_DEFAULT = "5m"
CANDLES_SHOWN_MAX = 240
CANDLES_FETCHED_MAX = 1_000
"""The browser fetches candles beyond the edges of a chart in batches of this size, smaller ones with readings."""
CANDLES_AFTER = 120
"""How many candles are shown after a chosen time."""
CANDLES_A_TRADE = 60
"""The timeframe of a trade's chart is the first in which the trade spans at most this many candles."""
TRADES_SHOWN_MAX = 200
TRADES_LISTED_MAX = 12


class ChartFocus(Struct, frozen=True):
    """What a chart shows first: a time, or a trade from its entry to its exit, `seq` of the latter; 0 for none."""

    from_ms: int
    until_ms: int
    seq: int = 0


class ChartPicture(Struct, frozen=True):
    """The data of the chart. Prices have `decimals` decimal places; `resting` are the prices of orders over time.

    `is_newest` says that the candles reach up to the newest one.
    """

    chart: ChartView
    trades: tuple[TradeView, ...]
    positions: tuple[PositionView, ...]
    resting: tuple[RestingPrice, ...]
    decimals: int
    is_newest: bool
    focus: ChartFocus | None


class ChartPage(Struct, frozen=True):
    """The context of the page. Without any candle `symbol` is empty; in `part=content` the picture is None.

    `at` is the chosen time as text. `strategy` is the one whose readings are drawn, empty for none; `strategies` are
    those that trade the symbol.
    """

    symbol: str
    symbols: tuple[str, ...]
    timeframe: str
    timeframes: tuple[str, ...]
    strategy: str
    strategies: tuple[str, ...]
    at: str
    picture: ChartPicture | None
    trades: tuple[TradeView, ...]
    positions: tuple[PositionView, ...]


async def chart(request: PageRequest) -> ChartPage:
    """Load the chart of a symbol, the first one by default.

    Raise UsageError for an unknown symbol, timeframe or strategy. During the first fold it has candles only; it raises
    LogBusy then for the chart of a trade, and for a symbol without a recent candle.
    """
    views = request.views
    symbols = tuple(views.freshness)
    symbol = request.path.get("symbol") or (symbols[0] if symbols else "")
    if request.folding is not None and symbol not in symbols:
        raise request.folding.as_error()
    if symbol not in symbols and symbol in views.contracts.by_symbol:
        symbol = ""  # It is configured, but has no candle yet.
    if symbol and symbol not in symbols:
        raise UsageError(f"there is no symbol {symbol!r}; there are: {', '.join(symbols) or 'none yet'}")
    timeframes, focus = timeframes_of(request, symbol), _focus(request, symbol)
    timeframe = request.parameter("tf") or fitting_timeframe(timeframes, focus)
    if timeframe not in timeframes:
        raise UsageError(f"there is no timeframe {timeframe!r}; there are: {', '.join(timeframes)}")
    asked_ms = request.number("before_ms", 0) or (
        focus and focus.until_ms + CANDLES_AFTER * CHART_TIMEFRAMES_MS[timeframe]
    )
    before_ms = asked_ms if asked_ms and asked_ms <= request.views.at_ms else None
    strategy, runners = request.parameter("strategy"), views.runners
    if request.folding is not None:
        strategy, runners = "", {}
    # Await first: the views advance while other tasks run.
    wants_picture = symbol and request.part != "content"
    view = await _chart(request, symbol, CHART_TIMEFRAMES_MS[timeframe], before_ms, strategy) if wants_picture else None
    trades = views.trades.closed(symbol=symbol)[::-1]
    positions = tuple(one for one in views.portfolio.positions() if one.symbol == symbol)
    return ChartPage(
        symbol=symbol,
        symbols=symbols,
        timeframe=timeframe,
        timeframes=timeframes,
        strategy=strategy,
        strategies=tuple(name for name, one in runners.items() if symbol in one.symbols or name == strategy),
        at=utc(focus.from_ms) if focus is not None else "",
        picture=None
        if view is None
        else _picture(request, view, _trades_in(view, trades, before_ms), positions, focus),
        trades=trades[:TRADES_LISTED_MAX],
        positions=positions,
    )


def _focus(request: PageRequest, symbol: str) -> ChartFocus | None:
    """Return the chosen time or trade, None without one. Raise UsageError for an unknown trade and for no time."""
    if seq := request.number("trade", 0):
        if request.folding is not None:
            raise request.folding.as_error()
        trade = request.views.trades.closed_by(seq)
        if trade.symbol != symbol:
            raise UsageError(f"no trade on {symbol} closed at event {seq:,}")
        return ChartFocus(trade.entry_time_ms, trade.exit_time_ms, seq)
    text = request.parameter("at")
    at_ms = moment_ms(text) if text else None
    if text and at_ms is None:
        raise UsageError(f"at={text!r} is not a time such as 2025-01-31T12:00")
    return None if at_ms is None else ChartFocus(at_ms, at_ms)


def fitting_timeframe(timeframes: Sequence[str], focus: ChartFocus | None) -> str:
    """Return the default timeframe, or for a trade one in which it is short but visible."""
    if focus is None or not focus.seq:
        return TIMEFRAME_DEFAULT if TIMEFRAME_DEFAULT in timeframes else timeframes[0]
    length_ms = focus.until_ms - focus.from_ms
    fitting = (name for name in timeframes if length_ms <= CANDLES_A_TRADE * CHART_TIMEFRAMES_MS[name])
    return next(fitting, timeframes[-1])


def timeframes_of(request: PageRequest, symbol: str) -> tuple[str, ...]:
    """Return the timeframes that a symbol's candles can form: their own and longer ones."""
    contract = request.views.contracts.by_symbol.get(symbol)
    base_ms = 0 if contract is None else contract.timeframe_ms
    return tuple(name for name, ms in CHART_TIMEFRAMES_MS.items() if ms >= base_ms)


async def _chart(
    request: PageRequest, symbol: str, timeframe_ms: int, before_ms: int | None, strategy: str
) -> ChartView:
    inspector, is_further = request.site.inspector, "before_ms" in request.query and not strategy
    count = CANDLES_FETCHED_MAX if is_further else CANDLES_SHOWN_MAX
    return await inspector.chart(request.seq, symbol, timeframe_ms, count, before_ms, strategy or None)


def _trades_in(view: ChartView, trades: Sequence[TradeView], before_ms: int | None) -> tuple[TradeView, ...]:
    """Return the newest trades within the candles."""
    first_ms = view.candles[0].open_time_ms if view.candles else 0
    inside = (
        one for one in trades if one.exit_time_ms >= first_ms and (before_ms is None or one.entry_time_ms < before_ms)
    )
    return tuple(islice(inside, TRADES_SHOWN_MAX))


def _picture(
    request: PageRequest,
    view: ChartView,
    trades: tuple[TradeView, ...],
    positions: tuple[PositionView, ...],
    focus: ChartFocus | None,
) -> ChartPicture:
    contract = request.views.contracts.by_symbol.get(view.symbol)
    places = decimals(contract.tick_numerator, contract.tick_denominator) if contract is not None else 2
    resting: tuple[RestingPrice, ...] = ()
    if view.candles:
        until_ms = view.candles[-1].open_time_ms + view.timeframe_ms
        resting = request.views.resting.of(view.symbol, view.candles[0].open_time_ms, until_ms)
    newest_ms = request.views.freshness[view.symbol].at_ms
    is_newest = bool(view.candles) and view.candles[-1].open_time_ms + view.timeframe_ms >= newest_ms
    return ChartPicture(view, trades, positions, resting, places, is_newest, focus)
