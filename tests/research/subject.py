"""What tests run in a process of its own: `-m tests.research.subject decisions | folder PATH NAME | loops NAME`."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import msgspec

from engine.core.machine import is_decision
from engine.core.registry import load_strategies
from engine.setup import RunnerSettings
from tests.core.random_market import Recipe, market
from tests.core.runs import eager, played
from tests.support import FIVE_MINUTES_MS, NO_LIMITS, configured_world, state_of


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
    from engine.research.compiled import CompiledEngine  # noqa: PLC0415 - the other subjects do without numba
    from engine.research.guarded import run_tape  # noqa: PLC0415
    from engine.research.plain import PlainEngine  # noqa: PLC0415

    tape, same = market(Recipe(3, 2, 400, FIVE_MINUTES_MS)), []
    for name in names:
        python, compiled = (configured_world(tape.contracts, eager([name])) for _ in range(2))
        expected = run_tape(python, PlainEngine(python, tape)).decided
        got = run_tape(compiled, CompiledEngine(compiled, tape)).decided
        same.append(bool(expected) and got == expected)
    return same


def folder(path: Path, names: list[str]) -> dict[str, object]:
    """The strategy `dropped` of a folder, by CPython and compiled, on the same market; then `loops` beside it."""
    from engine.research.compiled import CompiledEngine  # noqa: PLC0415 - the other subjects do without numba
    from engine.research.guarded import run_tape  # noqa: PLC0415
    from engine.research.plain import PlainEngine  # noqa: PLC0415

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
    elif sys.argv[1] == "loops":
        print(json.dumps(loops(sys.argv[2:])))
    else:
        print(json.dumps(folder(Path(sys.argv[2]), sys.argv[3:])))
