"""Old shapes of facts and the way from each to the newest.

When `X.1` in `events.facts` gets a new shape, the new class takes the tag `X.2` there, the old class moves
here under a name of its own (`X1`, `tag="X.1"`), and `UPCASTERS` gets the function from one to the other.
A function may lead to a shape that is itself old by now: the codec follows the chain. Entries are never
removed, because a log is read for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from events.facts import Event

Upcaster = Callable[[Any], Event]

UPCASTERS: Mapping[type[Event], Upcaster] = {}
