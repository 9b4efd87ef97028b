"""A position in parts: what it holds, what each fill does to it, and the trade that it becomes (sections 5 and 8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.oracle.exchange import Values, fraction, liquidation_price, tiers_for
from tests.oracle.rounding import Contract, floor_size

from .answers import Add, Target, Trailing

Record = dict[str, Any]
SIDE = {1: "long", -1: "short"}


@dataclass
class Rung:
    """A target that rests: its number, price and part of the ladder."""

    number: int
    price: float
    part: float


@dataclass
class RestingAdd:
    """An add that rests since the close `placed_at`."""

    number: int
    add: Add
    placed_at: int

    def is_expired(self, now: int, timeframe: int) -> bool:
        """ "it dies at [...] the first base candle with t_c >= placed + n*timeframe"; "none for adds" """
        return self.add.expires is not None and now >= self.placed_at + self.add.expires * timeframe


@dataclass
class Part:
    """One closing fill and what goes with it."""

    quantity: float
    price: float
    gross: float
    fees: float
    funding: float
    slippage: float


@dataclass
class Holding:
    """A position from flat to flat. The first fill is `opening`, with the quantities of all opening fills behind it."""

    symbol: str
    d: int
    quantity: float
    average: float
    stop: float
    r1: float
    entry_time: int
    funding_from: int
    fees: float
    slippage: float
    trailing: Trailing
    stop_reason: str = "stop"
    liquidation: float | None = None
    best: float = 0.0
    worst: float = 0.0
    sizes: float = 1.0
    age: int = 0
    funding: float = 0.0
    ambiguous: bool = False
    ladder: tuple[Target, ...] = ()
    rungs: list[Rung] = field(default_factory=list)
    left: float = 1.0
    adds: list[RestingAdd] = field(default_factory=list)
    reduce: float | None = None
    exit_reason: str | None = None
    opening: list[tuple[float, float]] = field(default_factory=list)
    closing: list[Part] = field(default_factory=list)
    largest: float = 0.0

    def begin(self, values: Values, contract: Contract) -> None:
        """The state after the first fill."""
        self.opening = [(self.quantity, self.average)]
        self.largest = self.quantity
        self.set_liquidation(values, contract)

    def set_ladder(self, targets: tuple[Target, ...]) -> None:
        """A ladder as it is set: "F = 1 minus the parts of the rungs filled since the ladder was set"."""
        self.ladder, self.left = targets, 1.0
        self.rungs = [Rung(i, t.level, t.part) for i, t in enumerate(targets, start=1)]

    def target_reason(self, rung: Rung) -> str:
        """ "`target_1..4` (a ladder of one rung: `target`, as in the model)" """
        return "target" if len(self.ladder) == 1 else f"target_{rung.number}"

    def set_liquidation(self, values: Values, contract: Contract) -> None:
        """ "liquidation price anew from E' and the tier of the whole q (also after a reduction: tier of the rest)" """
        taker, tiers = fraction(values, "taker_fee_percent"), tiers_for(values, contract)
        self.liquidation = liquidation_price(self.d, self.quantity, self.average, values["leverage"], taker, tiers)

    def enlarged(self, quantity: float, price: float, contract: Contract) -> tuple[float, float]:
        """Quantity and average after an add: "E' = (q*E + q2*E2)/(q + q2), not rounded"."""
        whole = self.quantity + quantity
        average = (self.quantity * self.average + quantity * price) / whole
        return floor_size(whole, contract.lot), average

    def increase(self, quantity: float, price: float, fee: float, slippage: float, contract: Contract) -> None:
        """An add is filled: "SL and targets stay where they are"."""
        self.quantity, self.average = self.enlarged(quantity, price, contract)
        self.fees += fee
        self.slippage += slippage
        self.opening.append((quantity, price))
        self.largest = max(self.largest, self.quantity)

    def part_of_target(self, rung: Rung, full: bool, contract: Contract) -> float:
        """ "floor(q*part/F) [...]; the last rung of a full ladder takes all" """
        if full and rung.number == len(self.ladder):
            return self.quantity
        return floor_size(self.quantity * rung.part / self.left, contract.lot)

    def part_at(self, quantity: float, price: float, contract: Contract) -> float:
        """ "If the rest would be less than a lot or less than 5 USDT at the fill price, the part takes everything." """
        rest = floor_size(self.quantity - quantity, contract.lot)
        lot = contract.lot.a / contract.lot.b
        return self.quantity if rest < lot or rest * price < 5.0 else quantity

    def decrease(self, quantity: float, price: float, fee: float, slippage: float, contract: Contract) -> Part:
        """A closing fill: "open fees, funding and entry slippage go with the part: x*q_part/q_before, the rest stays,
        the last part takes what is left"; "G of a part = d*q_part*(X - E)"."""
        rest = 0.0 if quantity == self.quantity else floor_size(self.quantity - quantity, contract.lot)
        carried = (self.fees, self.funding, self.slippage)
        shares = [x if rest == 0.0 else x * quantity / self.quantity for x in carried]
        gross = self.d * quantity * (price - self.average)
        part = Part(quantity, price, gross, shares[0] + fee, shares[1], shares[2] + slippage)
        self.fees, self.funding, self.slippage = (
            self.fees - shares[0],
            self.funding - shares[1],
            self.slippage - shares[2],
        )
        self.quantity = rest
        self.closing.append(part)
        return part

    def result_r(self, close: float) -> float:
        """Section 10: "(gross of parts - all fees so far + funding + d*q*(close - E))/R1" """
        gross, fees, funding = 0.0, self.fees, self.funding
        for part in self.closing:
            gross, fees, funding = gross + part.gross, fees + part.fees, funding + part.funding
        return (gross - fees + funding + self.d * self.quantity * (close - self.average)) / self.r1

    def trade(self, strategy: str, time: int, reason: str, contract: Contract) -> Record:
        """Section 8: "A trade is from flat to flat, one line of the trades CSV" """
        gross = total(part.gross for part in self.closing)
        fees = total(part.fees for part in self.closing)
        funding = total(part.funding for part in self.closing)
        net = gross - fees + funding
        return {
            "strategy": strategy,
            "symbol": self.symbol,
            "side": SIDE[self.d],
            "quantity_base": floor_size(total(q for q, _ in self.opening), contract.lot),
            "entry_time_ms": self.entry_time,
            "entry_price_usdt": mean(self.opening),
            "exit_time_ms": time,
            "exit_price_usdt": mean([(part.quantity, part.price) for part in self.closing]),
            "reason": reason,
            "gross_usdt": gross,
            "fees_usdt": fees,
            "funding_usdt": funding,
            "slippage_usdt": total(part.slippage for part in self.closing),
            "net_usdt": net,
            "r_multiple": net / self.r1,
            "ambiguous": int(self.ambiguous),
            "parts": len(self.closing),
            "max_quantity_base": self.largest,
        }


def total(values: Any) -> float:
    """The sum in order; one value is itself to the last bit."""
    items = list(values)
    result: float = items[0]
    for item in items[1:]:
        result = result + item
    return result


def mean(fills: list[tuple[float, float]]) -> float:
    """ "quantity-weighted mean of the opening/closing fills (one fill: its price itself)" """
    if len(fills) == 1:
        return fills[0][1]
    return total(q * p for q, p in fills) / total(q for q, _ in fills)
