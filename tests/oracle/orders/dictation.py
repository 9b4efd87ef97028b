"""Answers out of a number: a candle's volume dictates every kind of order, with prices around its close.

The digits of the volume choose from menus. The engine's dictated strategy reads the same digits; it shares the menus'
numbers and no line of what follows from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from tests.oracle.files import Candle

    from .answers import Answer

DICTATED = 1e12
"""From this volume on the digits below it are an answer."""
ACTION, KIND, DISTANCE, STOP, TARGETS, SCALE, ADDS, SPACING, EXPIRY, TRAILING, SIZE = range(11)
LEAVE = (3, 8)
FAULT = 5
DISTANCES = (0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, -0.001)
STOPS = (0.002, 0.004, 0.006, 0.01, 0.02, 0.003, 0.005, 0.01, 0.02, 0.3)
HALVES, THIRDS, QUARTERS = (0.5, 0.5), (0.3, 0.3, 0.3), (0.25, 0.25, 0.25, 0.25)
PARTS = ((1.0,), (1.0,), HALVES, THIRDS, QUARTERS, (0.6,), (0.0004, 0.5), (0.4, 0.4, 0.2))
SIZES = (1.0, 0.5, 2.0, 0.01)
TRAILINGS = (
    (0.004, 0.0, 0.0),
    (0.003, 0.004, 0.0),
    (0.0, 0.0, 0.003),
    (0.005, 0.006, 0.004),
    (0.02, 0.0, 0.002),
    (0.002, 0.0, 0.001),
)
MIRRORED_ACTIONS = {0: 1, 1: 0, 2: 5, 5: 2, 4: 7, 7: 4, 6: 9, 9: 6, 3: 3, 8: 8}


def digit(volume: float, place: int) -> int:
    """The digit of a volume at a place, 0 for the last one."""
    return int(volume) // int(10**place) % 10


def dictated_volume(random: Random) -> float:
    """A volume that dictates something."""
    return DICTATED + random.randrange(10**11)


def mirrored_volume(volume: float) -> float:
    """What dictates the same to the other side."""
    action = digit(volume, ACTION)
    return volume if volume < DICTATED else volume - action + MIRRORED_ACTIONS[action]


class Dictation:
    """A script that obeys the volume; prices lie around the close by the menus' distances.

    With `absolute` a distance of 0.01 is 1 USDT and everything is a price, so that the other side can be the mirror.
    """

    def __init__(self, absolute: bool = False) -> None:
        self.absolute = absolute
        self.sides: dict[str, int] = {}

    def enter(self, symbol: str, candle: Candle) -> Answer | None:
        """Long for an even last digit, short for an odd one; none where it says leave."""
        if candle.volume < DICTATED or digit(candle.volume, ACTION) in LEAVE:
            return None
        side = 1 if digit(candle.volume, ACTION) % 2 == 0 else -1
        self.sides[symbol] = side
        return self.entry(candle.volume, candle.close, side)

    def leave(self, _symbol: str, candle: Candle) -> str | None:
        """Out where the last digit says so."""
        told = candle.volume >= DICTATED and digit(candle.volume, ACTION) in LEAVE
        return "told" if told else None

    def manage(self, symbol: str, candle: Candle) -> Answer | None:
        """A change, if any of the digits names one."""
        if candle.volume < DICTATED:
            return None
        return self.change(candle.volume, candle.close, self.sides[symbol]) or None

    def away(self, price: float, fraction: float) -> float:
        """A price so far above another one."""
        return price + 100.0 * fraction if self.absolute else price * (1.0 + fraction)

    def entry(self, volume: float, close: float, side: int) -> Answer:
        """An entry of every kind, with stop, targets, adds, trailing and size."""
        kind, distance = digit(volume, KIND), DISTANCES[digit(volume, DISTANCE)]
        price = close
        answer: Answer = {"side": side}
        if kind >= 7:
            price = self.away(close, side * distance)
            answer |= {"kind": "stop", "price": price, "expires": 1 + digit(volume, EXPIRY) // 3}
        elif kind >= 3:
            price = self.away(close, -side * distance)
            answer |= {"kind": "limit", "price": price, "expires": 1 + digit(volume, EXPIRY) // 3}
        stop = STOPS[digit(volume, STOP)]
        if digit(volume, STOP) < 5 and not self.absolute:
            answer["stop_fraction"] = stop
        else:
            answer["stop_price"] = self.away(price, -side * stop)
        answer |= self.entry_targets(volume, price, side)
        answer["adds"] = self.entry_adds(volume, price, side)
        trailing = digit(volume, TRAILING)
        if trailing >= 4 and not self.absolute:
            answer["trailing"] = TRAILINGS[trailing - 4]
        size = digit(volume, SIZE)
        if size in (6, 8):
            answer["size_usdt"] = 2_000.0
        if size in (7, 8):
            answer["risk_percent"] = 0.5
        if size == 9:
            answer["size_usdt"] = 4.0
        return answer | (self.entry_fault(digit(volume, SPACING), price, side) if size == FAULT else {})

    def entry_targets(self, volume: float, price: float, side: int) -> Answer:
        """The targets of an entry, by fractions or by prices."""
        targets, step = digit(volume, TARGETS), 0.001 * (1 + digit(volume, SCALE))
        if targets in (1, 2, 4, 7) and not self.absolute:
            return {"target_fractions": [(step * (n + 1), part) for n, part in enumerate(PARTS[targets])]}
        if 1 <= targets <= 7:
            return {"targets": self.price_targets(price, side * step, PARTS[targets])}
        if targets == 8:
            return {"targets": [(self.away(price, side * step), 0.5), (self.away(price, side * step), 0.5)]}
        if targets == 9 and not self.absolute:
            return {"target_fractions": [(step, 0.5), (step + 0.00001, 0.5)]}
        return {}

    def price_targets(self, price: float, step: float, parts: tuple[float, ...]) -> list[tuple[float, float]]:
        """Targets one step after another; a negative step is a short's."""
        return [(self.away(price, step * (n + 1)), part) for n, part in enumerate(parts)]

    def entry_adds(self, volume: float, price: float, side: int) -> list[Answer]:
        """The adds that an entry names; now and then a ladder that is none."""

        def limit(n: int, size: int) -> Answer:
            return self.add("limit", volume, price, side, n, size)

        def stop(n: int, size: int) -> Answer:
            return self.add("stop", volume, price, side, n, size)

        return {
            4: [limit(1, 0)],
            5: [limit(1, 1), limit(2, 0)],
            6: [stop(1, 2), stop(3, 2)],
            7: [limit(1, 0), stop(2, 1)],
            8: [limit(1, 1), limit(2, 3), limit(3, 1), limit(4, 3)],
            9: [limit(2, 0), limit(1, 2)],
        }.get(digit(volume, ADDS), [])

    def add(self, kind: str, volume: float, price: float, side: int, steps: int, size: int) -> Answer:
        """An add so many steps away from a price."""
        step, life = side * (0.0002 * (1 + digit(volume, SPACING))), digit(volume, EXPIRY)
        at = self.away(price, step * steps if kind == "stop" else -step * steps)
        return {"kind": kind, "price": at, "size": SIZES[size], "expires": None if life < 5 else life - 4}

    def change(self, volume: float, close: float, side: int) -> Answer:
        """A change of stop, targets, adds, trailing, and a reduction."""
        answer: dict[str, Any] = {}
        if digit(volume, KIND) >= 6:
            answer["stop_price"] = self.away(close, -side * DISTANCES[digit(volume, DISTANCE)])
        targets, step = digit(volume, TARGETS), 0.001 * (1 + digit(volume, SCALE))
        if targets == 8:
            answer["targets"] = []
        elif 3 <= targets <= 7:
            answer["targets"] = self.price_targets(close, side * step, PARTS[targets])
        adds = self.change_adds(volume, close, side)
        if adds is not None:
            answer["adds"] = adds
        trailing = digit(volume, TRAILING)
        if trailing >= 6 and not self.absolute:
            answer["trailing"] = TRAILINGS[trailing - 4]
        elif trailing == 5:
            answer["trailing"] = (0.0, 0.0, 0.0)
        size = digit(volume, SIZE)
        if size >= 7:
            answer["reduce"] = (0.5, 1.0, 0.0001)[size - 7]
        return answer | (self.change_fault(digit(volume, SPACING), close, side) if size == FAULT else {})

    def change_adds(self, volume: float, close: float, side: int) -> list[Answer] | None:
        """The adds that a change names: none at all, an empty list, or some."""

        def add(kind: str, steps: int, size: int) -> Answer:
            return self.add(kind, volume, close, side, steps, size)

        return {
            4: [],
            5: [{"kind": "market", "size": 0.5}],
            6: [{"kind": "market", "size": 1.0}, add("limit", 1, 1)],
            7: [add("limit", 1, 0), add("limit", 2, 1)],
            8: [add("stop", 1, 1), add("limit", 1, 0)],
            9: [add("limit", 1, 0), {"kind": "market", "size": 0.5}],
        }.get(digit(volume, ADDS))

    def entry_fault(self, number: int, price: float, side: int) -> Answer:
        """An answer that is refused for its numbers, its sides or its ladders."""
        below = self.away(price, -side * 0.001)
        faults: dict[int, Answer] = {
            0: {"stop_fraction": 0.0, "stop_price": float("nan")},
            1: {"targets": [(-1.0, 1.0)], "target_fractions": None},
            2: {"kind": "limit", "price": below, "expires": 289},
            3: {"trailing": (1.0, 0.0, 0.0)},
            4: {"adds": [{"kind": "limit", "price": below, "size": 4.5}]},
            5: {"stop_fraction": 0.0, "stop_price": self.away(price, side * 0.01)},
            6: {"targets": None, "target_fractions": [(-0.01, 1.0)]},
            7: {"targets": self.price_targets(price, side * 0.01, (0.5, 0.6)), "target_fractions": None},
            8: {"targets": self.price_targets(price, side * 0.01, (0.1,) * 5), "target_fractions": None},
            9: {
                "adds": [{"kind": "limit", "price": self.away(price, -side * 0.0005 * n), "size": 2.5} for n in (1, 2)]
            },
        }
        return faults[number]

    def change_fault(self, number: int, close: float, side: int) -> Answer:
        """A change that is refused for its numbers, its sides or its ladders."""
        below = self.away(close, -side * 0.001)
        faults: dict[int, Answer] = {
            0: {"stop_price": float("nan")},
            1: {"targets": [(-1.0, 1.0)]},
            2: {"adds": [{"kind": "limit", "price": below, "size": 1.0, "expires": 289}]},
            3: {"trailing": (1.0, 0.0, 0.0)},
            4: {"adds": [{"kind": "limit", "price": below, "size": 4.5}]},
            5: {"stop_price": self.away(close, side * 0.01)},
            6: {"reduce": 1.5},
            7: {"targets": [(self.away(close, -side * 0.01), 1.0)]},
            8: {"targets": [(close, 0.5)]},
            9: {
                "adds": [{"kind": "limit", "price": self.away(close, -side * 0.0005 * n), "size": 2.5} for n in (1, 2)]
            },
        }
        return faults[number]
