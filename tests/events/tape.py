"""Shared by the tests of this room: sample facts, generated facts, and an event loop for a test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, get_type_hints

from hypothesis import strategies as st

from papertape.events.facts import EVENT_TYPES, CandleClosed, Event, FundingRateSettled, OrderPlaced
from papertape.events.log import Entry

P = ParamSpec("P")
RECORDED_AT_MS = 1_700_000_000_123


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def open_files(folder: Path) -> list[str]:
    """The names of the files in `folder` that this process has open."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # The descriptor that lists the others is gone by now.
            file = descriptor.readlink()
            if file.parent == folder:
                names.append(file.name)
    return sorted(names)


def clock_ms() -> int:
    """A clock that stands still."""
    return RECORDED_AT_MS


def candle(number: int = 0) -> CandleClosed:
    """The candle of minute `number`."""
    close = 50_000.5 + number
    return CandleClosed(60_000 * (number + 1), "BTCUSDT", 60_000, close - 1, close + 2, close - 3, close, 1.5)


def candles(count: int, first: int = 0) -> list[Entry]:
    """The entries of `count` candles from minute `first`."""
    return [Entry(candle(number)) for number in range(first, first + count)]


def order() -> OrderPlaced:
    """An order with readings."""
    return OrderPlaced(
        60_000, "demo", "BTCUSDT", "entry", "long", "rsi_low", 0.1, 50_000.5, 0.01, 0.02, 25.0, 1.0, {"rsi": 18.5}
    )


def funding(rate: float = 0.0001) -> FundingRateSettled:
    """A funding settlement."""
    return FundingRateSettled(60_000, "BTCUSDT", rate)


_names = st.text(max_size=12)
_floats = st.floats(allow_nan=False)
_integers = st.integers(-(2**63), 2**63 - 1)
_numbers = st.dictionaries(_names, _integers | _floats, max_size=4)
_of_hint: dict[Any, st.SearchStrategy[Any]] = {
    int: _integers,
    float: _floats,
    str: _names,
    dict[str, float]: st.dictionaries(_names, _floats, max_size=4),
    dict[str, int | float]: _numbers,
    dict[str, dict[str, int | float]]: st.dictionaries(_names, _numbers, max_size=3),
    tuple[tuple[float, float], ...]: st.lists(st.tuples(_floats, _floats), max_size=3).map(tuple),
}


def facts_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Facts of one type, with every value that its fields allow."""
    fields = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return st.builds(kind, **{name: _of_hint.get(hint, st.from_type(hint)) for name, hint in fields.items()})


def any_fact() -> st.SearchStrategy[Event]:
    """Facts of every type."""
    return st.one_of([facts_of(kind) for kind in EVENT_TYPES])
