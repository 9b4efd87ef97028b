"""Brackets: the stop and the targets that rest for every open position, as far as events and candles have moved them.

A stop that trails moves without an event: where it is follows from the fills and the candles (orders in parts, section
7). The kernel computes it in `engine.kernel.trailing`; a fold may not import that, so the rule stands here once more,
and a test holds both equal to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from papertape.events.facts import (
    CandleClosed,
    Closing,
    ContractListed,
    OrderCancelled,
    OrderPlaced,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
    RunnerConfigured,
    StopMoved,
    StopReason,
    TargetsMoved,
    Timing,
)
from papertape.projections.folds.grid import Grid, lot_of, tick_of
from papertape.projections.folds.ledger import direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import Target
    from papertape.events.log import Recorded
    from papertape.projections.market_run import MarketRun

FULL_LADDER = 1.0 - 1e-9
"""The parts of a ladder that closes the whole position add up to at least this."""
TAKER_FEE_PERCENT_DEFAULT = 0.06
SLIPPAGE_PERCENT_DEFAULT = 0.05
_WARM_UP = Timing.WARM_UP


class RestingTarget(Struct, frozen=True):
    """A target that rests since `since_ms`; `part` is its share of the position when the ladder was set."""

    rung: int
    price_usdt: float
    part: float
    since_ms: int


class Bracket(Struct, frozen=True):
    """The stop and the targets of one position.

    `stop_kind` says what tightened the stop last, `stop_since_ms` when it came to its price. `best_usdt` is the best
    price since the entry. The stop trails `trail_fraction` behind it once it is `trail_after_fraction` beyond the
    average entry, and moves to break-even once it is `breakeven_after_fraction` beyond; 0 is off. `targets_left` is 1
    minus the parts of the targets filled since the ladder was set; `is_full` if its parts add up to the whole position.
    """

    direction: float
    entry_price_usdt: float
    stop_price_usdt: float
    stop_since_ms: int
    stop_kind: StopReason = "stop"
    best_usdt: float = 0.0
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: tuple[RestingTarget, ...] = ()
    targets_left: float = 1.0
    is_full: bool = False

    @property
    def target_price_usdt(self) -> float:
        """The price of the nearest target; 0 if there is none."""
        return self.targets[0].price_usdt if self.targets else 0.0

    def target_base(self, target: RestingTarget, quantity_base: float, lot: Grid | None) -> float:
        """Return how much a target would close of a position of this size; the last one of a full ladder takes all."""
        if self.is_full and len(self.targets) == 1:
            return quantity_base
        share = quantity_base * target.part / self.targets_left if self.targets_left > 0.0 else quantity_base
        return min(quantity_base, share if lot is None else lot.floor(share))

    def without_target(self, rung: int, *, filled: bool) -> Bracket:
        """Return the bracket after a target was filled, or dropped because it was too small."""
        rest = tuple(target for target in self.targets if target.rung != rung)
        part = sum(target.part for target in self.targets if target.rung == rung) if filled else 0.0
        return structs.replace(self, targets=rest, targets_left=self.targets_left - part)


class ExchangeCosts(Struct, frozen=True):
    """What a market order costs an account, as fractions."""

    taker_fee: float = TAKER_FEE_PERCENT_DEFAULT / 100.0
    slippage: float = SLIPPAGE_PERCENT_DEFAULT / 100.0


def ladder_of(targets: Sequence[Target], at_ms: int) -> tuple[tuple[RestingTarget, ...], bool]:
    """Return the targets that rest from a time on, nearest first, and whether they close the whole position."""
    resting = tuple(
        RestingTarget(rung, target.price_usdt, target.part, at_ms)
        for rung, target in enumerate(targets, start=1)
        if target.price_usdt > 0.0
    )
    return resting, sum(target.part for target in resting) >= FULL_LADDER


def moved(bracket: Bracket, candle: CandleClosed, best_usdt: float, costs: ExchangeCosts, tick: Grid | None) -> Bracket:
    """Return a bracket after a candle that the position has survived; `best_usdt` is the best price since the entry."""
    d, entry, best = bracket.direction, bracket.entry_price_usdt, best_usdt
    stop, kind = bracket.stop_price_usdt, bracket.stop_kind
    trail, after = bracket.trail_fraction, bracket.trail_after_fraction
    if trail > 0.0 and (after == 0.0 or d * (best - entry * (1.0 + d * after)) >= 0.0):
        price = _away(best * (1.0 - d * trail), d, tick)
        if d * (price - stop) > 0.0:
            stop, kind = price, "trailing_stop"
    breakeven = bracket.breakeven_after_fraction
    if breakeven > 0.0 and d * (best - entry * (1.0 + d * breakeven)) >= 0.0:
        price = _away(entry * (1.0 + d * (2.0 * (costs.taker_fee + costs.slippage))), -d, tick)
        if d * (price - stop) > 0.0 and d * (candle.close - price) > 0.0:
            stop, kind = price, "breakeven_stop"
    if (best, stop, kind) == (bracket.best_usdt, bracket.stop_price_usdt, bracket.stop_kind):
        return bracket
    since_ms = bracket.stop_since_ms if stop == bracket.stop_price_usdt else candle.at_ms
    return structs.replace(bracket, best_usdt=best, stop_price_usdt=stop, stop_kind=kind, stop_since_ms=since_ms)


def _away(price_usdt: float, d: float, tick: Grid | None) -> float:
    """Return a price on the grid: at or below for d = +1, at or above for d = -1."""
    if tick is None:
        return price_usdt
    return tick.price_down(price_usdt) if d > 0.0 else tick.price_up(price_usdt)


class _Followed(Struct):
    """A bracket, and the candle that has not moved it yet: the fills and changes within it come first.

    `entered_by` is the opening until its own candle has been counted.
    """

    bracket: Bracket
    candle: CandleClosed | None
    entered_by: PositionOpened | None


class Brackets:
    """Fold of the brackets of all open positions."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, _Followed]] = {}
        self._newest: dict[str, CandleClosed] = {}
        self._ticks: dict[str, Grid] = {}
        self._lots: dict[str, Grid] = {}
        self._costs: dict[str, ExchangeCosts] = {}
        self._entries: dict[tuple[str, str], OrderPlaced] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        event = recorded.event
        if type(event) is CandleClosed:
            self.take_candle(event)
            return
        match event:
            case OrderPlaced(action="entry"):
                self._entries[event.strategy, event.symbol] = event
            case PositionOpened():
                self._open_bracket(event)
            case PositionIncreased() | PositionReduced() | StopMoved() | TargetsMoved() | OrderCancelled():
                self._change(event)
            case Closing():
                self._open.get(event.symbol, {}).pop(event.strategy, None)
            case RunnerConfigured():
                self._costs[event.strategy] = _costs_of(event)
            case ContractListed():
                self._ticks[event.symbol], self._lots[event.symbol] = tick_of(event), lot_of(event)
            case _:
                pass

    def of(self, strategy: str, symbol: str) -> Bracket | None:
        """Return the bracket of an open position, its newest candle included; None without a position."""
        followed = self._open.get(symbol, {}).get(strategy)
        return None if followed is None else self._settled(strategy, symbol, followed)

    def lot(self, symbol: str) -> Grid | None:
        """Return the grid of a symbol's quantities, if it is known."""
        return self._lots.get(symbol)

    def take_candle(self, candle: CandleClosed) -> None:
        """Fold a candle."""
        if candle.timing is _WARM_UP:
            return
        if opened := self._open.get(candle.symbol):
            for strategy, followed in opened.items():
                self._settle(strategy, candle.symbol, followed)
                followed.candle = candle
        self._newest[candle.symbol] = candle

    def may_move(self, symbol: str) -> bool:
        """Return whether a candle of a symbol can move a stop."""
        opened = (followed.bracket for followed in self._open.get(symbol, {}).values())
        return any(one.trail_fraction > 0.0 or one.breakeven_after_fraction > 0.0 for one in opened)

    def take_run(self, run: MarketRun) -> None:
        """Fold the rest of a calm run, of which the candles of symbols with a position were folded."""
        self._newest.update(run.newest)

    def _open_bracket(self, event: PositionOpened) -> None:
        order = self._entries.pop((event.strategy, event.symbol), None)
        targets, is_full = ladder_of(event.targets, event.at_ms)
        trailing = (0.0, 0.0, 0.0)
        if order is not None:
            trailing = (order.trail_fraction, order.trail_after_fraction, order.breakeven_after_fraction)
        bracket = Bracket(
            direction(event.side),
            event.price_usdt,
            event.stop_price_usdt,
            event.at_ms,
            "stop",
            event.price_usdt,
            *trailing,
            targets,
            is_full=is_full,
        )
        followed = _Followed(bracket, self._newest.get(event.symbol), event)
        self._open.setdefault(event.symbol, {})[event.strategy] = followed

    def _change(self, event: PositionIncreased | PositionReduced | StopMoved | TargetsMoved | OrderCancelled) -> None:
        followed = self._open.get(event.symbol, {}).get(event.strategy)
        if followed is None:
            return
        if isinstance(event, StopMoved | TargetsMoved):  # The strategy speaks after the candle has moved the stop.
            self._settle(event.strategy, event.symbol, followed)
        followed.bracket = _changed(followed.bracket, event)

    def _settle(self, strategy: str, symbol: str, followed: _Followed) -> None:
        followed.bracket = self._settled(strategy, symbol, followed)
        followed.candle = followed.entered_by = None

    def _settled(self, strategy: str, symbol: str, followed: _Followed) -> Bracket:
        candle, bracket = followed.candle, followed.bracket
        if candle is None:
            return bracket
        best = _best_since_entry(bracket, candle, followed.entered_by)
        costs = self._costs.get(strategy, ExchangeCosts())
        return moved(bracket, candle, best, costs, self._ticks.get(symbol))


