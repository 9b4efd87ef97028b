"""What fills inside one candle, when and at what price: the table of section 4, and section 5 stages 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.files import Candle
from tests.oracle.rounding import Contract

from .answers import Add
from .direction import best_price, bought, fallen_to, reached, through, worst_price
from .holding import Holding, RestingAdd, Rung

Event = RestingAdd | Rung


@dataclass(frozen=True)
class Match:
    """The price of an opening fill, the price before slippage, and whether it lies at the open."""

    price: float
    reference: float
    at_open: bool


def match_at_open(d: int, kind: str, price: float, candle: Candle, s: float, contract: Contract) -> Match | None:
    """The rows "market", "limit p (gap)" and "stop p (gap)"."""
    o, tick = candle.open, contract.tick
    if kind == "market" or (kind == "stop" and reached(d, o, price)):
        return Match(bought(d, o, s, tick), o, at_open=True)
    if kind == "limit" and through(-d, o, price, tick):
        return Match(price, price, at_open=True)
    return None


def match_inside(d: int, kind: str, price: float, candle: Candle, s: float, contract: Contract) -> Match | None:
    """The rows "limit p: low <= p - 1 tick" and "stop p: high >= p (touch)"."""
    tick = contract.tick
    if kind == "limit" and through(-d, worst_price(d, candle), price, tick):
        return Match(price, price, at_open=False)
    if kind == "stop" and reached(d, best_price(d, candle), price):
        return Match(bought(d, price, s, tick), price, at_open=False)
    return None


def match_order(d: int, kind: str, price: float, candle: Candle, s: float, contract: Contract) -> Match | None:
    """The whole table: at the open, else inside."""
    found = match_at_open(d, kind, price, candle, s, contract)
    return found or match_inside(d, kind, price, candle, s, contract)


def is_stop_reached(holding: Holding, candle: Candle) -> bool:
    """ "low <= SL" """
    return fallen_to(holding.d, worst_price(holding.d, candle), holding.stop)


def targets_through(holding: Holding, price: float, contract: Contract) -> list[Rung]:
    """The targets that a price is through by a tick, "nearest first"."""
    rungs = [rung for rung in holding.rungs if through(holding.d, price, rung.price, contract.tick)]
    return sorted(rungs, key=lambda rung: holding.d * rung.price)


def adds_at_open(holding: Holding, candle: Candle, s: float, contract: Contract) -> list[RestingAdd]:
    """ "market add · limit adds gapped through, nearest first · stop adds gapped over, nearest first" """
    found = [a for a in holding.adds if match_at_open(holding.d, a.add.kind, a.add.price, candle, s, contract)]
    kinds = ("market", "limit", "stop")
    return sorted(found, key=lambda a: (kinds.index(a.add.kind), nearness(holding.d, a.add)))


def adds_inside(holding: Holding, kind: str, candle: Candle, s: float, contract: Contract) -> list[RestingAdd]:
    """The adds of one kind that fill inside, "nearest first"."""
    rests = [a for a in holding.adds if a.add.kind == kind]
    found = [a for a in rests if match_inside(holding.d, kind, a.add.price, candle, s, contract)]
    return sorted(found, key=lambda a: nearness(holding.d, a.add))


def nearness(d: int, add: Add) -> float:
    """Limit adds lie below the market and the highest is the nearest; stop adds lie above it."""
    return d * add.price if add.kind == "stop" else -d * add.price


def rising_events(d: int, targets: list[Rung], stops: list[RestingAdd]) -> list[Event]:
    """ "targets traded through and stop adds touched, in the order of their prices (equal: the add first)" """
    events: list[tuple[float, int, Event]] = [(d * rung.price, 1, rung) for rung in targets]
    events += [(d * add.add.price, 0, add) for add in stops]
    return [event for _, _, event in sorted(events, key=lambda item: item[:2])]
