"""Restore the order of the log from what is stored lane by lane, in bulk where numpy is loaded."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import accumulate, chain, islice, pairwise
from operator import itemgetter
from typing import Any, Final, TypeVar

NUMPY_VALUES_MIN: Final = 64
"""Fewer values are decoded as quickly without numpy."""
_RUN_EVENTS_MIN: Final = 4
_T = TypeVar("_T")


def numpy_for(count: int) -> Any:
    """Return numpy if it is loaded and worth its overhead for that many values, else None.

    Another thread may be loading it: then this waits, because a half-loaded module lacks functions.
    """
    if count < NUMPY_VALUES_MIN or "numpy" not in sys.modules:
        return None
    with suppress(ImportError):
        return import_module("numpy")
    return None


def load_numpy() -> None:
    """Load numpy if it is installed. Loading takes about as long as numpy saves on several hundred thousand events."""
    with suppress(ImportError):
        import_module("numpy")


def pick(content: Any, places: Sequence[int]) -> Sequence[Any]:
    """Return the items at some places of a list, or keys of a dictionary. Raise LookupError if one is missing."""
    picked: tuple[Any, ...] = itemgetter(*places)(content) if len(places) > 1 else ()
    return picked or [content[place] for place in places]  # A getter of one item would not return a tuple.


def log_order(lanes: Sequence[int], first_lane: int, lengths: Sequence[int]) -> Any:
    """Return where each event of neighbouring lanes stands in these lanes, in the order of the log.

    Return None where numpy is not loaded or not worth it. Raise ValueError if lanes of these lengths do not occur.
    """
    numpy = numpy_for(sum(lengths))
    if numpy is None:
        return None
    own = numpy.frombuffer(lanes, _typecode(lanes))
    own = own[(own >= first_lane) & (own < first_lane + len(lengths))] - first_lane
    if numpy.bincount(own, minlength=len(lengths)).tolist() != list(lengths):
        raise ValueError("the lanes do not fit their events")
    order = numpy.empty(len(own), numpy.intp)
    order[numpy.argsort(own, kind="stable")] = numpy.arange(len(own))
    return order


def places_in_log_order(lanes: Sequence[int], first_lane: int, lengths: Sequence[int]) -> array[int]:
    """Return what `log_order` gives, with and without numpy."""
    order = log_order(lanes, first_lane, lengths)
    if order is not None:
        return array("q", order.astype("q").tobytes())
    ends = list(accumulate(lengths, initial=0))
    places = {lane: iter(range(*span)) for lane, span in enumerate(pairwise(ends), start=first_lane)}
    return array("q", map(next, pick(places, list(filter(places.__contains__, lanes)))))


def in_order(values: Any, order: Any) -> Any:
    """Return the values of an array or of bytes in an order that `log_order` gave."""
    if order is None:
        return values
    taken = sys.modules["numpy"].frombuffer(values, _typecode(values)).take(order).tobytes()
    return taken if isinstance(values, bytes) else array(values.typecode, taken)


def merged(sources: Mapping[int, Iterator[_T]], lanes: Sequence[int]) -> Iterator[_T]:
    """Return the next value of each lane's source, in the order of the lanes. Lanes may share a source."""
    numpy = numpy_for(len(lanes))
    if numpy is not None:
        numbers = {id(source): number for number, source in sources.items()}
        number_of_lane = numpy.array([numbers[id(sources[lane])] for lane in range(len(sources))], numpy.int32)
        own = number_of_lane.take(numpy.frombuffer(lanes, _typecode(lanes)))
        begins = [0, *(numpy.flatnonzero(own[1:] != own[:-1]) + 1).tolist()]
        if len(begins) * _RUN_EVENTS_MIN <= len(lanes):
            runs = map(sources.__getitem__, own[begins].tolist())
            lengths = [end - begin for begin, end in pairwise([*begins, len(lanes)])]
            return chain.from_iterable(map(islice, runs, lengths))
    return map(next, pick(sources, lanes))


def _typecode(values: Any) -> str:
    return "B" if isinstance(values, bytes) else values.typecode
