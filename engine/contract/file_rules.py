"""Rules for a strategy's file as a whole: imports, what runs at import, and what outlives a candle."""

from __future__ import annotations

import ast
from itertools import chain
from typing import TYPE_CHECKING, Final

from papertape.engine.contract.breach import Breach, nearest, suggestion
from papertape.engine.contract.hooks import CONSTANTS, HOOKS
from papertape.engine.contract.module_source import Imported, is_kernel, resolve
from papertape.engine.kernel.strategy import FORMER_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from papertape.engine.contract.module_source import ModuleSource

CLOCKS: Final = frozenset({"time", "datetime", "calendar", "zoneinfo", "sched"})
CHANCE: Final = frozenset({"random", "secrets", "uuid"})
ARRAYS: Final = frozenset({"numpy", "pandas", "polars", "numba", "scipy", "talib", "pandas_ta"})
HARMLESS: Final = frozenset({"__future__", "typing", "typing_extensions", "collections.abc", "msgspec"})
DEMO: Final = "papertape.engine.strategy_demo"
BANNED: Final = {
    **dict.fromkeys(("open", "input", "breakpoint", "exit", "quit"), "a strategy does no I/O: remove it"),
    **dict.fromkeys(("exec", "eval", "compile", "__import__"), "the source must show what runs: write it out"),
    **dict.fromkeys(("globals", "locals", "vars", "setattr", "delattr"), "name the field: view.state.NAME = ..."),
    **dict.fromkeys(("id", "hash"), "its value differs between processes: use a number of the market"),
}
MUTABLE: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.Lambda)
MUTABLE_CALLS: Final = frozenset({"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter"})
MAY_BE_MUTABLE: Final = frozenset({"PLOT", "REFERENCES", "__all__"})
TOP_LEVEL: Final = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Pass)


def file_breaches(source: ModuleSource) -> Iterator[Breach]:
    """Yield what is wrong with the file as a whole."""
    nodes = list(chain.from_iterable(map(ast.walk, source.body)))
    for statement in source.body:
        yield from _top_level(statement)
    for node in nodes:
        yield from _anywhere(node)
    yield from _hook_breaches(source)
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    yield from _misspelled(source, read)


# ---------------------------------------------------------------- what runs when the file is loaded


def _top_level(node: ast.stmt) -> Iterator[Breach]:
    """Yield what a statement outside functions must not be."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        yield from _global_value(node)
    elif isinstance(node, ast.AsyncFunctionDef):
        yield Breach(node.lineno, node.name, "hooks are not async: write def")
    elif not isinstance(node, TOP_LEVEL) and not _is_docstring(node):
        text = "this runs when the file is loaded: move it into a hook, or below if __name__ == '__main__'"
        yield Breach(node.lineno, "", text)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _global_value(node: ast.Assign | ast.AnnAssign) -> Iterator[Breach]:
    """Yield a breach for a global that could change."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [ast.unparse(target) for target in targets]
    value = node.value
    is_mutable = isinstance(value, MUTABLE) or (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in MUTABLE_CALLS
    )
    if is_mutable and not MAY_BE_MUTABLE.intersection(names):
        text = "a global that can change would outlive a candle: write a tuple, or keep numbers in State"
        yield Breach(node.lineno, names[0], text)


# ---------------------------------------------------------------- what must stand nowhere


def _anywhere(node: ast.AST) -> Iterator[Breach]:
    """Yield what a node breaks wherever it stands."""
    match node:
        case ast.Import():
            for alias in node.names:
                yield from _module_import(node.lineno, alias.name)
        case ast.ImportFrom():
            yield from _names_import(node)
        case ast.Global() | ast.Nonlocal():
            text = "a global that changes would outlive a candle: keep the number in State"
            yield Breach(node.lineno, ", ".join(node.names), text)
        case ast.Name() if node.id in BANNED and isinstance(node.ctx, ast.Load):
            yield Breach(node.lineno, node.id, BANNED[node.id])
        case ast.Attribute() if node.attr.startswith("__"):
            yield Breach(node.lineno, node.attr, "a strategy reads fields, not Python's internals: remove it")
        case ast.FunctionDef() | ast.Lambda():
            yield from _defaults(node)
        case ast.Await() | ast.AsyncFor() | ast.AsyncWith() | ast.Yield() | ast.YieldFrom():
            yield Breach(node.lineno, "", "hooks neither wait nor yield: return the answer")
        case _:
            pass


