"""One tape run in the three ways there are: live, by CPython over the tape, and compiled."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from array import array
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import Struct

from papertape.engine.research.cpython_kernel import PlainEngine
from papertape.engine.research.guarded import run_tape
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.units import MINUTE_MS
from tests.reducer.random_market import Recipe, market
from tests.support import DIGEST, REPOSITORY, STRATEGIES, configured_world, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from papertape.engine.reducer.state import EngineState
    from papertape.engine.research.guarded import TapeEngine, TapeRunResult
    from papertape.engine.research.tape import Tape
    from papertape.events.facts import Event

pytest.importorskip("numba", reason="the extra `research` is not installed: there is no compiled way to compare")

from numba.core.caching import UserWideCacheLocator

from papertape.engine.research.compiled_kernel import CompiledEngine as CompiledEngine  # noqa: PLC0414
from papertape.engine.research.compiled_kernel import make_known
from papertape.engine.research.loop_cache import loop_cache
from papertape.engine.research.shared_parts import SHARED, compiled_digest, load_shared


class Ending(Struct, frozen=True):
    """What a run brought, as bytes, so that nothing but the very same bits is equal."""

    decided: list[tuple[int, int, bytes]]
    equities: list[bytes]
    state: bytes

    def events(self) -> list[bytes]:
        """The decisions alone."""
        return [event for _, _, event in self.decided]


def in_python(tape: Tape, settings: Mapping[str, RunnerSettings]) -> Ending:
    """The tape run by CPython."""
    world = configured_world(tape.contracts, settings)
    return _ending(world, PlainEngine(world, tape))


def compiled(tape: Tape, settings: Mapping[str, RunnerSettings]) -> Ending:
    """The tape run by the compiled loop."""
    compile_once(settings)
    world = configured_world(tape.contracts, settings)
    return _ending(world, CompiledEngine(world, tape))


@cache
def compile_shared() -> None:
    """Compile what all strategies share, once for all processes that run tests."""
    with _alone("shared"):
        make_known()
        load_shared()


def copy_shared(cache: Path, sources: Path = REPOSITORY) -> None:
    """Copy what all strategies share, compiled, into a new cache of these sources, a copy of the repository's."""
    compile_shared()
    for function in SHARED:
        stored = loop_cache(function, compiled_digest())
        assert stored is not None
        source = sources / Path(function.__code__.co_filename).relative_to(REPOSITORY)
        folder = cache / UserWideCacheLocator.get_suitable_cache_subpath(str(source))
        folder.mkdir(parents=True, exist_ok=True)
        for file in Path(stored.cache_path).glob(f"{source.stem}.{function.__name__}-*"):
            shutil.copy2(file, folder)


def compile_once(names: Iterable[str] = tuple(STRATEGIES)) -> None:
    """Compile strategies, once for all processes that run tests: who comes second finds them on the disk."""
    compile_shared()
    for name in sorted(names, reverse=os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0"):
        _compile(name)


@cache
def _compile(name: str) -> None:
    with _alone(name):
        tape = market(Recipe(0, candles=20, timeframe_ms=MINUTE_MS))
        world = configured_world(tape.contracts, {name: RunnerSettings()})
        run_tape(world, CompiledEngine(world, tape))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Hold a lock that all processes that run tests know."""
    path = Path(tempfile.gettempdir()) / f"papertape-{DIGEST}-{name}.lock"
    with path.open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _ending(world: EngineState, engine: TapeEngine) -> Ending:
    """Run and keep."""
    outcome = run_tape(world, engine)
    return Ending(
        [(int(item.fact), item.runner, encoded(item.event)) for item in outcome.decided],
        [array("d", one).tobytes() for one in outcome.equities],
        state_of(world),
    )


def encoded(event: Event) -> bytes:
    """An event with every bit of its floats."""
    return msgspec.msgpack.encode(event)


def outcome_of(tape: Tape, settings: Mapping[str, RunnerSettings]) -> TapeRunResult:
    """The decisions of a tape, the fast way."""
    compile_once(settings)
    world = configured_world(tape.contracts, settings)
    return run_tape(world, CompiledEngine(world, tape))


def assert_same_bits(tape: Tape, settings: Mapping[str, RunnerSettings], at_least: int) -> None:
    """Compiled equals CPython in every decision, every equity and the end state; and enough was decided."""
    python, numbers = in_python(tape, settings), compiled(tape, settings)
    assert numbers.decided == python.decided
    assert numbers.equities == python.equities
    assert numbers.state == python.state
    assert len(python.decided) >= at_least, "a tape on which nothing is decided would prove nothing"
