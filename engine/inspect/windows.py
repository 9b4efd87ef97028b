"""Folds of stretches of a log that are kept and continued, so that the same question a moment later costs little."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class Window(Protocol):
    """A fold that has reached an event."""

    seq: int


W = TypeVar("W", bound=Window)


class WindowPair(Generic[W]):
    """Two windows of one subject: one near the head, one wherever a reader last looked back.

    Whoever uses them holds `turn` meanwhile.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._front: W | None = None
        self._back: W | None = None

    def nearest(self, can_continue: Callable[[W], bool]) -> W | None:
        """Return the window that reached furthest among those that can be continued."""
        windows = [one for one in (self._front, self._back) if one is not None and can_continue(one)]
        return max(windows, key=lambda one: one.seq, default=None)

    def put(self, window: W) -> None:
        """Keep a new window in place of the front or the back one."""
        if self._front is None or window.seq >= self._front.seq:
            self._front = window
        else:
            self._back = window

    def drop(self, window: W) -> None:
        """Forget a window whose fold failed halfway."""
        if window is self._front:
            self._front = None
        elif window is self._back:
            self._back = None


class KeptWindows(Generic[W]):
    """The windows of several subjects; those least recently used are dropped."""

    def __init__(self, subjects_max: int) -> None:
        self._subjects_max = subjects_max
        self._pairs: OrderedDict[Hashable, WindowPair[W]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pairs)

    def of(self, subject: Hashable) -> WindowPair[W]:
        """Return the windows of a subject."""
        pair = self._pairs.setdefault(subject, WindowPair())
        self._pairs.move_to_end(subject)
        while len(self._pairs) > self._subjects_max:
            self._pairs.popitem(last=False)
        return pair
