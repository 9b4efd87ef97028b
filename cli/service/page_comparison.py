"""The comparison of two logs for the page: computed in a thread and cached."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from papertape.cli.log_comparison import compare_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.projections.folds.log_diff import Comparison

CACHED_S_MIN: Final = 10.0
CACHED_TIMES: Final = 10.0
"""A result is cached this many times as long as it took, so that the page never keeps a machine busy comparing."""


class LogComparer:
    """`projections.site.ports.Comparer` of two files. It computes one comparison at a time."""

    def __init__(
        self, db_a: Path, db_b: Path, config: Path | None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = partial(compare_logs, db_a, db_b, config)
        self._clock_s = clock_s
        self._lock = asyncio.Lock()
        self._cached: Comparison | None = None
        self._cached_until_s = 0.0

    async def comparison(self) -> Comparison:
        """See `projections.site.ports.Comparer`."""
        async with self._lock:
            began_s = self._clock_s()
            if self._cached is None or began_s >= self._cached_until_s:
                self._cached = await asyncio.to_thread(self._work)
                ended_s = self._clock_s()
                self._cached_until_s = ended_s + max(CACHED_S_MIN, CACHED_TIMES * (ended_s - began_s))
            return self._cached
