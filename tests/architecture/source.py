"""The syntax of the repository's Python files, for rules about the architecture."""

from __future__ import annotations

import ast
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOMS = ("events", "engine", "projections", "api", "ui", "cli", "sandbox", "studies")
PACKAGE = "papertape."


@cache
def sources(*folders: str) -> list[Path]:
    """Every Python file of the repository, or of some of its folders."""
    return sorted(path for folder in folders or (".",) for path in _python_files(REPOSITORY / folder))


def _python_files(folder: Path) -> Iterator[Path]:
    """The Python files below a folder but for those of an environment, a build, or a hidden folder."""
    for found, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in ("build", "node_modules")]
        yield from (Path(found, name) for name in names if name.endswith(".py"))


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax."""
    return tuple(ast.walk(tree(path)))


def at(path: Path, line: int) -> str:
    """Where to look."""
    return f"{path.relative_to(REPOSITORY)}:{line}"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of every module a file imports; those of the package as their room calls them."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.removeprefix(PACKAGE)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.removeprefix(PACKAGE)


def room_sources() -> list[Path]:
    """The files of all rooms that exist."""
    return sources(*(room for room in ROOMS if (REPOSITORY / room).is_dir()))


def nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of the syntax of some folders."""
    for path in sources(*folders):
        yield from ((path, node) for node in nodes_of(path))
