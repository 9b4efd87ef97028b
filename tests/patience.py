"""How long tests wait: as long as it takes for what must come, and a fair while for promises in wall-clock seconds."""

from __future__ import annotations

import os
import time
from typing import Final

PATIENCE_S: Final = 240.0
"""For what must come. Only a test that fails waits so long, on a machine of any speed."""
SAMPLE_S: Final = 0.02
STRETCH_MAX: Final = 40.0


def crowding() -> float:
    """Return how many times longer work takes here now than the processor time it needs."""
    cpu_s, wall_s = time.thread_time(), time.monotonic()
    while (used_s := time.thread_time() - cpu_s) < SAMPLE_S:
        pass
    return (time.monotonic() - wall_s) / used_s


def stretched(limit_s: float) -> float:
    """Return a promise in seconds, longer where others use the processor.

    It grows with the crowding now or with the load of the last minute for each processor, whichever is more: the load
    tells of what is over when this is called.
    """
    last_minute = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    return limit_s * min(STRETCH_MAX, max(1.0, crowding(), last_minute))
