"""Arguments of calls inside a strategy's file, bound to parameters as Python binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.contract.values import UNKNOWN, Kind, Owner, Value

if TYPE_CHECKING:
    import ast
    from collections.abc import Sequence


def bind(function: ast.FunctionDef, given: Sequence[Value], named: dict[str, Value]) -> list[Value] | str:
    """Return a value for each parameter, or a text that says why the call does not fit."""
    spec = function.args
    positional = [argument.arg for argument in (*spec.posonlyargs, *spec.args)]
    keyword = [argument.arg for argument in spec.kwonlyargs]
    if spec.vararg or spec.kwarg or "" in named:
        return [UNKNOWN] * (len(positional) + len(keyword))
    if len(given) > len(positional):
        return f"takes {len(positional)} arguments, not {len(given)}"
    for name in named:
        if name not in (*positional, *keyword):
            return f"has no parameter {name}; it has {', '.join((*positional, *keyword))}"
    values = {**dict(zip(positional, given, strict=False)), **named}
    required = positional[: len(positional) - len(spec.defaults)]
    required += [name for name, default in zip(keyword, spec.kw_defaults, strict=True) if default is None]
    if missing := [name for name in required if name not in values]:
        return f"lacks the argument {missing[0]}"
    return [values.get(name, UNKNOWN) for name in (*positional, *keyword)]


def constructed(kind: Value) -> Value:
    """Return a new Struct of a class."""
    return Value(Kind.STRUCT, Owner.LOCAL, shape=kind.shape) if kind.shape is not None else UNKNOWN
