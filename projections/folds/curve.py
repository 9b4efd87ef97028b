"""An equity curve in a bounded number of points."""

from __future__ import annotations

from array import array

from msgspec import Struct, field

from papertape.events.units import MINUTE_MS

CURVE_POINTS_MAX = 2_000


class EquityPoint(Struct, frozen=True):
    """The equity from `at_ms` until the next point."""

    at_ms: int
    equity_usdt: float


class EquityCurve(Struct):
    """The last equity of each time bucket, at first of each minute; if there are too many, their width doubles.

    The numbers are in arrays: many copies of a curve are kept, and the garbage collector skips arrays.
    """

    step_ms: int = MINUTE_MS
    bucket: int = -1
    times_ms: array[int] = field(default_factory=lambda: array("q"))
    equities_usdt: array[float] = field(default_factory=lambda: array("d"))

    def put(self, at_ms: int, equity_usdt: float) -> None:
        """Add a sample. Within a bucket the newest sample replaces the previous one; time never goes back."""
        bucket = at_ms // self.step_ms
        if bucket <= self.bucket:
            self.times_ms[-1] = max(self.times_ms[-1], at_ms)
            self.equities_usdt[-1] = equity_usdt
            return
        self.bucket = bucket
        self.times_ms.append(at_ms)
        self.equities_usdt.append(equity_usdt)
        while len(self.times_ms) > CURVE_POINTS_MAX:
            self._widen()

    def _widen(self) -> None:
        self.step_ms *= 2
        self.bucket //= 2
        points = zip(self.times_ms, self.equities_usdt, strict=True)
        last_of_bucket = {at_ms // self.step_ms: (at_ms, equity) for at_ms, equity in points}
        self.times_ms = array("q", [at_ms for at_ms, _ in last_of_bucket.values()])
        self.equities_usdt = array("d", [equity for _, equity in last_of_bucket.values()])

    def fork(self) -> EquityCurve:
        """Return a copy that can grow independently."""
        return EquityCurve(self.step_ms, self.bucket, self.times_ms[:], self.equities_usdt[:])

    def points(self) -> tuple[EquityPoint, ...]:
        """Return the points so far."""
        return tuple(map(EquityPoint, self.times_ms, self.equities_usdt))
