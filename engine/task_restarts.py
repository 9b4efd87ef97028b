"""Those who live beside the loop: whoever fails is started again, and trading goes on untouched meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from papertape.events.errors import LogDamaged
from papertape.events.facts import RepairTried
from papertape.events.tasks import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from papertape.engine.ports.clock import Clock
    from papertape.events.bus import Bus
    from papertape.events.facts import Event

PAUSE_S_MAX: Final = 60.0
WORDS_CHARS_MAX: Final = 200


class TaskRestarter:
    """Keeps tasks alive until the bus is closed. `dead` names those that are down now."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        warn: Callable[[str], None],
        report: Callable[[Sequence[Event]], Awaitable[None]],
    ) -> None:
        self._bus, self._clock, self._warn, self._report = bus, clock, warn, report
        self.dead: set[str] = set()

    async def run_with_restarts(self, name: str, make: Callable[[], Awaitable[None]]) -> None:
        """Run what `make` makes to its end; after a failure again, with pauses that grow to a minute.

        Raises LogDamaged, whoever meets it: nothing may be appended behind a damaged row.
        """
        failures = 0
        while (error := await failure_of(make)) is not None:
            if isinstance(error, LogDamaged):
                raise error
            failures += 1
            words = f"{type(error).__name__}: {error}"[:WORDS_CHARS_MAX]
            self._warn(f"{name} failed with {words}; it is started again, trading goes on")
            self.dead.add(name)
            await self._clock.sleep(min(PAUSE_S_MAX, 2.0 ** min(failures, 6)))
            if self._bus.closed:
                return
            self.dead.discard(name)
            await self._report([RepairTried(self._clock.now_ms(), "task_dead", name, f"started again after {words}")])
