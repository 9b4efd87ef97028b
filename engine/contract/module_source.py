"""One parsed module: its functions, classes, constants and imports by name."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL = ("papertape.engine.kernel", "papertape.events.units")
"""The modules of papertape that a strategy may import."""


class Imported(Struct, frozen=True):
    """A name that a module imports: a whole module if `name` is empty."""

    module: str
    name: str = ""


class ModuleSource(Struct, frozen=True):
    """A module's top level. The parts that only a type checker or a main program runs are left out of `body`."""

    name: str
    body: list[ast.stmt]
    functions: dict[str, ast.FunctionDef]
    classes: dict[str, ast.ClassDef]
    constants: dict[str, ast.expr]
    imports: dict[str, Imported]


def parse(text: str, name: str) -> ModuleSource:
    """Parse a module. Raise SyntaxError."""
    body = [node for node in ast.parse(text).body if not _is_guarded(node)]
    source = ModuleSource(name, body, {}, {}, {}, {})
    for node in body:
        if isinstance(node, ast.FunctionDef):
            source.functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            source.classes[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            source.constants.update(_assigned(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            source.imports.update(_imported(node))
    return source


def _is_guarded(node: ast.stmt) -> bool:
    """Return whether a block is `if TYPE_CHECKING:` or `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If):
        return False
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")


def _assigned(node: ast.Assign | ast.AnnAssign) -> Iterator[tuple[str, ast.expr]]:
    """Yield each name that a statement assigns, with its expression."""
    assert node.value is not None
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=False)
            yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name))


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0], Imported(alias.name)
    else:
        for alias in node.names:
            yield alias.asname or alias.name, Imported(node.module or "", alias.name)


def is_kernel(module: str) -> bool:
    """Return whether a strategy may import from a module of papertape."""
    return any(module == room or module.startswith(f"{room}.") for room in KERNEL)


def resolve(imported: Imported) -> Any:
    """Return the object that an import of the kernel names, or None if it is missing."""
    try:
        module = importlib.import_module(imported.module)
    except ImportError:
        return None
    if not imported.name:
        return module
    if hasattr(module, imported.name):
        return getattr(module, imported.name)
    try:
        return importlib.import_module(f"{imported.module}.{imported.name}")
    except ImportError:
        return None


@cache
def kernel_source(module: str) -> ModuleSource:
    """Return the parsed source of a module of the kernel."""
    return parse(Path(str(importlib.import_module(module).__file__)).read_text(encoding="utf-8"), module)
