"""The conditions of an entry that hold or fail for all sets alike, asked once for all of them.

Most closes are no entry for a reason that does not depend on what the sets differ in. An `enter` that begins with
conditions, as in `if not (a and b): return 0`, becomes a function that asks only some of them. The closes that it
leaves are looked at for every set.
"""

from __future__ import annotations

import ast
from types import FunctionType
from typing import TYPE_CHECKING

from papertape.engine.research.sets.reads import reads_in, source_of

if TYPE_CHECKING:
    from papertape.engine.kernel.strategy import Strategy

CONDITIONS_MAX = 62
"""More would not fit into the bits of a number."""


def sift_params(strategy: Strategy) -> tuple[tuple[str, ...], ...]:
    """Return the parameters that each of the first conditions of `enter` reads; none if it has no such conditions."""
    enter, names = strategy.hooks.enter, strategy.parameters.__struct_fields__
    assignments, conditions = _leading(strategy)
    found = []
    for one in conditions:
        function = ast.FunctionDef("enter", _arguments(strategy), [*assignments, ast.Return(one)], [])
        found.append(reads_in(enter, function).params(names))
    return tuple(found)


def sift_hook(strategy: Strategy) -> FunctionType:
    """Return a function that tells whether the first conditions of `enter` hold, but for those whose bit is set."""
    assignments, conditions = _leading(strategy)
    lines = [f"    {ast.unparse(one)}" for one in assignments]
    asked = [f"(skipped & {1 << k} != 0 or ({ast.unparse(one)}))" for k, one in enumerate(conditions)]
    view, params, _ = (one.arg for one in _arguments(strategy).args)
    text = "\n".join((f"def may_enter({view}, {params}, skipped):", *lines, f"    return {' and '.join(asked)}"))
    [code] = [one for one in compile(text, "<sift>", "exec").co_consts if hasattr(one, "co_code")]
    return FunctionType(code, strategy.hooks.enter.__globals__)


def _leading(strategy: Strategy) -> tuple[list[ast.stmt], list[ast.expr]]:
    """Return the local names that `enter` sets first, and the conditions without which it returns 0 at once."""
    function = source_of(strategy.hooks.enter)
    statements = [] if function is None or "print(" in strategy.source else function.body
    if statements and isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant):
        statements = statements[1:]
    assigned = 0
    while assigned < len(statements) and isinstance(statements[assigned], ast.Assign):
        assigned += 1
    conditions: list[ast.expr] = []
    for statement in statements[assigned:]:
        if not (isinstance(statement, ast.If) and _returns_none(statement)):
            break
        conditions += _conditions(statement.test)
    answer = function.args.args[-1].arg if function else ""
    if any(
        isinstance(node, ast.Name) and node.id == answer
        for one in (*statements[:assigned], *conditions)
        for node in ast.walk(one)
    ):
        return [], []
    return statements[:assigned], conditions[:CONDITIONS_MAX]


def _arguments(strategy: Strategy) -> ast.arguments:
    """Return the arguments of `enter`, whose source was read."""
    function = source_of(strategy.hooks.enter)
    assert function is not None
    return function.args


def _returns_none(statement: ast.If) -> bool:
    """Return whether all that a statement does is to return 0 under its condition."""
    only = statement.body[0]
    return (
        len(statement.body) == 1
        and not statement.orelse
        and isinstance(only, ast.Return)
        and isinstance(only.value, ast.Constant)
        and only.value.value == 0
    )


def _conditions(test: ast.expr) -> list[ast.expr]:
    """Return the conditions that must all hold for a test to fail."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = test.operand
        return inner.values if isinstance(inner, ast.BoolOp) and isinstance(inner.op, ast.And) else [inner]
    return [ast.UnaryOp(ast.Not(), test)]
