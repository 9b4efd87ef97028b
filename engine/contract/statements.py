"""A function walked through statement by statement: what it assigns, and what it returns."""

from __future__ import annotations

import ast
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Final

from papertape.engine.contract.breach import suggestion
from papertape.engine.contract.expressions import ExpressionWalk, arithmetic
from papertape.engine.contract.values import INT, NONE, UNKNOWN, Kind, Owner, Value, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from papertape.engine.contract.context import Context

FUNCTIONS_KEPT_MAX: Final = 256
LOOP_WALKS_MAX: Final = 3
"""After so many walks through a loop its types no longer change: an int becomes a number once."""


def walk_function(context: Context, function: ast.FunctionDef, arguments: Sequence[Value]) -> Value:
    """Walk through a function with these arguments, report what is wrong, and return its value."""
    spec = function.args
    names = [argument.arg for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    env = dict(zip(names, arguments, strict=False))
    env.update(dict.fromkeys([one.arg for one in (spec.vararg, spec.kwarg) if one is not None], UNKNOWN))
    walk = StatementWalk(context, env, _stored_names(function))
    walk.block(function.body)
    return reduce(joined, walk.returned) if walk.returned else NONE


@lru_cache(FUNCTIONS_KEPT_MAX)
def _stored_names(function: ast.FunctionDef) -> frozenset[str]:
    """Return the names that a function assigns."""
    names = (node for node in ast.walk(function) if isinstance(node, ast.Name))
    return frozenset(node.id for node in names if isinstance(node.ctx, ast.Store))


class StatementWalk(ExpressionWalk):
    """The statements of one function."""

    def __init__(self, context: Context, env: dict[str, Value], stored: frozenset[str]) -> None:
        super().__init__(context, env, stored)
        self.returned: list[Value] = []

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Walk through statements in order."""
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Return():
                if node.value is not None:
                    self.returned.append(self.value(node.value))
            case ast.Assign():
                value = self.value(node.value)
                for target in node.targets:
                    self._assign(target, value, node.value)
            case ast.AnnAssign():
                if node.value is not None:
                    self._assign(node.target, self.value(node.value), node.value)
            case ast.AugAssign():
                read = _as_loaded(node.target)
                self._assign(node.target, arithmetic(node.op, self.value(read), self.value(node.value)), node.value)
            case ast.If():
                self.value(node.test)
                self._branches([node.body, node.orelse])
            case ast.For():
                self.value(node.iter)
                self._assign_loop_target(node.target)
                self._loop([*node.body, *node.orelse])
            case ast.While():
                self.value(node.test)
                self._loop([*node.body, *node.orelse])
            case ast.Expr():
                self.value(node.value)
            case ast.FunctionDef():
                self.env[node.name] = UNKNOWN
            case _:
                self._other_statement(node)

    def _branches(self, branches: Sequence[Sequence[ast.stmt]]) -> None:
        """Walk through alternatives and join what each leaves behind."""
        before, after = self.env, []
        for branch in branches:
            self.env = dict(before)
            self.block(branch)
            if not branch or not isinstance(branch[-1], ast.Return | ast.Continue | ast.Break | ast.Raise):
                after.append(self.env)
        self.env = reduce(_joined_names, after) if after else before

    def _loop(self, body: Sequence[ast.stmt]) -> None:
        """Walk through a body that runs any number of times."""
        for _ in range(LOOP_WALKS_MAX):
            before = dict(self.env)
            self.block(body)
            self.env = _joined_names(before, self.env)
            if self.env == before:
                break

    def _other_statement(self, node: ast.stmt) -> None:
        """Walk through a statement that only functions in CPython may use."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
            elif isinstance(child, ast.withitem):
                self.value(child.context_expr)
            elif isinstance(child, ast.stmt):
                self._statement(child)
            else:
                self.block([inner for inner in ast.iter_child_nodes(child) if isinstance(inner, ast.stmt)])

    # ------------------------------------------------------------ assignments

    def _assign_loop_target(self, target: ast.expr) -> None:
        if self.context.is_compiled and isinstance(target, ast.Name):
            self.env[target.id] = INT
        else:
            self.bind_unknown(target)

    def _assign(self, target: ast.expr, value: Value, written: ast.expr) -> None:
        """Assign a value to a name, a field, a row, or several of these."""
        match target:
            case ast.Name():
                self.env[target.id] = value
            case ast.Tuple() | ast.List():
                for one, part in zip(target.elts, _parts(value, len(target.elts)), strict=True):
                    self._assign(one, part, written)
            case ast.Attribute():
                self._assign_field(target, value, written)
            case ast.Subscript():
                base = self.value(target.value)
                self.context.change(base, f"{base.path or ast.unparse(target.value)}[...]", target.lineno)
            case _:
                self.bind_unknown(target)

    def _assign_field(self, target: ast.Attribute, value: Value, written: ast.expr) -> None:
        """Assign a value to a field: the owner must allow it, the field must exist, the types must agree."""
        base = self.value(target.value)
        path = f"{base.path or ast.unparse(target.value)}.{target.attr}"
        fields = base.shape.fields if base.shape is not None and base.kind is Kind.STRUCT else {}
        field = fields.get(target.attr)
        changed = field if field is not None and field.owner is not Owner.LOCAL else base
        self.context.change(changed, path, target.lineno)
        if field is None and base.shape is not None and base.shape.closed:
            self.context.report(target.lineno, f"{path} does not exist; {suggestion(target.attr, fields)}")
        elif field is not None and (wrong := mismatch(field, value, written)):
            self.context.report(target.lineno, f"{path} {wrong}")


def _as_loaded(target: ast.expr) -> ast.expr:
    """Return the target of `+=` as an expression that is read."""
    return ast.parse(ast.unparse(target), mode="eval").body if isinstance(target, ast.Subscript) else target


def _parts(value: Value, count: int) -> Iterator[Value]:
    """Yield the parts of a value that is assigned to several targets."""
    yield from value.items if len(value.items) == count else [UNKNOWN] * count


def _joined_names(one: dict[str, Value], other: dict[str, Value]) -> dict[str, Value]:
    """Return what holds of local names after one of two ways."""
    both = {name: joined(value, other[name]) for name, value in one.items() if name in other}
    return one | other | both


def mismatch(field: Value, value: Value, written: ast.expr) -> str:
    """Return why a value must not be given to a field, and what to write; an empty text if it may."""
    if field.kind is Kind.STRUCT:
        return "is a Struct, which CPython shares and compiled code copies: set its fields one by one"
    if field.kind not in (Kind.INT, Kind.FLOAT) or value.kind in (field.kind, Kind.UNKNOWN):
        return ""
    literal = ast.unparse(written) if isinstance(written, ast.Constant) else ""
    match field.kind, value.kind:
        case _, Kind.BOOL:
            return "is a number but is given a truth value: write 1 if ... else 0"
        case Kind.INT, Kind.FLOAT:
            return "is an int but is given a float: write int(...), or declare it as a float"
        case Kind.INT, Kind.NUMBER:
            return "is an int but may be given a float: write int(...), or declare it as a float"
        case Kind.FLOAT, Kind.INT:
            return f"is a float but is given an int: write {f'{literal}.0' if literal else 'float(...)'}"
        case Kind.FLOAT, Kind.NUMBER:
            return "is a float but may be given an int: write floats (0.0, 1.0) on every path"
        case _:
            return f"is a number but is given a {value.kind.name.lower()}"
