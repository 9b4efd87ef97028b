"""The value of an expression, as far as the source shows it."""

from __future__ import annotations

import ast
import builtins
import inspect
import math
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import msgspec

from papertape.engine.contract.arguments import bind, constructed
from papertape.engine.contract.breach import suggestion
from papertape.engine.contract.module_source import is_kernel, resolve
from papertape.engine.contract.struct_rules import struct_shape
from papertape.engine.contract.values import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    NUMERIC,
    TEXT,
    UNKNOWN,
    Kind,
    Owner,
    Value,
    joined,
    shape_of,
    struct_value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.contract.context import Context

CALLABLE: Final = ("abs", "min", "max", "int", "float", "bool", "len", "range", "print")
IN_PLACE_OF: Final = {
    "round": "write int(x + 0.5)",
    "pow": "multiply, or use sqrt",
    "sum": "add in a loop over range(...)",
    "divmod": "use // and %",
    "any": "join the conditions with or",
    "all": "join the conditions with and",
    "str": "a hook makes no text: put the number into the reading",
}
RESULTS: Final = {"int": INT, "float": FLOAT, "bool": BOOL, "len": INT, "range": UNKNOWN, "print": NONE}
TYPES: Final = {bool: BOOL, int: INT, float: FLOAT, str: TEXT, type(None): NONE}
NO_PRINT: Final = "print does not compile: run with --engine python, or put the number into the reading"


