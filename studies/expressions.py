"""Expressions over parameters, as `--link` and `--where` take them: `+ - * /`, comparisons, `and or not`, names.

They are parsed, never executed as Python, and computed exactly over the decimal values: 3 * 0.1 is 0.3.
"""

from __future__ import annotations

import ast
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from typing import TYPE_CHECKING, NamedTuple

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Values = Mapping[str, int | float]
    Evaluator = Callable[[Values], Fraction]

CHARS_MAX = 500
ARITHMETIC: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Fraction, Fraction], bool]] = {
    ast.Lt: lt,
    ast.LtE: le,
    ast.Gt: gt,
    ast.GtE: ge,
    ast.Eq: eq,
    ast.NotEq: ne,
}
GRAMMAR = "only + - * /, comparisons, `and or not`, numbers and the names of parameters are allowed"


class Formula(NamedTuple):
    """A parsed expression: the names that it reads, whether it is a condition, and its value for a set of values."""

    text: str
    names: tuple[str, ...]
    is_condition: bool
    exact: Evaluator

    def number(self, values: Values) -> Fraction:
        """Return the exact value. Raise UsageError if it divides by 0."""
        try:
            return self.exact(values)
        except ZeroDivisionError:
            read = ", ".join(f"{name} = {values[name]:g}" for name in self.names)
            raise UsageError(f"{self.text!r} divides by 0 at {read}") from None

    def holds(self, values: Values) -> bool:
        """Return whether the condition is met. Raise UsageError if it divides by 0."""
        return self.number(values) != 0


class Link(NamedTuple):
    """A parameter that follows others: `tp_percent = 2 * sl_percent`."""

    text: str
    name: str
    formula: Formula


@lru_cache(maxsize=1_024)
def parse_formula(text: str) -> Formula:
    """Return the expression in a text. Raise UsageError, naming the place, for anything but the grammar."""
    if len(text) > CHARS_MAX:
        raise UsageError(f"the expression has {len(text)} characters, at most {CHARS_MAX} are allowed")
    try:
        body = ast.parse(text.strip(), mode="eval").body
        names: dict[str, None] = {}
        exact = _evaluator(body, names)
    except SyntaxError as error:
        raise UsageError(f"{text!r} is no expression: {error.msg}; {GRAMMAR}") from None
    except RecursionError:
        raise UsageError(f"{text!r} is nested too deeply") from None
    return Formula(text.strip(), tuple(names), _is_condition(body), exact)


@lru_cache(maxsize=1_024)
def parse_condition(text: str) -> Formula:
    """Return the condition in a text, `a > b`. Raise UsageError for an expression that is no comparison."""
    formula = parse_formula(text)
    if not formula.is_condition:
        raise UsageError(f"{text!r} is no condition; write a comparison, such as 'atr_multiplier_tp > 2'")
    return formula


@lru_cache(maxsize=1_024)
def parse_link(text: str) -> Link:
    """Return the link in a text, `name = expression`. Raise UsageError for anything else."""
    name, equals, right = text.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier() or right.startswith("="):
        raise UsageError(f"{text!r} is no link; write NAME = EXPRESSION, such as 'tp_percent = 2 * sl_percent'")
    formula = parse_formula(right)
    if formula.is_condition:
        raise UsageError(f"{text!r}: the right side is a condition; a link needs a number")
    if name in formula.names:
        raise UsageError(f"{text!r}: {name} cannot follow itself")
    return Link(text.strip(), name, formula)


def _is_condition(node: ast.expr) -> bool:
    return isinstance(node, ast.Compare | ast.BoolOp) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )


def _evaluator(node: ast.expr, names: dict[str, None]) -> Evaluator:
    """Return a function that computes a node; add the names that it reads to `names`."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and isfinite(number):
            constant = _fraction(number)
            return lambda _: constant
        case ast.Name(id=name):
            names[name] = None
            return lambda values: _fraction(values[name])
        case ast.BinOp(left, op, right) if type(op) in ARITHMETIC:
            return _binary(ARITHMETIC[type(op)], _arithmetic(left, names), _arithmetic(right, names))
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, operand):
            inner, factor = _arithmetic(operand, names), -1 if isinstance(sign, ast.USub) else 1
            return lambda values: factor * inner(values)
        case ast.UnaryOp(ast.Not(), operand):
            inner = _logical(operand, names)
            return lambda values: Fraction(not inner(values))
        case ast.BoolOp(op, operands):
            parts = [_logical(operand, names) for operand in operands]
            quantifier = all if isinstance(op, ast.And) else any
            return lambda values: Fraction(quantifier(part(values) != 0 for part in parts))
        case ast.Compare(left, ops, rights) if all(type(op) in COMPARISONS for op in ops):
            return _comparison(
                [COMPARISONS[type(op)] for op in ops], [_arithmetic(one, names) for one in (left, *rights)]
            )
        case _:
            raise UsageError(f"{ast.unparse(node)!r} is not allowed; {GRAMMAR}")


def _arithmetic(node: ast.expr, names: dict[str, None]) -> Evaluator:
    """Return the evaluator of a number. Raise UsageError for a condition in its place."""
    if _is_condition(node):
        raise UsageError(f"{ast.unparse(node)!r} is a condition where a number is needed")
    return _evaluator(node, names)


def _logical(node: ast.expr, names: dict[str, None]) -> Evaluator:
    """Return the evaluator of a condition. Raise UsageError for a number in its place."""
    if not _is_condition(node):
        raise UsageError(f"{ast.unparse(node)!r} is a number where a condition is needed")
    return _evaluator(node, names)


def _binary(
    operator: Callable[[Fraction, Fraction], Fraction],
    left: Evaluator,
    right: Evaluator,
) -> Evaluator:
    return lambda values: operator(left(values), right(values))


def _comparison(
    operators: list[Callable[[Fraction, Fraction], bool]],
    operands: list[Evaluator],
) -> Evaluator:
    """Return the evaluator of a chain such as `a < b <= c`."""

    def compare(values: Values) -> Fraction:
        numbers = [operand(values) for operand in operands]
        pairs = zip(operators, numbers, numbers[1:], strict=False)
        return Fraction(all(operator(left, right) for operator, left, right in pairs))

    return compare


@lru_cache(maxsize=65_536)
def _fraction(number: float) -> Fraction:
    """Return the decimal that a number is written as: 0.1 is exactly 1/10."""
    return Fraction(repr(number))
