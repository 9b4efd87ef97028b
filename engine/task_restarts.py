"""Restart the tasks beside the loop when they fail, while trading continues."""

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
ERROR_CHARS_MAX: Final = 200


class TaskRestarter:
    """Keeps tasks running until the bus is closed. `dead` names the tasks that are down."""

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
        """Run what `make` returns to its end; after each failure run it again, with pauses that grow to a minute.

        Raise LogDamaged if the task fails with it: nothing may be appended after a damaged row.
        """
        failures = 0
        while (error := await failure_of(make)) is not None:
            if isinstance(error, LogDamaged):
                raise error
            failures += 1
            cause = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
            self._warn(f"{name} failed with {cause}; it is restarted, trading continues")
            self.dead.add(name)
            await self._clock.sleep(min(PAUSE_S_MAX, 2.0 ** min(failures, 6)))
            if self._bus.closed:
                return
            self.dead.discard(name)
            await self._report([RepairTried(self._clock.now_ms(), "task_dead", name, f"restarted after {cause}")])
