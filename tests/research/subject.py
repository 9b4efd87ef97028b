"""What tests run in a process of its own.

`-m tests.research.subject decisions | folder PATH NAME... | loops NAME... | replays PATH NAME... | symbol`
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from papertape.engine.reducer.reducer import is_decision
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.strategy_registry import load_strategies
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from tests.build import FIVE_MINUTES_MS
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import begin, eager, played
from tests.support import NO_LIMITS, configured_world, feed, state_of

if TYPE_CHECKING:
    from papertape.events.log import LogReader, Recorded


def decisions() -> str:
    """A digest of two random markets: everything decided, with the log's numbering and causes, and the end state."""
    digest = hashlib.sha256()
    for recipe in (Recipe(3, 3, 400, FIVE_MINUTES_MS, holes=2), Recipe(4, 3, 300, told_of=0.2, holes=2)):
        run = played(market(recipe))
        assert sum(is_decision(event) for event in run.events()) > 50
        digest.update(msgspec.msgpack.encode(run.log))
        digest.update(state_of(run.world))
    return digest.hexdigest()


def loops(names: list[str]) -> list[bool]:
    """Whether strategies, compiled or from the cache one after the other, decide what CPython decides."""
    from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - the other subjects do without numba
    from papertape.engine.research.cpython_kernel import PlainEngine  # noqa: PLC0415
    from papertape.engine.research.guarded import run_tape  # noqa: PLC0415

    tape, same = market(Recipe(3, 2, 400, FIVE_MINUTES_MS)), []
    for name in names:
        python, compiled = (configured_world(tape.contracts, eager([name])) for _ in range(2))
        expected = run_tape(python, PlainEngine(python, tape)).decided
        got = run_tape(compiled, CompiledEngine(compiled, tape)).decided
        same.append(bool(expected) and got == expected)
    return same


def replays(path: Path, names: list[str]) -> list[bool]:
    """Whether the compiled replay of a log ends in the world that wrote it, for each of a folder's strategies."""
    from papertape.engine.research.replay import replay_compiled  # noqa: PLC0415 - the other subjects do without numba

    tape, strategies, same = market(Recipe(3, 2, 400, FIVE_MINUTES_MS, holes=1)), load_strategies([path]), []
    for name in names:
        run = begin(tape.contracts, {name: RunnerSettings(risk=NO_LIMITS)}, strategies)
        feed(run.world, run.log, tape.events())
        assert sum(is_decision(item.event) for item in run.log) > 10
        same.append(state_digest(replay_compiled(_reader(run.log), strategies)) == state_digest(run.world))
    return same


def symbol() -> str:
    """The name numba gives the machine code of a loop that is compiled here."""
    from papertape.engine.research.numba_callees import make_loop  # noqa: PLC0415 - the other subjects do without numba

    loop: Any = make_loop(_following, "")
    assert loop(1) == 2
    (compiled,) = loop.overloads.values()
    return str(compiled.fndesc.llvm_func_name)


def _following(number: int) -> int:
    """A loop of no turn."""
    return number + 1


def _reader(recorded: list[Recorded]) -> LogReader:
    """A log of these events."""
    log = MemoryEventLog(clock_ms=lambda: 0)
    asyncio.run(log.append(0, [Entry(item.event, item.cause) for item in recorded]))
    return log.reader()


def folder(path: Path, names: list[str]) -> dict[str, object]:
    """The strategy `dropped` of a folder, by CPython and compiled, on the same market; then `loops` beside it."""
    from papertape.engine.research.compiled_kernel import CompiledEngine  # noqa: PLC0415 - the other subjects do without numba
    from papertape.engine.research.cpython_kernel import PlainEngine  # noqa: PLC0415
    from papertape.engine.research.guarded import run_tape  # noqa: PLC0415

    strategies = load_strategies([path])
    tape, settings = market(Recipe(6, candles=400, holes=1)), {"dropped": RunnerSettings(risk=NO_LIMITS)}
    found: dict[str, object] = {"names": list(strategies)}
    for name in ("python", "compiled"):
        world = configured_world(tape.contracts, settings, strategies)
        engine = PlainEngine(world, tape) if name == "python" else CompiledEngine(world, tape)
        decided = [item.event for item in run_tape(world, engine).decided]
        found[name] = hashlib.sha256(msgspec.msgpack.encode(decided)).hexdigest()
        found[f"{name}_count"] = len(decided)
    return {**found, "loops": loops(names)}


if __name__ == "__main__":
    if sys.argv[1] == "decisions":
        print(json.dumps(decisions()))
    elif sys.argv[1] == "replays":
        print(json.dumps(replays(Path(sys.argv[2]), sys.argv[3:])))
    elif sys.argv[1] == "symbol":
        print(json.dumps(symbol()))
    elif sys.argv[1] == "loops":
        print(json.dumps(loops(sys.argv[2:])))
    else:
        print(json.dumps(folder(Path(sys.argv[2]), sys.argv[3:])))
