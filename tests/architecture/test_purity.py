"""What the kernel, the reducer, the strategies and the folds never do: they are pure functions of events."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tests.architecture.source import at, imports, nodes, nodes_of, sources
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
KERNEL = ("engine/kernel", "engine/reducer", "engine/strategies")
PURE = (*KERNEL, "projections")
RUNS_THE_FOLDS = (
    "projections/host.py",
    "projections/persistence/fold_store.py",
    "projections/persistence/packing.py",
    "projections/watchdog/watchdog.py",
    "projections/watchdog/heartbeat.py",
    "projections/telegram/",
    "projections/notify/",
    "projections/site/library.py",
    "projections/site/ports.py",
    "projections/site/timeline.py",
    "projections/site/followed_log.py",
    "projections/site/log_pages.py",
)
"""They lie beside the folds and are none: they follow the log, so they wait."""


def pure_sources() -> list[Path]:
    """The core, the strategies and the folds."""
    return [path for path in sources(*PURE) if not path.relative_to(REPOSITORY).as_posix().startswith(RUNS_THE_FOLDS)]


def pure_nodes() -> Iterator[tuple[Path, ast.AST]]:
    """Every node of their syntax."""
    for path in pure_sources():
        for node in nodes_of(path):
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
