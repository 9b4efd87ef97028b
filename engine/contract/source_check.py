"""Prove a strategy's file from its source: nothing in it is run.

What it cannot see it lets pass: the compiler and `papertape check` see more.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from papertape.engine.contract.breach import Breach
from papertape.engine.contract.file_rules import file_breaches
from papertape.engine.contract.hook_syntax import syntax_breaches
from papertape.engine.contract.hooks import HOOKS
from papertape.engine.contract.module_source import kernel_source, parse
from papertape.engine.contract.received import received
from papertape.engine.contract.statements import walk_function
from papertape.engine.contract.struct_rules import struct_breaches
from papertape.engine.contract.values import UNKNOWN, Kind, Owner, Value
from papertape.engine.kernel.strategy import FORMER_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from papertape.engine.contract.module_source import ModuleSource

NAMED: Final = re.compile(r"^NAME\b", re.MULTILINE)
"""A file without a NAME is no strategy; it may be a helper of another program."""
CALLS_MAX: Final = 200
"""No hook of a strategy calls so many functions; what lies deeper is left to the compiler."""
Key = tuple[str, str, tuple[tuple[Kind, Owner, str], ...]]
_KERNEL_CALLS: dict[Key, tuple[frozenset[int], Value]] = {}


def check_source(text: str) -> list[Breach]:
    """Return what is wrong with a strategy's file, in the order of its lines; empty if nothing is."""
    try:
        source = parse(text, "strategy")
    except (SyntaxError, ValueError) as error:
        return [Breach(getattr(error, "lineno", 1) or 1, "", f"is not Python: {getattr(error, 'msg', error)}")]
    breaches = {*file_breaches(source), *struct_breaches(source)}
    for name in HOOKS:
        if name in source.functions:
            breaches |= _hook_breaches(source, name)
    return sorted(breaches)


