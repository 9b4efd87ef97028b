"""A market by hand for the oracle's own tests: one symbol on a tick of 0.1 around 100, and its mirror for a short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tests.oracle.rounding import Contract, Step
from tests.oracle.settings import MINUTE

from .answers import Answer
from .comparison import check_alike
from .scene_engine import engine_run
from .simulate import Dictated, Outcome, simulate

if TYPE_CHECKING:
    from papertape.events.facts import Event

X = Contract(tick=Step(1, 10), lot=Step(1, 1000))
FREE = {
    "capital_usdt": 1_000_000.0,
    "maker_fee_percent": 0.0,
    "taker_fee_percent": 0.0,
    "slippage_percent": 0.0,
    "max_risk_per_trade_percent": 100.0,
    "max_session_loss_percent": 100.0,
    "max_daily_loss_percent": 100.0,
    "global_max_loss_percent": 100.0,
}
"""Nothing costs, no switch trips, and there is capital enough for every size."""
T = TypeVar("T")
Bar = tuple[float, float, float, float]
Fill = tuple[float, str, str, int, float, float]


@dataclass
class Scene:
    """Bars after bar 0 (flat at 100, where the signal comes), and the answers by the number of the bar."""

    enter: Answer
    bars: Sequence[Bar]
    leaves: Mapping[int, str] = field(default_factory=dict)
    manages: Mapping[int, Answer] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    units_max: float = 17.0
    late: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()
    timeframe: int = MINUTE
    funding: Sequence[tuple[int, float]] = ()
    first: Bar = (100.0, 100.0, 100.0, 100.0)
    signal: int = 0

    def play(self, side: int = 1) -> Outcome:
        """The run as a long, or mirrored about 100 as a short."""
        return self.played_by_both(side)[0]

    def decided(self, side: int = 1) -> list[Event]:
        """The engine's decisions in the same run."""
        return self.played_by_both(side)[1]

    def played_by_both(self, side: int) -> tuple[Outcome, list[Event]]:
        """The run of the oracle, and that of the engine, which must do the same."""
        rows = [
            (number * MINUTE, *mirrored_bar(bar, side), 1.0, number in self.late)
            for number, bar in enumerate([self.first, *self.bars])
            if number not in self.missing
        ]
        order = [row[0] // MINUTE for row in rows]
        enters = {self.signal: mirrored(self.enter, side)}
        leaves = {order.index(number): reason for number, reason in self.leaves.items()}
        manages = {order.index(number): mirrored(answer, side) for number, answer in self.manages.items()}
        settings = {**FREE, **self.settings}
        funding = [(minute * MINUTE, rate) for minute, rate in self.funding]
        outcome = simulate(
            {"X": rows},
            Dictated(on_x(enters), on_x(leaves), on_x(manages)),
            contracts={"X": X},
            settings=settings,
            timeframe=self.timeframe,
            units_max=self.units_max,
            funding={"X": funding},
            strategy="dictated",
        )
        world, events = engine_run(rows, enters, leaves, manages, settings, self.units_max, self.timeframe, funding)
        check_alike(outcome, world, events)
        return outcome, events

    def fills(self, side: int = 1) -> list[Fill]:
        """The fills as (minute, action, reason, rung, quantity, price); a short's prices are mirrored back."""
        return [
            (
                fill["time_ms"] / MINUTE,
                fill["action"],
                fill["reason"],
                fill["rung"],
                fill["quantity_base"],
                round(mirrored_price(fill["price_usdt"], side), 9),
            )
            for fill in self.play(side).log.fills
        ]


def on_x(told: Mapping[int, T]) -> dict[tuple[str, int], T]:
    """What is told by the number of the bar, as a script of the one symbol has it."""
    return {("X", number): one for number, one in told.items()}


def mirrored_price(price: float, side: int) -> float:
    """The price itself, or its mirror about 100."""
    return price if side == 1 else round(200.0 - price, 9)


def mirrored_bar(bar: Bar, side: int) -> Bar:
    """A bar, or its mirror: the high becomes the low."""
    o, high, low, close = (mirrored_price(price, side) for price in bar)
    return (o, high, low, close) if side == 1 else (o, low, high, close)


def mirrored(answer: Answer, side: int) -> Answer:
    """An answer, or what the other side would answer in the mirrored market; `quantity` becomes the size in USDT."""
    result: dict[str, Any] = dict(answer)
    if "quantity" in result:
        result["size_usdt"] = result.pop("quantity") * mirrored_price(result.get("price", 100.0), side)
    if "side" in result:
        result["side"] = side
    for name in ("price", "stop_price"):
        if name in result:
            result[name] = mirrored_price(result[name], side)
    if "targets" in result:
        result["targets"] = [(mirrored_price(price, side), part) for price, part in result["targets"]]
    if "adds" in result:
        result["adds"] = [mirrored(add, side) for add in result["adds"]]
    return result


def cancellations(outcome: Outcome) -> list[tuple[float, str, int, str]]:
    """What was cancelled, as (minute, action, rung, reason)."""
    return [(c["time"] / MINUTE, c["action"], c["rung"], c["reason"]) for c in outcome.log.cancellations]


def reasons(outcome: Outcome) -> list[str]:
    """The reasons of the refusals."""
    return [refusal["reason"] for refusal in outcome.log.refusals]
