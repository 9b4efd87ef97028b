"""What the walk through a function needs from outside: names, calls, and a place for breaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ast
    from collections.abc import Sequence

    from papertape.engine.contract.module_source import ModuleSource
    from papertape.engine.contract.values import Value


class Context(Protocol):
    """One hook of a strategy, or one function of the kernel, while it is walked through."""

    source: ModuleSource
    is_compiled: bool

    def report(self, line: int, text: str, *, runs_in_python: bool = False) -> None:
        """Note that a line breaks the contract, or only cannot be compiled."""

    def change(self, value: Value, path: str, line: int) -> None:
        """Note that `path`, which belongs to the value's owner, is changed."""

    def call(self, function: ast.FunctionDef, arguments: Sequence[Value]) -> Value:
        """Walk through a function of the same file and return its value."""

    def call_kernel(self, module: str, name: str, arguments: Sequence[Value], line: int) -> Value:
        """Walk through a function of the kernel and return its value."""
