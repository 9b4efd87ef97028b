"""Watch the hooks of a strategy in CPython: how often they are called, how long they take, and what they change."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec

from papertape.engine.contract.hooks import OBSERVING
from papertape.engine.kernel.strategy import Hooks
from papertape.engine.kernel.view import SeriesView, ViewPart
from papertape.engine.research.promises import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.engine.kernel.strategy import Strategy

NOT_COMPARED = frozenset({"readings"})
"""The ring of readings is too large to compare at every call; the source check covers it."""


class HookProbe:
    """What was seen of one strategy's hooks."""

    def __init__(self, strategy: Strategy) -> None:
        self.calls: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.changed: dict[str, str] = {}
        self._strategy = strategy

    def hooks(self) -> Hooks:
        """Return the strategy's hooks, each watched."""
        hooks = self._strategy.hooks
        watched: dict[str, Any] = {name: self._watched(name, getattr(hooks, name)) for name in Hooks.__struct_fields__}
        return Hooks(**watched)

    def _watched(self, name: str, hook: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """Return a hook that is timed, and whose view is compared before and after."""
        if hook is None:
            return None

        def call(view: Any, params: Any, *answer: Any) -> Any:
            before = _contents(view, name)
            started = time.perf_counter()
            result = hook(view, params, *answer)
            self.seconds[name].append(time.perf_counter() - started)
            self.calls[name] += 1
            if name not in self.changed and (after := _contents(view, name)) != before:
                self.changed[name] = next(field for field in after if after[field] != before[field])
            return result

        return call

    def look_at_states(self, states: Sequence[msgspec.Struct]) -> None:
        """Note a number in the final state whose type is not that of its field."""
        for state in states:
            if wrong := _wrong_leaf(state, "view.state"):
                self.changed["observe"] = wrong

    def answers_only(self) -> Promise:
        """Return whether every hook changed only what is its own."""
        calls = sum(self.calls.values())
        for name, what in self.changed.items():
            text = what if " " in what else f"view.{what} after {name} is not what it was before"
            return Promise("changes only its own", False, text)
        return Promise("changes only its own", True, f"{calls:,} calls of {', '.join(self.calls)} compared")

    def slowest(self) -> tuple[str, float]:
        """Return the hook that takes longest, and the median of its times in microseconds."""
        medians = {name: 1e6 * median(seconds) for name, seconds in self.seconds.items()}
        return max(medians.items(), key=lambda item: item[1]) if medians else ("no hook", 0.0)


def _contents(view: Any, hook: str) -> dict[str, bytes]:
    """Return what a hook must not change, as bytes by field."""
    own = {*NOT_COMPARED, "state"} if hook in OBSERVING else NOT_COMPARED
    names = [name for name in view.__struct_fields__ if name not in own]
    return {name: msgspec.msgpack.encode(_without_history(getattr(view, name))) for name in names}


def _without_history(value: Any) -> Any:
    """Return a field of a view without the histories of series, in a reference too."""
    if isinstance(value, SeriesView):
        return value.candle
    if isinstance(value, ViewPart):
        return [_without_history(getattr(value, name)) for name in value.__struct_fields__]
    return value


def _wrong_leaf(struct: msgspec.Struct, path: str) -> str:
    """Return a leaf of another type than its field, or an empty text."""
    for item in msgspec.structs.fields(struct):
        value = getattr(struct, item.name)
        if isinstance(value, msgspec.Struct):
            if wrong := _wrong_leaf(value, f"{path}.{item.name}"):
                return wrong
        elif item.type in (int, float) and type(value) is not item.type:
            return f"{path}.{item.name} is {value!r}, not of type {item.type.__name__}"
    return ""
