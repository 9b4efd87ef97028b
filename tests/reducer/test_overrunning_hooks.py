"""A hook that does not end is ended: whether it works, sleeps or waits."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.reducer.hook_guard import GUARD_CODE
from tests.kernel.fragile import fragile
from tests.reducer.fragile_runs import BOTH, FRAGILE, failed, refolded, running, told
from tests.reducer.runs import Run
from tests.support import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.kernel.answers import Answer
    from papertape.engine.kernel.view import View


@pytest.mark.parametrize("volume", [fragile.HANG, fragile.STUBBORN])
def test_a_hook_that_does_not_end_is_stopped_and_named(volume: float) -> None:
    run = running()
    with ended_overruns(GUARD_CODE, 0.2):
        failure = failed(told(run, 3, volume))
    assert failure.error == "HookOverrun: it did not end within 0.2 s of processor time"
    assert failure.hook == "enter"
    assert refolded(run) == state_of(run.world)


def sleep_as_told(view: View, params: fragile.Parameters, answer: Answer) -> int:  # noqa: ARG001 - likewise.
    """Sleep when told so."""
    if view.candle.volume == fragile.HANG:
        time.sleep(600.0)
    return 0


def wait_as_told(view: View, params: fragile.Parameters, answer: Answer) -> int:  # noqa: ARG001 - likewise.
    """Wait for a lock that nobody gives back when told so."""
    lock = Lock()
    lock.acquire()
    return int(view.candle.volume == fragile.HANG and lock.acquire())


def sleep_on_as_told(view: View, params: fragile.Parameters, answer: Answer) -> int:  # noqa: ARG001 - likewise.
    """Sleep when told so, and swallow whatever could end it."""
    while view.candle.volume == fragile.HANG:
        with suppress(BaseException):
            time.sleep(600.0)
    return 0


def work_as_told(view: View, params: fragile.Parameters, answer: Answer) -> int:  # noqa: ARG001 - likewise.
    """Work for a while when told so, then answer."""
    until_s = time.thread_time() + 1.5
    while view.candle.volume == fragile.HANG and time.thread_time() < until_s:
        view.market.rate + 0.0
    return 0


def entering(enter: Callable[..., int]) -> Run:
    """Both strategies, one with another way to enter, three candles in."""
    return running({**BOTH, "fragile": replace(FRAGILE, hooks=replace(FRAGILE.hooks, enter=enter))})


@pytest.mark.parametrize("enter", [sleep_as_told, wait_as_told, sleep_on_as_told])
def test_a_hook_that_sleeps_or_waits_is_stopped_and_named_too(enter: Callable[..., int]) -> None:
    run, traced = entering(enter), sys.gettrace()
    with ended_overruns(GUARD_CODE, blocked_s=0.4):
        failure = failed(told(run, 3, fragile.HANG))
        assert (failure.strategy, failure.hook) == ("fragile", "enter")
        assert failure.error == "HookOverrun: it slept or waited for 0.4 s and did not end"
        before = time.monotonic()
        time.sleep(1.0)
        assert time.monotonic() - before >= 1.0, "only a hook is ended"
    assert sys.gettrace() is traced
    assert sys.exc_info() == (None, None, None), "no exception is left behind as the one being handled"


def test_a_hook_that_works_for_longer_than_it_might_sleep_is_left_alone() -> None:
    run = entering(work_as_told)
    with ended_overruns(GUARD_CODE, blocked_s=1.0):
        assert told(run, 3, fragile.HANG) == []
