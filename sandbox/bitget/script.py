"""Random faults: a seed decides which fault is injected when, over simulated days."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from papertape.events.units import HOUR_MS
from papertape.sandbox.bitget.faults import AT_ONCE, OF_CONTRACTS, BitgetFault, BitgetFaultInjector

FUNDING_HOURS: Final = (1, 2, 4, 8)
SKEW_MS_MAX: Final = 5_000
NEVER_MS: Final = 1 << 62

SECONDS: Final[dict[BitgetFault, tuple[float, float]]] = {
    BitgetFault.NO_PONG: (30.0, 180.0),
    BitgetFault.SILENT_SYMBOL: (30.0, 900.0),
    BitgetFault.REFUSED_SUBSCRIBE: (30.0, 300.0),
    BitgetFault.FALSE_ACK: (10.0, 120.0),
    BitgetFault.DUPLICATE: (60.0, 600.0),
    BitgetFault.OUT_OF_ORDER: (60.0, 600.0),
    BitgetFault.STALE_SNAPSHOT: (60.0, 600.0),
    BitgetFault.TWO_ROWS: (120.0, 1_200.0),
    BitgetFault.SKIPPED_BAR: (60.0, 180.0),
    BitgetFault.CORRECTED: (120.0, 1_200.0),
    BitgetFault.GARBAGE: (10.0, 120.0),
    BitgetFault.BUSY: (1.0, 60.0),
    BitgetFault.SERVER_ERROR: (1.0, 60.0),
    BitgetFault.HTML_OK: (1.0, 60.0),
    BitgetFault.HTML_BAD_GATEWAY: (1.0, 60.0),
    BitgetFault.REST_RESET: (1.0, 60.0),
    BitgetFault.HANGING: (1.0, 60.0),
    BitgetFault.CUT_BODY: (1.0, 60.0),
    BitgetFault.EMPTY_DATA: (1.0, 60.0),
    BitgetFault.UNKNOWN_SYMBOL: (10.0, 120.0),
    BitgetFault.REFUSED_CONNECTION: (1.0, 120.0),
    BitgetFault.MAINTENANCE: (30.0, 600.0),
}
"""The duration of each fault that lasts."""
OF_ONE_SYMBOL: Final = frozenset(
    {
        BitgetFault.SILENT_SYMBOL,
        BitgetFault.REFUSED_SUBSCRIBE,
        BitgetFault.FALSE_ACK,
        BitgetFault.UNKNOWN_SYMBOL,
        BitgetFault.FUNDING_INTERVAL,
    }
)
OF_ALL_SYMBOLS: Final = AT_ONCE | {BitgetFault.NO_PONG, BitgetFault.REFUSED_CONNECTION, BitgetFault.MAINTENANCE}
"""Faults of a connection or the whole server. Any other fault concerns one symbol or all."""
ALL: Final = tuple(fault for fault in BitgetFault if fault not in OF_CONTRACTS)


class ScriptedFault(Struct, frozen=True):
    """One fault of the script."""

    at_ms: int
    fault: BitgetFault
    symbol: str | None
    seconds: float | None
    value: int | None


class FaultScript:
    """Injects faults at a mean rate between two times; calm windows end running faults and have none.

    A calm window does not undo the state of a connection (silent, stalled) or a decision of the exchange (an
    interval): the client has to notice those.
    """

    def __init__(
        self,
        seed: int,
        symbols: Sequence[str],
        from_ms: int,
        until_ms: int,
        *,
        an_hour: float = 6.0,
        calm: Sequence[tuple[int, int]] = (),
        faults: Sequence[BitgetFault] = ALL,
    ) -> None:
        assert 0.0 < an_hour <= 3_600.0, an_hour
        self._rng = Random(seed)  # noqa: S311 - faults, not secrets.
        self._symbols = tuple(symbols)
        self._until_ms = until_ms
        self._mean_ms = HOUR_MS / an_hour
        self._calm = sorted(calm)
        self._faults = tuple(faults)
        self._calms_begun = 0
        self.thrown = 0
        self._next = self._draw(from_ms)

    @property
    def next_ms(self) -> int:
        """When something happens next."""
        fault_ms = NEVER_MS if self._next is None else self._next.at_ms
        return min(fault_ms, self._calm[self._calms_begun][0] if self._calms_begun < len(self._calm) else NEVER_MS)

    def run(self, now_ms: int, faults: BitgetFaultInjector) -> None:
        """Inject the faults that are due."""
        while self._calms_begun < len(self._calm) and self._calm[self._calms_begun][0] <= now_ms:
            self._calms_begun += 1
            faults.clear()
        while self._next is not None and self._next.at_ms <= now_ms:
            due, self._next = self._next, self._draw(self._next.at_ms)
            if not self._is_calm(due.at_ms) and not self._is_calm(now_ms):
                self.thrown += 1
                faults.on(due.fault, symbol=due.symbol, for_s=due.seconds, value=due.value)

    def _draw(self, after_ms: int) -> ScriptedFault | None:
        rng = self._rng
        at_ms = after_ms + 1 + int(rng.expovariate(1.0 / self._mean_ms))
        fault, symbol = rng.choice(self._faults), rng.choice(self._symbols)
        seconds = None if fault in AT_ONCE else rng.uniform(*SECONDS[fault])
        by_symbol = fault in OF_ONE_SYMBOL or (fault not in OF_ALL_SYMBOLS and rng.random() < 0.5)
        scripted = ScriptedFault(at_ms, fault, symbol if by_symbol else None, seconds, self._value(fault))
        return scripted if at_ms < self._until_ms else None

    def _value(self, fault: BitgetFault) -> int | None:
        rng = self._rng
        if fault is BitgetFault.SKEW:
            return rng.randint(-SKEW_MS_MAX, SKEW_MS_MAX)
        if fault is BitgetFault.FUNDING_INTERVAL:
            return rng.choice(FUNDING_HOURS)
        return rng.randint(1, 10) if fault is BitgetFault.BUSY and rng.random() < 0.5 else None

    def _is_calm(self, at_ms: int) -> bool:
        return any(from_ms <= at_ms < until_ms for from_ms, until_ms in self._calm)
