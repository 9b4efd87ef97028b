"""The shape of files and functions, and how errors and renames are handled."""

from __future__ import annotations

import ast
import re

from tests.architecture.source import at, nodes, nodes_of, room_sources, sources
from tests.support import REPOSITORY

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BROAD_EXCEPTS_MAX = 2
"""The supervisor, and the guard of the owner's hooks."""
MOCKS = re.compile(r"\b(Magic|Async)?Mock\(|\bmocker\.|\bpatch\(|\bmonkeypatch\.setattr")


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
    message = f"{', '.join(broad)}: only the supervisor and the guard of hooks may; name the errors you can answer"
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


def test_every_rename_is_made_durable() -> None:
    """`path.replace(other)` and `path.rename(other)` take one argument; those of strings and times take others."""
    wrong = [
        f"{at(path, node.lineno)} renames; call events.durable, which syncs the folder too"
        for path in room_sources()
        if path.relative_to(REPOSITORY).as_posix() != "events/durable.py"
        for node in nodes_of(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("replace", "rename")
        and len(node.args) == 1
        and not node.keywords
    ]
    assert not wrong, "\n".join(wrong)
