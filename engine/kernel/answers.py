"""What a strategy answers: an entry with its whole plan, or a change of the orders of an open position.

A strategy fills in an `Answer` and calls the functions here for ladders of targets and adds. Prices are in USDT; sizes
of adds are in first fills, parts of targets are shares of the position. Nothing is checked here: the paper exchange
checks an answer as a whole and refuses it with a reason.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from papertape.engine.kernel.codes import LIMIT_ORDER, MARKET_ORDER, STOP_ORDER
from papertape.engine.kernel.writes import ease_writes

RUNGS_MAX = 4


class Rung(Struct, array_like=True):
    """One target or add of a ladder. `live` is 1 while its order rests; a target has no kind and does not expire.

    A target has a price, or a `fraction` of the entry's fill price; its `size` is a share of the position. An add has a
    price, unless it is a market order; its `size` is in first fills.
    """

    live: int = 0
    kind: int = 0
    price_usdt: float = 0.0
    fraction: float = 0.0
    size: float = 0.0
    expires_candles: int = 0
    expires_ms: int = 0


class Ladder(Struct, array_like=True):
    """Up to four rungs. `count` may exceed that in an answer, which is then refused; `named` is 1 in a new ladder."""

    count: int = 0
    named: int = 0
    first: Rung = field(default_factory=Rung)
    second: Rung = field(default_factory=Rung)
    third: Rung = field(default_factory=Rung)
    fourth: Rung = field(default_factory=Rung)


class Plan(Struct, array_like=True):
    """What the exchange reads of an answer of `enter` or `manage`; everything is 0 before the strategy is asked.

    An entry gives its stop as `stop_fraction` of the fill price or as `stop_price_usdt`. `target_fraction` is the short
    form of one target for the whole position. The quantity follows from the risk unless `size_usdt` or `risk_percent`
    asks for less. The stop trails `trail_fraction` behind the best price once that is `trail_after_fraction` beyond the
    entry, and moves to break-even once it is `breakeven_after_fraction` beyond.
    """

    kind: int = 0
    price_usdt: float = 0.0
    expires_candles: int = 0
    stop_fraction: float = 0.0
    stop_price_usdt: float = 0.0
    target_fraction: float = 0.0
    size_usdt: float = 0.0
    risk_percent: float = 0.0
    score: float = 0.0
    reduce_fraction: float = 0.0
    trailing_named: int = 0
    trail_fraction: float = 0.0
    trail_after_fraction: float = 0.0
    breakeven_after_fraction: float = 0.0
    targets: Ladder = field(default_factory=Ladder)
    adds: Ladder = field(default_factory=Ladder)


class Answer(Plan, array_like=True):
    """A strategy's answer: the plan, and behind it in memory the strategy's own numbers."""

    reading: Any = None


# ---------------------------------------------------------------- for strategies


def enter_limit(answer: Answer, price_usdt: float, expires_candles: int = 1) -> None:
    """Enter by a limit order that rests for so many candles of the strategy's timeframe, 1 to 288."""
    answer.kind = LIMIT_ORDER
    answer.price_usdt = price_usdt
    answer.expires_candles = expires_candles


def enter_stop(answer: Answer, price_usdt: float, expires_candles: int = 1) -> None:
    """Enter by a stop order that rests for so many candles of the strategy's timeframe, 1 to 288."""
    answer.kind = STOP_ORDER
    answer.price_usdt = price_usdt
    answer.expires_candles = expires_candles


def add_target(answer: Answer, price_usdt: float, part: float) -> None:
    """Add a target at a price, farther than the one before; it closes a share of the position, above 0 and up to 1."""
    _append(answer.targets, 0, price_usdt, 0.0, part, 0)


def add_target_fraction(answer: Answer, fraction: float, part: float) -> None:
    """Add a target at a fraction of the entry's fill price; all targets of an entry are prices, or all fractions."""
    _append(answer.targets, 0, 0.0, fraction, part, 0)


def add_limit(answer: Answer, price_usdt: float, size: float = 1.0, expires_candles: int = 0) -> None:
    """Add to the position by a limit order of `size` first fills, above 0 and up to 4; 0 candles: it never expires."""
    _append(answer.adds, LIMIT_ORDER, price_usdt, 0.0, size, expires_candles)


def add_stop(answer: Answer, price_usdt: float, size: float = 1.0, expires_candles: int = 0) -> None:
    """Add to the position by a stop order of `size` first fills, above 0 and up to 4; 0 candles: it never expires."""
    _append(answer.adds, STOP_ORDER, price_usdt, 0.0, size, expires_candles)


def add_market(answer: Answer, size: float = 1.0) -> None:
    """Add to the position at the next open; only `manage` may, and only as the first add."""
    _append(answer.adds, MARKET_ORDER, 0.0, 0.0, size, 0)


def trail(
    answer: Answer, trail_fraction: float, after_fraction: float = 0.0, breakeven_after_fraction: float = 0.0
) -> None:
    """Let the stop trail the best price by a fraction, and move to break-even; 0 turns each off."""
    answer.trailing_named = 1
    answer.trail_fraction = trail_fraction
    answer.trail_after_fraction = after_fraction
    answer.breakeven_after_fraction = breakeven_after_fraction


def move_stop(answer: Answer, price_usdt: float) -> None:
    """Tighten the stop to a price; one that is not tighter changes nothing."""
    answer.stop_price_usdt = price_usdt


def drop_targets(answer: Answer) -> None:
    """Replace all targets, by none unless some are added afterwards."""
    answer.targets.named = 1
    answer.targets.count = 0


def drop_adds(answer: Answer) -> None:
    """Cancel all resting adds, and replace them by those that are added afterwards."""
    answer.adds.named = 1
    answer.adds.count = 0


def reduce_position(answer: Answer, fraction: float) -> None:
    """Close a fraction of the position at the next open, above 0 and up to 1."""
    answer.reduce_fraction = fraction


# ---------------------------------------------------------------- for the kernel


def clear_answer(answer: Plan) -> None:
    """Clear what earlier answers left, so that only what the strategy writes now counts."""
    answer.kind = 0
    answer.price_usdt = 0.0
    answer.expires_candles = 0
    answer.stop_fraction = 0.0
    answer.stop_price_usdt = 0.0
    answer.target_fraction = 0.0
    answer.trail_fraction = 0.0
    answer.trail_after_fraction = 0.0
    answer.breakeven_after_fraction = 0.0
    answer.trailing_named = 0
    answer.size_usdt = 0.0
    answer.risk_percent = 0.0
    answer.score = 0.0
    answer.reduce_fraction = 0.0
    answer.targets.named = 0
    answer.targets.count = 0
    answer.adds.named = 0
    answer.adds.count = 0


def rung_at(ladder: Ladder, index: int) -> Rung:
    """Return a rung by its index, 0 to 3: records have no arrays."""
    if index == 0:
        return ladder.first
    if index == 1:
        return ladder.second
    return ladder.third if index == 2 else ladder.fourth


def _append(ladder: Ladder, kind: int, price_usdt: float, fraction: float, size: float, expires_candles: int) -> None:
    """Append a rung; more than four are only counted, and refused later."""
    if ladder.count < RUNGS_MAX:
        rung = rung_at(ladder, ladder.count)
        rung.live = 0
        rung.kind = kind
        rung.price_usdt = price_usdt
        rung.fraction = fraction
        rung.size = size
        rung.expires_candles = expires_candles
        rung.expires_ms = 0
    ladder.named = 1
    ladder.count += 1


ease_writes(vars())
