"""The comparison of two logs for a page that may be asked for often: worked out beside the loop, kept for a while."""

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

KEPT_S_MIN: Final = 10.0
KEPT_TIMES: Final = 10.0
"""It is kept at least so many times as long as it took: no page makes a machine compare all the time."""


class LogComparer:
    """`projections.site.ports.Comparer` of two files. One comparison at a time is worked out, whoever asks."""

    def __init__(
        self, db_a: Path, db_b: Path, config: Path | None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._work = partial(compare_logs, db_a, db_b, config)
        self._clock_s = clock_s
        self._turn = asyncio.Lock()
        self._known: Comparison | None = None
        self._known_until_s = 0.0

    async def comparison(self) -> Comparison:
        """See `projections.site.ports.Comparer`."""
        async with self._turn:
            began_s = self._clock_s()
            if self._known is None or began_s >= self._known_until_s:
                self._known = await asyncio.to_thread(self._work)
                ended_s = self._clock_s()
                self._known_until_s = ended_s + max(KEPT_S_MIN, KEPT_TIMES * (ended_s - began_s))
            return self._known
