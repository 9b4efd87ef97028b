"""The faults of a stand-in, switched on at run time: for some time, for some uses, or for one target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

F = TypeVar("F")
ACTIVE_MAX: Final = 1_000
FOREVER_MS: Final = 1 << 62


class ActiveFault(Struct, Generic[F]):
    """A fault that is on: its target (None: all), its end, its remaining uses (None: unlimited)."""

    fault: F
    target: str | None
    until_ms: int
    times: int | None
    value: Any


class FaultInjector(Generic[F]):
    """The active faults of a server. `counts` says how often each was applied."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.counts: Counter[F] = Counter()
        self.active: dict[F, list[ActiveFault[F]]] = {}
        self._now_ms = now_ms

    def _until_ms(self, for_s: float | None) -> int:
        return FOREVER_MS if for_s is None else self._now_ms() + int(for_s * 1_000.0)

    def _add(self, added: ActiveFault[F]) -> None:
        faults = self.active.setdefault(added.fault, [])
        assert len(faults) < ACTIVE_MAX, f"{added.fault} is on {ACTIVE_MAX} times"
        faults.append(added)

    def off(self, fault: F, target: str | None = None) -> None:
        """Switch a fault off, for one target if it is given."""
        others = [one for one in self.active.pop(fault, ()) if target is not None and one.target != target]
        if others:
            self.active[fault] = others

    def clear(self) -> None:
        """Switch everything off. Silent connections stay silent: the client has to notice."""
        self.active.clear()

    def sees(self, fault: F, target: str | None = None) -> ActiveFault[F] | None:
        """Return the active fault for a target, or None, without counting a use."""
        if fault not in self.active:
            return None
        now_ms = self._now_ms()
        current = [one for one in self.active.pop(fault) if one.until_ms > now_ms and one.times != 0]
        if current:
            self.active[fault] = current
        return next((one for one in current if one.target is None or one.target == target), None)

    def hits(self, fault: F, target: str | None = None) -> ActiveFault[F] | None:
        """Return the active fault for a target, or None, and count one use."""
        active = self.sees(fault, target)
        if active is not None:
            self.count(fault)
            if active.times is not None:
                active.times -= 1
        return active

    def count(self, fault: F) -> None:
        """Count a fault that was applied."""
        self.counts[fault] += 1
