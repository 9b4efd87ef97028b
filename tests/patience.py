"""Promises in wall-clock seconds, kept strictly where the processor is free and fairly where others use it too."""

from __future__ import annotations

import time
from typing import Final

SAMPLE_S: Final = 0.02
STRETCH_MAX: Final = 8.0


def stretched(limit_s: float) -> float:
    """A limit in seconds, longer by as much as work takes longer here now than the processor time it needs."""
    cpu_s, wall_s = time.thread_time(), time.monotonic()
    while (used_s := time.thread_time() - cpu_s) < SAMPLE_S:
        pass
    return limit_s * min(STRETCH_MAX, max(1.0, (time.monotonic() - wall_s) / used_s))
