"""The architecture as failing tests: who may import whom, and what the core and the folds never do.

Every message names the file, the line and the way out.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOMS = ("events", "engine", "projections", "api", "ui", "cli", "sandbox")
PACKAGE = "papertape."
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BROAD_EXCEPTS_MAX = 1

FACTS = ("events.facts", "events.errors", "events.log", "events.units")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "events": ("events",),
    "engine/kernel": ("engine.kernel", *FACTS),
    "engine/reducer": ("engine.reducer", "engine.kernel", *FACTS),
    "engine/strategies": ("engine.kernel", "engine.strategy_demo", "events.units"),
    "engine/ports": ("engine.ports", "engine.reducer.inputs", "events"),
    "engine/inspect": ("engine.inspect", "engine.reducer", "engine.kernel", "engine.recovery", "events"),
    "engine/feeds": ("engine.kernel", "engine.reducer", "engine.feeds", "engine.ports", "events"),
    "engine/research": (
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
    "sandbox": ("sandbox", "engine.feeds", "engine.ports", "events"),
    "cli": ROOMS,
}
"""The most specific room a file lies in counts."""
NEVER_IMPORT: dict[str, tuple[str, ...]] = {
    "engine": ("engine.research",),
    "engine/feeds": ("engine.research",),
    "engine/kernel": ("numpy", "numba", "polars", "pandas"),
    "engine/reducer": ("numpy", "numba", "polars", "pandas"),
    "engine/strategies": ("numpy", "numba", "polars", "pandas"),
    "projections": ("numpy", "numba", "polars", "pandas"),
}
FORBIDDEN_MODULES = frozenset(
    {
        "time",
        "datetime",
        "random",
        "secrets",
        "os",
        "io",
        "logging",
        "socket",
        "asyncio",
        "threading",
        "subprocess",
        "uuid",
    }
)
FORBIDDEN_CALLS = frozenset({"open", "input", "print", "exec", "eval"})
FORBIDDEN_MATH = frozenset(
    {"exp", "log", "log2", "log10", "log1p", "pow", "sin", "cos", "tan", "cbrt", "exp2", "expm1"}
)
MOCKS = re.compile(r"\b(Magic|Async)?Mock\(|\bmocker\.|\bpatch\(|\bmonkeypatch\.setattr")
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


@cache
def sources(*folders: str) -> list[Path]:
    """Every Python file of the repository, or of some of its folders."""
    found = [path for folder in folders or (".",) for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in found if not _is_foreign(path))


def _is_foreign(path: Path) -> bool:
    """Whether a file is nobody's: of an environment, a build, or a hidden folder."""
    parts = path.relative_to(REPOSITORY).parts
    return any(part.startswith(".") or part in ("build", "node_modules") for part in parts)


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


def at(path: Path, line: int) -> str:
    """Where to look."""
    return f"{path.relative_to(REPOSITORY)}:{line}"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of every module a file imports; those of the package as their room calls them."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.removeprefix(PACKAGE)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.removeprefix(PACKAGE)


def room_of(path: Path) -> str:
    """The most specific room with a rule of its own."""
    folder = path.relative_to(REPOSITORY).parent.as_posix()
    return max((room for room in MAY_IMPORT if folder == room or folder.startswith(f"{room}/")), key=len)


def is_of(module: str, rooms: tuple[str, ...]) -> bool:
    """Whether a module is one of these or lies inside one."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def room_sources() -> list[Path]:
    """The files of all rooms that exist."""
    return sources(*(room for room in ROOMS if (REPOSITORY / room).is_dir()))


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


# ---------------------------------------------------------------- what the core never does

KERNEL = ("engine/kernel", "engine/reducer", "engine/strategies")
PURE = (*KERNEL, "projections")
RUNS_THE_FOLDS = (
    "projections/host.py",
    "projections/persistence/fold_store.py",
    "projections/watchdog/watchdog.py",
    "projections/watchdog/heartbeat.py",
    "projections/telegram/",
    "projections/site/ports.py",
    "projections/site/timeline.py",
)
"""They lie beside the folds and are none: they follow the log, so they wait."""


def pure_sources() -> list[Path]:
    """The core, the strategies and the folds."""
    return [path for path in sources(*PURE) if not path.relative_to(REPOSITORY).as_posix().startswith(RUNS_THE_FOLDS)]


def pure_nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of their syntax."""
    for path in pure_sources():
        for node in ast.walk(tree(path)):
            yield path, node


def nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the syntax of some folders."""
    for path in sources(*folders):
        for node in ast.walk(tree(path)):
            yield path, node


def test_core_and_folds_know_no_clock_no_chance_and_no_outside() -> None:
    wrong = [
        f"{at(path, line)} imports {module}; time, chance and I/O come in as facts: do it in the shell and record it"
        for path in pure_sources()
        for line, module in imports(path)
        if module.split(".")[0] in FORBIDDEN_MODULES and not (module == "datetime" and _is_for_display(path))
    ]
    assert not wrong, "\n".join(wrong)


def _is_for_display(path: Path) -> bool:
    """The formats turn event times into text: they need a calendar, and never ask what time it is."""
    return path.parts[-2:] == ("text", "formats.py")


def test_core_and_folds_never_ask_what_time_it_is() -> None:
    wrong = [
        f"{at(path, node.lineno)} calls .{node.func.attr}(); an event's own time is the only one there is"
        for path, node in pure_nodes()
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("now", "utcnow", "today", "time_ns", "monotonic")
    ]
    assert not wrong, "\n".join(wrong)


def test_core_and_folds_are_not_async() -> None:
    wrong = [
        f"{at(path, getattr(node, 'lineno', 0))} is async; the core is folded by a loop, which alone may wait"
        for path, node in pure_nodes()
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]
    assert not wrong, "\n".join(wrong)


def test_core_and_folds_open_and_print_nothing() -> None:
    wrong = [
        f"{at(path, node.lineno)} calls {node.func.id}(); take the text or hand it back, the shell reads and writes"
        for path, node in pure_nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS
    ]
    assert not wrong, "\n".join(wrong)


def test_the_kernel_computes_with_plain_arithmetic_only() -> None:
    """`**` differs in the last bit under numba, and the mathematical functions differ between machines."""
    wrong = [
        f"{at(path, getattr(node, 'lineno', 0))} uses `**` or a function of `math`; write it with + - * / and sqrt"
        for path, node in nodes(*KERNEL)
        if (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow))
        or (isinstance(node, ast.Attribute) and _is_math(node))
        or (isinstance(node, ast.ImportFrom) and node.module == "math" and any(a.name != "sqrt" for a in node.names))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("pow", "round", "sum"))
    ]
    assert not wrong, "\n".join(wrong)


def _is_math(node: ast.Attribute) -> bool:
    """`math.exp` and its like."""
    return isinstance(node.value, ast.Name) and node.value.id == "math" and node.attr in FORBIDDEN_MATH


def test_core_and_folds_iterate_over_no_set() -> None:
    wrong = [
        f"{at(path, getattr(node, 'lineno', 0))} iterates over a set, whose order "
        "changes from run to run; sort it, or use a dict"
        for path, node in pure_nodes()
        for iterated in _iterated(node)
        if isinstance(iterated, ast.Set | ast.SetComp)
        or (
            isinstance(iterated, ast.Call)
            and isinstance(iterated.func, ast.Name)
            and iterated.func.id in ("set", "frozenset")
        )
    ]
    assert not wrong, "\n".join(wrong)


def _iterated(node: ast.AST) -> list[ast.expr]:
    """What a loop, a comprehension, or a call that keeps the order goes through."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
        return [generator.iter for generator in node.generators]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("list", "tuple", "enumerate")
    ):
        return node.args[:1]
    return []


# ---------------------------------------------------------------- shape


def test_no_file_is_longer_than_a_reader_keeps_in_mind() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    wrong = [
        f"{at(path, length)} has {length} lines; split it by concept at {FILE_LINES_MAX}"
        for path, length in lengths.items()
        if length > FILE_LINES_MAX
    ]
    assert not wrong, "\n".join(wrong)


def test_no_function_is_longer_than_a_screen() -> None:
    wrong = [
        f"{at(path, node.lineno)} {node.name} has {length} lines; name its parts, {FUNCTION_LINES_MAX} is the most"
        for path, node in nodes(".")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert not wrong, "\n".join(wrong)


def test_at_most_one_handler_catches_everything() -> None:
    broad = [
        at(path, node.lineno)
        for path, node in nodes(".")
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _is_broad(node.type))
    ]
    message = f"{', '.join(broad)}: only the supervisor catches everything; name the errors you can answer"
    assert len(broad) <= BROAD_EXCEPTS_MAX, message


def _is_broad(caught: ast.expr) -> bool:
    """`Exception` or `BaseException`, alone or in a tuple."""
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in ("Exception", "BaseException") for name in names)


def test_there_are_no_mocks() -> None:
    wrong = [
        f"{at(path, number)} mocks; write a small public implementation of the port, or use the in-memory one"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MOCKS.search(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", [*MAY_IMPORT])
def test_the_rooms_these_rules_speak_of_exist(room: str) -> None:
    assert sources(room), f"{room}/ is gone: the rules above would hold for nothing; move them with it"


def test_every_rename_is_made_durable() -> None:
    """`path.replace(other)` and `path.rename(other)` take one argument; those of strings and times take others."""
    wrong = [
        f"{at(path, node.lineno)} renames; call events.durable, which syncs the folder too"
        for path in room_sources()
        if path.relative_to(REPOSITORY).as_posix() != "events/durable.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("replace", "rename")
        and len(node.args) == 1
        and not node.keywords
    ]
    assert not wrong, "\n".join(wrong)