class ExpressionWalk:
    """The expressions of one function; `env` holds its local names, `stored` those it assigns anywhere."""

    def __init__(self, context: Context, env: dict[str, Value], stored: frozenset[str] = frozenset()) -> None:
        self.context, self.env, self.stored = context, env, stored

    def value(self, node: ast.expr | None) -> Value:
        """Return what is known of an expression's value, and report what is wrong inside."""
        match node:
            case None:
                return NONE
            case ast.Constant():
                return TYPES.get(type(node.value), UNKNOWN)
            case ast.Name():
                return self._name(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Call():
                return self._call(node)
            case ast.BinOp():
                return arithmetic(node.op, self.value(node.left), self.value(node.right))
            case ast.UnaryOp():
                operand = self.value(node.operand)
                return BOOL if isinstance(node.op, ast.Not) else _number(operand)
            case ast.BoolOp():
                return reduce(joined, map(self.value, node.values))
            case ast.IfExp():
                self.value(node.test)
                return joined(self.value(node.body), self.value(node.orelse))
            case ast.Compare():
                for side in (node.left, *node.comparators):
                    self.value(side)
                return BOOL
            case ast.Tuple():
                return Value(Kind.TUPLE, items=tuple(map(self.value, node.elts)))
            case _:
                return self._other(node)

    def _other(self, node: ast.expr) -> Value:
        """Walk through an expression that only functions in CPython may use."""
        for child in ast.walk(node):
            if isinstance(child, ast.comprehension):
                self.bind_unknown(child.target)
            elif isinstance(child, ast.arg):
                self.env[child.arg] = UNKNOWN
            elif isinstance(child, ast.NamedExpr):
                self.bind_unknown(child.target)
        for child in ast.walk(node):
            if isinstance(child, ast.Attribute | ast.Call):
                self.value(child)
        return TEXT if isinstance(node, ast.JoinedStr) else UNKNOWN

    def bind_unknown(self, target: ast.expr) -> None:
        """Bind every name of a target to a value of which nothing is known."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                self.env[node.id] = UNKNOWN

    # ------------------------------------------------------------ names

    def _name(self, node: ast.Name) -> Value:
        if node.id in self.env:
            return self.env[node.id]
        if node.id in self.stored:
            return UNKNOWN
        found = global_value(self.context, node.id)
        if found is None:
            known = [*self.env, *self.stored, *self.context.source.functions, *self.context.source.constants]
            self.context.report(node.lineno, f"{node.id} is not defined; {suggestion(node.id, known)}")
        return found or UNKNOWN

    def _attribute(self, node: ast.Attribute) -> Value:
        base = self.value(node.value)
        path = f"{base.path or ast.unparse(node.value)}.{node.attr}"
        if base.kind is Kind.MODULE:
            return _object_value(getattr(base.target, node.attr, None))
        if base.kind in NUMERIC:
            self.context.report(node.lineno, f"{path}: {ast.unparse(node.value)} is a number, it has no fields")
            return UNKNOWN
        if base.shape is None or base.kind is not Kind.STRUCT:
            return UNKNOWN.named(path, base.owner)
        field = base.shape.fields.get(node.attr)
        if field is not None:
            owner = field.owner if field.owner is not Owner.LOCAL else base.owner
            return field.named(path, owner)
        if base.shape.closed:
            hint = suggestion(node.attr, base.shape.fields)
            self.context.report(node.lineno, f"{path} does not exist; {hint}")
        return UNKNOWN.named(path, base.owner)

    def _subscript(self, node: ast.Subscript) -> Value:
        base, index = self.value(node.value), self.value(node.slice)
        path = f"{base.path or ast.unparse(node.value)}[{ast.unparse(node.slice)}]"
        if base.kind is Kind.RING and base.shape is not None:
            if index.kind in (Kind.FLOAT, Kind.NUMBER):
                self.context.report(node.lineno, f"{path}: the index may be a float: write int(...)")
            return struct_value(base.shape).named(path, base.owner)
        if base.kind is Kind.TUPLE and base.items:
            item: Value = reduce(joined, base.items)
            return item
        return UNKNOWN.named(path, base.owner)

    # ------------------------------------------------------------ calls

    def _call(self, node: ast.Call) -> Value:
        arguments = [self.value(argument) for argument in node.args]
        named = {keyword.arg or "": self.value(keyword.value) for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and node.func.id not in self.env and node.func.id not in self.stored:
            callee = global_value(self.context, node.func.id)
            if callee is None:
                return self._builtin(node, node.func.id, arguments)
        else:
            callee = self.value(node.func)
        return self._called(node, callee, arguments, named)

    def _called(self, node: ast.Call, callee: Value, arguments: Sequence[Value], named: dict[str, Value]) -> Value:
        """Return the value of a call of something that is not built in."""
        written = ast.unparse(node.func)
        if callee.kind is Kind.FUNCTION and isinstance(callee.target, ast.FunctionDef):
            bound = bind(callee.target, arguments, named)
            if isinstance(bound, str):
                self.context.report(node.lineno, f"{written} {bound}")
                return UNKNOWN
            return self.context.call(callee.target, bound)
        if callee.kind is Kind.FUNCTION and inspect.isfunction(callee.target):
            return self._call_kernel(node, callee.target, arguments, named)
        if callee.target is math.sqrt:
            return FLOAT
        if callee.kind is Kind.CLASS:
            if self.context.is_compiled:
                text = f"{written}(...) makes a Struct: declare it as a field of State and change its fields"
                self.context.report(node.lineno, text)
            return constructed(callee)
        if self.context.is_compiled and isinstance(node.func, ast.Attribute):
            self.context.report(node.lineno, f"{written}(...): values in a hook have no methods")
        return UNKNOWN

    def _call_kernel(self, node: ast.Call, function: Any, arguments: Sequence[Value], named: dict[str, Value]) -> Value:
        """Return the value of a call of a function of the kernel."""
        try:
            bound = inspect.signature(function).bind(*arguments, **named)
        except TypeError as error:
            self.context.report(node.lineno, f"{function.__name__}(...): {error}")
            return UNKNOWN
        bound.apply_defaults()
        values = [value if isinstance(value, Value) else _object_value(value) for value in bound.arguments.values()]
        return self.context.call_kernel(function.__module__, function.__name__, values, node.lineno)

    def _builtin(self, node: ast.Call, name: str, arguments: Sequence[Value]) -> Value:
        """Return the value of a call of a built-in function."""
        if not hasattr(builtins, name):
            known = [*self.context.source.functions, *self.context.source.imports, *CALLABLE]
            self.context.report(node.lineno, f"{name} is not defined; {suggestion(name, known)}")
            return UNKNOWN
        if self.context.is_compiled and name not in CALLABLE:
            hint = IN_PLACE_OF.get(name, f"hooks call {', '.join(CALLABLE[:-1])} and functions of the kernel")
            self.context.report(node.lineno, f"{name} does not compile: {hint}")
        if self.context.is_compiled and name == "print":
            self.context.report(node.lineno, NO_PRINT, runs_in_python=True)
        if name in ("abs", "min", "max") and arguments:
            return reduce(_either_number, arguments) if name != "abs" else _number(arguments[0])
        return RESULTS.get(name, UNKNOWN)


# ---------------------------------------------------------------- globals


def global_value(context: Context, name: str) -> Value | None:
    """Return a name of the module, or None if the module has none of that name."""
    source = context.source
    if name in source.functions:
        return Value(Kind.FUNCTION, Owner.MODULE, name, target=source.functions[name])
    if name in source.classes:
        return Value(Kind.CLASS, Owner.MODULE, name, shape=struct_shape(source, name))
    if name in source.constants:
        return ExpressionWalk(context, {}).value(_literal(source.constants[name])).named(name, Owner.MODULE)
    if name in source.imports:
        imported = source.imports[name]
        if imported.module == "math":
            return Value(Kind.FUNCTION, target=math.sqrt if imported.name == "sqrt" else None)
        return _object_value(resolve(imported)) if is_kernel(imported.module) else UNKNOWN
    return UNKNOWN if name in ("__name__", "__file__") else None


def _literal(node: ast.expr) -> ast.expr:
    """Return a global's expression if it consists of numbers, tuples and names, else one that says nothing."""
    plain = (ast.Constant, ast.Tuple, ast.Name, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context)
    is_plain = all(isinstance(child, plain) for child in ast.walk(node))
    return node if is_plain else ast.Constant(...)


def _object_value(found: Any) -> Value:
    """Return what is known of an object of the kernel."""
    if inspect.isfunction(found):
        return Value(Kind.FUNCTION, target=found)
    if inspect.ismodule(found):
        return Value(Kind.MODULE, target=found)
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return Value(Kind.CLASS, shape=shape_of(found))
    if isinstance(found, tuple):
        return Value(Kind.TUPLE, owner=Owner.MODULE, items=tuple(map(_object_value, found)))
    return TYPES.get(type(found), UNKNOWN)


# ---------------------------------------------------------------- arithmetic


def arithmetic(operator: ast.operator, left: Value, right: Value) -> Value:
    """Return the type of an operation on two numbers."""
    kinds = {left.kind, right.kind}
    if not kinds <= set(NUMERIC):
        is_float = isinstance(operator, ast.Div) or Kind.FLOAT in kinds
        return FLOAT if is_float and Kind.TEXT not in kinds else UNKNOWN
    if isinstance(operator, ast.Div) or Kind.FLOAT in kinds:
        return FLOAT
    return NUMBER if Kind.NUMBER in kinds else INT


def _number(operand: Value) -> Value:
    """Return the type of a sign or an absolute value."""
    return {Kind.INT: INT, Kind.BOOL: INT, Kind.FLOAT: FLOAT, Kind.NUMBER: NUMBER}.get(operand.kind, UNKNOWN)


def _either_number(one: Value, other: Value) -> Value:
    """Return the type of a minimum or maximum."""
    return joined(one._replace(path="", owner=Owner.LOCAL), other._replace(path="", owner=Owner.LOCAL))
