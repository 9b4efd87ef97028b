"""Exempt the page's long-lived objects from garbage collection.

A full collection walks through every object that could be garbage. With checkpoints along a million events that takes
more than a tenth of a second, in which the page serves nobody, and it happens every few pages of the past.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PAUSE_S_MAX: Final = 0.02
WHOLE_EVERY: Final = 256
FULL: Final = 2
"""The generation of a full collection."""


class GcFreeze:
    """A callback of `gc` that freezes the objects that survived a slow full collection.

    A frozen object may become garbage later, and cycles are found only by walking through them, so every
    `whole_every`-th full collection is followed by an unfreeze.
    """

    def __init__(self, pause_s_max: float = PAUSE_S_MAX, whole_every: int = WHOLE_EVERY) -> None:
        self.pause_s_max, self.whole_every = pause_s_max, whole_every
        self._began_s = 0.0
        self._collections = 0

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        """Handle the start or the end of a collection."""
        if info["generation"] != FULL:
            return
        if phase == "start":
            self._began_s = time.thread_time()
            return
        self._collections += 1
        if self._collections >= self.whole_every:  # Even after a slow one: if all are slow, garbage would pile up.
            self._collections = 0
            gc.unfreeze()
        elif time.thread_time() - self._began_s > self.pause_s_max:
            gc.freeze()