def _costs_of(event: RunnerConfigured) -> ExchangeCosts:
    return ExchangeCosts(
        event.risk.get("taker_fee_percent", TAKER_FEE_PERCENT_DEFAULT) / 100.0,
        event.risk.get("slippage_percent", SLIPPAGE_PERCENT_DEFAULT) / 100.0,
    )


def _best_since_entry(bracket: Bracket, candle: CandleClosed, entered_by: PositionOpened | None) -> float:
    """Return the best price since the entry, a candle included; `entered_by` is the entry if it was in this candle.

    It begins with the high of the entry's candle, which came at or after the entry, except after a limit order inside
    the candle: then only the close is known to come later.
    """
    further = max if bracket.direction > 0.0 else min
    best = candle.high if bracket.direction > 0.0 else candle.low
    if entered_by is None:
        return further(bracket.best_usdt, best)
    if entered_by.kind == "limit" and entered_by.at_ms != entered_by.candle_open_ms:
        return further(entered_by.price_usdt, candle.close)
    return best


def _changed(
    bracket: Bracket, event: PositionIncreased | PositionReduced | StopMoved | TargetsMoved | OrderCancelled
) -> Bracket:
    """Return a bracket after an event that changes it."""
    match event:
        case PositionIncreased():
            return structs.replace(bracket, entry_price_usdt=event.entry_price_usdt)
        case StopMoved():
            return _with_stop(bracket, event)
        case TargetsMoved():
            targets, is_full = ladder_of(event.targets, event.at_ms)
            return structs.replace(bracket, targets=targets, targets_left=1.0, is_full=is_full)
        case PositionReduced():
            return bracket.without_target(event.rung, filled=True)
        case OrderCancelled():
            return bracket.without_target(event.rung, filled=False) if event.action == "target" else bracket


def _with_stop(bracket: Bracket, event: StopMoved) -> Bracket:
    has_moved = event.stop_price_usdt != event.from_price_usdt
    return structs.replace(
        bracket,
        stop_price_usdt=event.stop_price_usdt,
        stop_kind="stop" if has_moved else bracket.stop_kind,
        stop_since_ms=event.at_ms if has_moved else bracket.stop_since_ms,
        trail_fraction=event.trail_fraction,
        trail_after_fraction=event.trail_after_fraction,
        breakeven_after_fraction=event.breakeven_after_fraction,
    )
