"""Who may import whom. Every message names the file, the line and the way out."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from papertape.engine.strategy_registry import code_digest, load_strategies
from tests.architecture.source import PACKAGE, ROOMS, at, imports, nodes, nodes_of, room_sources, sources
from tests.support import REPOSITORY

FACTS = ("events.facts", "events.errors", "events.log", "events.units")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "events": ("events",),
    "engine/kernel": ("engine.kernel", *FACTS),
    "engine/reducer": ("engine.reducer", "engine.kernel", "events.names", "events.text", *FACTS),
    "engine/strategies": ("engine.kernel", "engine.strategy_demo", "events.units"),
    "engine/ports": ("engine.ports", "engine.reducer.inputs", "events"),
    "engine/inspect": ("engine.inspect", "engine.reducer", "engine.kernel", "engine.recovery", "events"),
    "engine/feeds": ("engine.kernel", "engine.reducer", "engine.feeds", "engine.ports", "events"),
    "engine/contract": ("engine.contract", "engine.kernel", "events.units"),
    "engine/research": (
        "engine.contract",
        "engine.kernel",
        "engine.reducer",
        "engine.feeds",
        "engine.research",
        "engine.runner_settings",
        "engine.strategy_registry",
        "engine.ports",
        "events",
    ),
    "engine": ("engine", "events"),
    "projections": ("projections", "events"),
    "api": ("api", "projections", "events"),
    "ui": ("ui", "api", "projections", "events"),
    "studies": (
        "studies",
        "engine.kernel",
        "engine.feeds",
        "engine.ports",
        "engine.reducer.state",
        "engine.research",
        "engine.runner_settings",
        "engine.strategy_registry",
        "projections.folds",
        "projections.studies",
        "projections.text",
        "events",
    ),
    "sandbox": ("sandbox", "engine.feeds", "engine.ports", "events"),
    "cli": ROOMS,
}
"""The most specific room a file lies in counts."""
NEVER_IMPORT: dict[str, tuple[str, ...]] = {
    "engine": ("engine.research",),
    "engine/feeds": ("engine.research",),
    "engine/kernel": ("numpy", "numba", "polars", "pandas"),
    "engine/reducer": ("numpy", "numba", "polars", "pandas"),
    "engine/contract": ("numpy", "numba", "polars", "pandas"),
    "engine/strategies": ("numpy", "numba", "polars", "pandas"),
    "projections": ("numpy", "numba", "polars", "pandas"),
}
LIVE = (
    "engine.startup",
    "engine.loop",
    "engine.recovery",
    "engine.task_supervisor",
    "engine.verify",
    "engine.runner_settings",
    "engine.reducer.reducer",
    "engine.strategy_registry",
    "engine.feeds.files.feed",
    "engine.feeds.sim.feed",
    "projections.host",
)
HEAVY = ("numpy", "numba", "polars", "pandas", "llvmlite")


def room_of(path: Path) -> str:
    """The most specific room with a rule of its own."""
    folder = path.relative_to(REPOSITORY).parent.as_posix()
    return max((room for room in MAY_IMPORT if folder == room or folder.startswith(f"{room}/")), key=len)


def is_of(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether a module is one of these or lies inside one."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def test_every_room_imports_only_what_the_table_allows() -> None:
    wrong = [
        f"{at(path, line)} imports {module}; {room_of(path)}/ may import {', '.join(MAY_IMPORT[room_of(path)])} only. "
        "Move the function to the room that may know both, or hand the value over as an argument"
        for path in room_sources()
        for line, module in imports(path)
        if is_of(module, ROOMS) and not is_of(module, MAY_IMPORT[room_of(path)])
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_is_imported_by_the_one_name_that_is_installed() -> None:
    wrong = [
        f"{at(path, node.lineno)} imports {name}; write papertape.{name}: a bare name may be another package's"
        for path, node in nodes(".")
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.split(".")[0] in ROOMS
    ]
    assert not wrong, "\n".join(wrong)


def test_what_must_run_without_the_research_extra_never_imports_it() -> None:
    wrong = [
        f"{at(path, line)} imports {module}; keep it in engine/research, which alone may need numpy and numba"
        for path in room_sources()
        for line, module in imports(path)
        if is_of(module, NEVER_IMPORT.get(room_of(path), ()))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_live_engine_runs_without_numpy_numba_and_polars() -> None:
    program = f"""
import importlib, sys
for name in {LIVE!r}:
    importlib.import_module("papertape." + name)
from papertape.engine.strategy_registry import load_strategies
load_strategies()
print(",".join(sorted(name for name in sys.modules if name in {HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.strip()
    assert not loaded, f"importing the live engine loads {loaded}; import it inside the function that needs it"


def test_no_two_files_import_each_other() -> None:
    """Imports for types only and inside functions count: what they tie together is understood together."""
    graph = {_module(path): _imported(path) for path in room_sources()}
    order = TopologicalSorter({name: found & graph.keys() for name, found in graph.items()})
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(f"{' -> '.join(error.args[1])}: move what both need to a file of its own")


def _module(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path) -> set[str]:
    """Return every module that a file may import, and names that are none."""
    found = {name for _, name in imports(path)}
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = node.module.removeprefix(PACKAGE)
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names
            if all((REPOSITORY / name.replace(".", "/")).with_suffix(".py").is_file() for name in names):
                found.discard(module)  # Modules of a folder were imported, nothing of the folder itself.
    return found


def test_an_edited_page_discards_no_snapshot() -> None:
    """The digest covers what decides, kernel, reducer, units of time and strategies, and nothing else."""
    digest = hashlib.blake2b(digest_size=16)
    for room in ("engine/kernel", "engine/reducer"):
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            digest.update(path.read_bytes())
    digest.update((REPOSITORY / "events" / "units.py").read_bytes())
    assert code_digest([]) == digest.hexdigest()
    sources_of = {strategy.name: strategy.source for strategy in load_strategies().values()}
    assert all("papertape.ui" not in source and "papertape.api" not in source for source in sources_of.values())


@pytest.mark.parametrize("room", [*MAY_IMPORT])
def test_the_rooms_these_rules_speak_of_exist(room: str) -> None:
    assert sources(room), f"{room}/ is gone: the rules above would hold for nothing; move them with it"
