"""What a page keeps of a long log is passed by when garbage is collected.

A full collection walks through all there is that could be garbage: with places kept along a million events it takes
more than a tenth of a second, in which nobody is served, and it comes with every few pages of the past.
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
"""The generation with which everything is collected."""


class GcFreeze:
    """A callback of `gc`: what a full collection of more than a moment has left over is passed by from then on.

    It may become garbage later, and what is bound in a ring is only found by walking through it: so one of many full
    collections goes through everything again.
    """

    def __init__(self, pause_s_max: float = PAUSE_S_MAX, whole_every: int = WHOLE_EVERY) -> None:
        self.pause_s_max, self.whole_every = pause_s_max, whole_every
        self._begun_s = 0.0
        self._spared = 0

    def __call__(self, phase: str, about: Mapping[str, int]) -> None:
        """Called by the interpreter before and after a collection."""
        if about["generation"] != FULL:
            return
        if phase == "start":
            self._begun_s = time.thread_time()
            return
        self._spared += 1
        if self._spared >= self.whole_every:  # However long it took: where all are long, garbage would pile up.
            self._spared = 0
            gc.unfreeze()
        elif time.thread_time() - self._begun_s > self.pause_s_max:
            gc.freeze()
