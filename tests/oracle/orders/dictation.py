"""Answers out of a number: a candle's volume dictates every kind of order, with prices around its close.

The digits of the volume choose from menus. The engine's dictated strategy reads the same digits; it shares the menus'
distances and no line of what follows from them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.oracle.files import Candle

    from .answers import Answer

DICTATED = 1e12
"""From this volume on the digits below it are an answer."""
DISTANCES = (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, -0.001)
STOPS = (0.002, 0.004, 0.006, 0.01, 0.02, 0.003, 0.005, 0.01, 0.02, 0.3)
PARTS = (
    (1.0,),
    (1.0,),
    (0.5, 0.5),
    (0.3, 0.3, 0.3),
    (0.25, 0.25, 0.25, 0.25),
    (0.5, 0.6),
    (0.0004, 0.5),
    (0.4, 0.4, 0.2),
)
SIZES = (1.0, 0.5, 2.0, 0.01)
ACTION, KIND, DISTANCE, STOP, TARGETS, SCALE, ADDS, SPACING, EXPIRY, TRAILING, SIZE = range(11)
LEAVE = 3
KINDS = ("market", "market", "market", "limit", "limit", "limit", "limit", "stop", "stop", "stop")


def digit(volume: float, place: int) -> int:
    """The digit of a volume at a place, 0 for the last one."""
    return int(volume) // 10**place % 10


def dictated_volume(random: Random) -> float:
    """A volume that dictates something."""
    return DICTATED + random.randrange(10**11)


class Dictation:
    """A script that obeys the volume; prices lie around the close by the menus' distances."""

    def __init__(self) -> None:
        self.sides: dict[str, int] = {}

    def enter(self, symbol: str, candle: Candle) -> Answer | None:
        """Long for an even last digit, short for an odd one; none where it says leave."""
        if candle.volume < DICTATED or digit(candle.volume, ACTION) == LEAVE:
            return None
        side = 1 if digit(candle.volume, ACTION) % 2 == 0 else -1
        self.sides[symbol] = side
        return entry_answer(candle.volume, candle.close, side)

    def leave(self, _symbol: str, candle: Candle) -> str | None:
        """Out where the last digit says so."""
        told = candle.volume >= DICTATED and digit(candle.volume, ACTION) == LEAVE
        return "told" if told else None

    def manage(self, symbol: str, candle: Candle) -> Answer | None:
        """A change, if any of its digits names one."""
        if candle.volume < DICTATED:
            return None
        return change_answer(candle.volume, candle.close, self.sides[symbol]) or None