def fault_of(path: Path) -> str:
    """Return in one line why a file must not be loaded; an empty text if it may, or if it is no strategy.

    Raise OSError if it cannot be read.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if NAMED.search(text) is None:
        return ""
    breaches = [one for one in check_source(text) if not one.runs_in_python]
    if not breaches:
        return ""
    changes = (one for one in breaches if one.place in FORMER_NAMES or one.text.startswith("takes ("))
    former = [f"{one.place} {one.text}" for one in changes]
    if any(one.place in FORMER_NAMES for one in breaches):
        return f"{path}: written for an earlier version: {'; '.join(former)}; docs/strategies.md has the whole contract"
    more = f" ({len(breaches) - 1} more: papertape check {path})" if len(breaches) > 1 else ""
    return f"{breaches[0].on_one_line(path)}{more}"


def _hook_breaches(source: ModuleSource, name: str) -> set[Breach]:
    """Return what is wrong with a hook and the functions that it calls."""
    function = source.functions[name]
    walk = HookWalk(source, name)
    given = received(source, name)
    if len(given) == len([*function.args.posonlyargs, *function.args.args]):
        walk.result(walk.call(function, given), function)
    return walk.breaches


class HookWalk:
    """One hook, and the functions of the file that it calls."""

    def __init__(self, source: ModuleSource, name: str) -> None:
        self.source, self.name = source, name
        self.is_compiled = HOOKS[name].is_compiled
        self.breaches: set[Breach] = set()
        self._calling: list[str] = []
        self._calls = 0
        self._seen: set[str] = set()

    def report(self, line: int, text: str, *, runs_in_python: bool = False) -> None:
        """Note that a line breaks the contract, or only cannot be compiled."""
        self.breaches.add(Breach(line, self.name, text, runs_in_python))

    def change(self, value: Value, path: str, line: int) -> None:
        """Report a change of what this hook must not change."""
        changes = HOOKS[self.name].changes
        if value.owner is not Owner.LOCAL and value.owner not in changes:
            self.report(line, f"{path} {_why_read_only(self.name, value.owner)}")

    def call(self, function: ast.FunctionDef, arguments: Sequence[Value]) -> Value:
        """Walk through a function of the file."""
        if function.name in self._calling:
            if self.is_compiled:
                self.report(function.lineno, f"{function.name} calls itself: write a loop over range(...)")
            return UNKNOWN
        if self.is_compiled and function.name not in self._seen:
            self._seen.add(function.name)
            self.breaches.update(syntax_breaches(function, self.name))
        self._calls += 1
        if self._calls > CALLS_MAX:
            return UNKNOWN
        self._calling.append(function.name)
        result = walk_function(self, function, arguments)
        self._calling.pop()
        return result

    def call_kernel(self, module: str, name: str, arguments: Sequence[Value], line: int) -> Value:
        """Report what a function of the kernel would change against the contract; return its value."""
        changed, result = kernel_call(module, name, arguments)
        for position in changed:
            value = arguments[position]
            self.change(value, f"{name}({', '.join(_written(one) for one in arguments)}): {value.path}", line)
        return result

    def result(self, value: Value, function: ast.FunctionDef) -> None:
        """Report an answer of the wrong type."""
        if self.name in ("enter", "leave") and value.kind in (Kind.FLOAT, Kind.NUMBER, Kind.BOOL, Kind.TUPLE):
            wanted = "1, -1 or 0" if self.name == "enter" else "NO_REASON or FIRST_EXIT_REASON + index"
            self.report(function.lineno, f"returns a {value.kind.name.lower()}: return {wanted}")


def _written(value: Value) -> str:
    return value.path or "..."


def _why_read_only(hook: str, owner: Owner) -> str:
    """Return why a hook must not change what has this owner, and what to do."""
    if owner is Owner.STATE:
        return f"is the state, and {hook} changes none: move it in observe"
    if owner is Owner.MODULE:
        return "is a global, which would outlive a candle: keep the number in State"
    if owner is Owner.SEVERAL:
        return "may be read-only: name the field that is changed on each path"
    allowed = {Owner.STATE: "view.state", Owner.ANSWER: "answer", Owner.READING: "reading"}
    changes = [allowed[one] for one in HOOKS[hook].changes]
    return f"is read-only: {hook} changes {changes[0] if changes else 'nothing'} only"


# ---------------------------------------------------------------- functions of the kernel


def kernel_call(module: str, name: str, arguments: Sequence[Value]) -> tuple[frozenset[int], Value]:
    """Return which arguments a function of the kernel changes, by position, and its value."""
    known = tuple((one.kind, one.owner, one.shape.name if one.shape is not None else "") for one in arguments)
    key = module, name, known
    if key not in _KERNEL_CALLS:
        walk = KernelWalk(kernel_source(module))
        marked = [value._replace(path=f"#{position}") for position, value in enumerate(arguments)]
        function = walk.source.functions.get(name)
        result = UNKNOWN if function is None else walk.call(function, marked)
        _KERNEL_CALLS[key] = frozenset(walk.changed), result._replace(path="")
    return _KERNEL_CALLS[key]


class KernelWalk:
    """One function of the kernel: it is trusted, only what it changes counts. Paths begin with #POSITION."""

    is_compiled = False

    def __init__(self, source: ModuleSource) -> None:
        self.source = source
        self.changed: set[int] = set()
        self._calling: list[str] = []

    def report(self, line: int, text: str, *, runs_in_python: bool = False) -> None:
        """Ignore what a strategy's source must not do."""

    def change(self, value: Value, path: str, line: int) -> None:  # noqa: ARG002
        """Note which argument is changed."""
        if path.startswith("#"):
            self.changed.add(int(path[1:].split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]))

    def call(self, function: ast.FunctionDef, arguments: Sequence[Value]) -> Value:
        """Walk through a function of the same module."""
        if function.name in self._calling:
            return UNKNOWN
        self._calling.append(function.name)
        result = walk_function(self, function, arguments)
        self._calling.pop()
        return result

    def call_kernel(self, module: str, name: str, arguments: Sequence[Value], line: int) -> Value:
        """Walk through a function of another module of the kernel."""
        changed, result = kernel_call(module, name, arguments)
        for position in changed:
            self.change(arguments[position], arguments[position].path, line)
        return result
