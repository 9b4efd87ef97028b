"""Long-lived objects are exempt from full collections, and garbage is found in the end."""

from __future__ import annotations

import gc
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.gc_freeze import GcFreeze

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

MANY = 400_000


class Ring:
    """Holds itself: only the collector finds it when it is let go of."""

    def __init__(self) -> None:
        self.own = self


@contextmanager
def collected_by(sparing: GcFreeze) -> Iterator[None]:
    """No collection but those that are asked for, each of which the callback is told of."""
    gc.collect()
    gc.freeze()
    gc.disable()
    gc.callbacks.append(sparing)
    try:
        yield
    finally:
        gc.callbacks.remove(sparing)
        gc.enable()
        gc.freeze()


def collection_s() -> float:
    """Return the duration of a full collection."""
    begun_s = time.thread_time()
    gc.collect()
    return time.thread_time() - begun_s


def test_what_made_a_collection_long_is_passed_by_from_then_on() -> None:
    with collected_by(GcFreeze(pause_s_max=0.002)):
        kept = [[number] for number in range(MANY)]
        first_s, frozen = collection_s(), gc.get_freeze_count()
        assert frozen > MANY
        assert collection_s() < first_s / 5
        assert len(kept) == MANY


def test_short_collections_spare_nothing() -> None:
    with collected_by(GcFreeze(pause_s_max=60.0)):
        frozen = gc.get_freeze_count()
        kept = [[number] for number in range(1_000)]
        gc.collect()
        assert gc.get_freeze_count() <= frozen, "what was passed by before may go meanwhile, nothing may come"
        assert len(kept) == 1_000


@pytest.mark.parametrize("whole_every", [3, pytest.param(8, marks=pytest.mark.slow)])
def test_what_was_spared_and_let_go_of_is_found_in_the_end(whole_every: int) -> None:
    sparing = GcFreeze(pause_s_max=0.0, whole_every=whole_every)
    with collected_by(sparing):
        ring = Ring()
        gone = weakref.ref(ring)
        gc.collect()
        del ring
        sparing.pause_s_max = 60.0
        collections = 1
        while gone() is not None:
            assert collections <= whole_every, "the first one behind it goes through everything"
            gc.collect()
            collections += 1
        assert collections > whole_every - 1


def test_what_was_let_go_of_is_found_too_where_every_collection_is_long() -> None:
    with collected_by(GcFreeze(pause_s_max=-1.0, whole_every=3)):
        ring = Ring()
        gone = weakref.ref(ring)
        gc.collect()
        del ring
        for _ in range(3):
            gc.collect()
        assert gone() is None


def test_everything_is_walked_through_seldom() -> None:
    with collected_by(GcFreeze(pause_s_max=0.002, whole_every=6)):
        kept = [[number] for number in range(MANY)]
        first_s = collection_s()
        seconds = [collection_s() for _ in range(12)]
        assert 1 <= sum(one > first_s / 4 for one in seconds) <= 2
        assert len(kept) == MANY