def _defaults(node: ast.FunctionDef | ast.Lambda) -> Iterator[Breach]:
    """Yield a breach for each default of a parameter that could change between calls."""
    defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    place = getattr(node, "name", "lambda")
    for default in defaults:
        if isinstance(default, MUTABLE):
            yield Breach(default.lineno, place, "a default that can change would outlive a candle: use State")


def _module_import(line: int, module: str) -> Iterator[Breach]:
    """Yield a breach if a module must not be imported."""
    root = module.split(".", maxsplit=1)[0]
    if module in HARMLESS or root in HARMLESS or is_kernel(module) or module == DEMO:
        return
    if module == "math":
        yield Breach(line, "import math", "only sqrt gives the same bits on every machine: from math import sqrt")
        return
    yield Breach(line, f"import {module}", _why_not(root))


def _why_not(root: str) -> str:
    """Return why a module must not be imported, and what to do instead."""
    if root in CLOCKS:
        return "a strategy knows no clock: use view.now_ms"
    if root in CHANCE:
        return "a strategy knows no chance: the same candles must give the same orders"
    if root in ARRAYS:
        return "hooks work on numbers, not on arrays: use papertape.engine.kernel.indicators"
    if root in ("engine", "events", "papertape"):
        return "import from papertape.engine.kernel"
    return "a strategy imports only papertape.engine.kernel, msgspec, typing and math.sqrt: remove it"


def _names_import(node: ast.ImportFrom) -> Iterator[Breach]:
    """Yield what is wrong with `from MODULE import NAMES`."""
    module = node.module or ""
    if module == "math":
        for alias in node.names:
            if alias.name != "sqrt":
                text = "differs between machines or engines: only sqrt may be imported from math"
                yield Breach(node.lineno, f"math.{alias.name}", text)
        return
    if not is_kernel(module):
        yield from _module_import(node.lineno, module or ".")
        return
    for alias in node.names:
        yield from _kernel_name(node.lineno, module, alias.name)


def _kernel_name(line: int, module: str, name: str) -> Iterator[Breach]:
    """Yield a breach if a module of the kernel lacks a name."""
    if name == "*":
        yield Breach(line, f"import {module}", "name what you import: * hides where a name comes from")
    elif resolve(Imported(module, name)) is None:
        whole = resolve(Imported(module))
        text = f"{module} does not exist" if whole is None else f"is not in {module}; {suggestion(name, vars(whole))}"
        yield Breach(line, f"import {name}", text)


# ---------------------------------------------------------------- the names of hooks and constants


def _hook_breaches(source: ModuleSource) -> Iterator[Breach]:
    """Yield hooks with other parameters than the kernel gives them, and decorated ones."""
    for name, hook in HOOKS.items():
        node = source.functions.get(name)
        if node is None:
            continue
        taken = [*node.args.posonlyargs, *node.args.args]
        required = len(taken) - len(node.args.defaults)
        if not required <= len(hook.parameters) <= len(taken) or node.args.vararg or node.args.kwarg:
            text = f"takes ({', '.join(hook.parameters)}), this one takes {len(taken)} parameters"
            yield Breach(node.lineno, name, text)
        if node.decorator_list:
            yield Breach(node.lineno, name, "a hook has no decorator: remove it")


def _misspelled(source: ModuleSource, read: set[str]) -> Iterator[Breach]:
    """Yield functions and constants that nobody reads and whose names resemble those that the kernel looks for."""
    for name, node in (source.functions | source.constants).items():
        known: Iterable[str] = HOOKS if name in source.functions else CONSTANTS if name.isupper() else ()
        if name in known or name in read or name.startswith("_"):
            continue
        if name in FORMER_NAMES:
            yield Breach(node.lineno, name, f"is now {FORMER_NAMES[name]}")
        elif (near := nearest(name, known)) and near not in source.functions and near not in source.constants:
            yield Breach(node.lineno, name, f"nobody reads it; did you mean {near}?")