def entry_answer(volume: float, close: float, side: int) -> Answer:
    """An entry of every kind, with stop, targets, adds, trailing and size."""
    kind, distance = KINDS[digit(volume, KIND)], DISTANCES[digit(volume, DISTANCE)]
    price = close
    if kind == "limit":
        price = close * (1.0 - side * distance)
    elif kind == "stop":
        price = close * (1.0 + side * distance)
    answer: dict[str, Any] = {"side": side, "kind": kind}
    if kind != "market":
        answer |= {"price": price, "expires": 1 + digit(volume, EXPIRY) // 3}
    stop = STOPS[digit(volume, STOP)]
    if digit(volume, STOP) < 5:
        answer["stop_fraction"] = stop
    else:
        answer["stop_price"] = price * (1.0 - side * stop)
    targets, step = digit(volume, TARGETS), 0.001 * (1 + digit(volume, SCALE))
    if targets in (1, 2, 4, 7):
        answer["target_fractions"] = [(step * (n + 1), part) for n, part in enumerate(PARTS[targets])]
    elif targets in (3, 5, 6):
        answer["targets"] = price_targets(price, side * step, PARTS[targets])
    elif targets == 8:
        answer["targets"] = [(price * (1.0 + side * step), 0.5), (price * (1.0 + side * step), 0.5)]
    answer["adds"] = add_answers(volume, price, side)
    trailing = digit(volume, TRAILING)
    if trailing >= 4:
        answer["trailing"] = trailing_numbers(trailing)
    size = digit(volume, SIZE)
    if size in (6, 8):
        answer["size_usdt"] = 2_000.0
    if size in (7, 8):
        answer["risk_percent"] = 0.5
    if size == 9:
        answer["size_usdt"] = 4.0
    return answer


def price_targets(price: float, step: float, parts: tuple[float, ...]) -> list[tuple[float, float]]:
    """Targets one step after another; a negative step is a short's."""
    return [(price * (1.0 + step * (n + 1)), part) for n, part in enumerate(parts)]


def add_answers(volume: float, price: float, side: int) -> list[Answer]:
    """The adds that an entry names; now and then a ladder that is none."""
    adds, step, life = digit(volume, ADDS), 0.0005 * (1 + digit(volume, SPACING)), digit(volume, EXPIRY)
    expires = None if life < 5 else life - 4
    limit = [price * (1.0 - side * step * (n + 1)) for n in range(4)]
    stop = [price * (1.0 + side * step * (n + 1)) for n in range(4)]

    def add(kind: str, at: float, n: int) -> Answer:
        return {"kind": kind, "price": at, "size": SIZES[n], "expires": expires}

    if adds == 4:
        return [add("limit", limit[0], 0)]
    if adds == 5:
        return [add("limit", limit[0], 1), add("limit", limit[1], 0)]
    if adds == 6:
        return [add("stop", stop[0], 1), add("stop", stop[2], 0)]
    if adds == 7:
        return [add("limit", limit[0], 0), add("stop", stop[1], 1)]
    if adds == 8:
        return [add("limit", limit[n], 1 if n % 2 == 0 else 3) for n in range(4)]
    if adds == 9:
        return [add("limit", limit[1], 0), add("limit", limit[0], 2)]
    return []


def trailing_numbers(number: int) -> tuple[float, float, float]:
    """Trailing and break-even in every combination."""
    return (
        (0.004, 0.0, 0.0),
        (0.003, 0.004, 0.0),
        (0.0, 0.0, 0.003),
        (0.005, 0.006, 0.004),
        (0.02, 0.0, 0.002),
        (0.002, 0.0, 0.001),
    )[number - 4]


def change_answer(volume: float, close: float, side: int) -> Answer:
    """A change of stop, targets, adds, trailing, and a reduction."""
    answer: dict[str, Any] = {}
    if digit(volume, KIND) >= 6:
        answer["stop_price"] = close * (1.0 - side * DISTANCES[digit(volume, DISTANCE)])
    targets, step = digit(volume, TARGETS), 0.001 * (1 + digit(volume, SCALE))
    if targets == 8:
        answer["targets"] = []
    elif targets in (3, 4, 5, 6, 7):
        answer["targets"] = price_targets(close, side * step, PARTS[targets])
    adds = change_adds(volume, close, side)
    if adds is not None:
        answer["adds"] = adds
    trailing = digit(volume, TRAILING)
    if trailing >= 6:
        answer["trailing"] = trailing_numbers(trailing)
    elif trailing == 5:
        answer["trailing"] = (0.0, 0.0, 0.0)
    reduce = digit(volume, SIZE)
    if reduce >= 7:
        answer["reduce"] = (0.5, 1.0, 0.0001)[reduce - 7]
    return answer


def change_adds(volume: float, close: float, side: int) -> list[Answer] | None:
    """The adds that a change names: none at all, an empty list, or some."""
    adds, step, life = digit(volume, ADDS), 0.0005 * (1 + digit(volume, SPACING)), digit(volume, EXPIRY)
    expires = None if life < 5 else life - 4

    def add(kind: str, n: int, size: int) -> Answer:
        sign = 1.0 if kind == "stop" else -1.0
        return {"kind": kind, "price": close * (1.0 + sign * side * step * n), "size": SIZES[size], "expires": expires}

    if adds == 4:
        return []
    if adds == 5:
        return [{"kind": "market", "size": 0.5}]
    if adds == 6:
        return [{"kind": "market", "size": 1.0}, add("limit", 1, 1)]
    if adds == 7:
        return [add("limit", 1, 0), add("limit", 2, 1)]
    if adds == 8:
        return [add("stop", 1, 1), add("limit", 1, 0)]
    if adds == 9:
        return [add("limit", 1, 0), {"kind": "market", "size": 0.5}]
    return None
