"""What the kernel hands to each hook of a strategy: the shapes of its view, parameters, answer and reading."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

import msgspec

import papertape.engine.kernel.state
import papertape.engine.kernel.view
from papertape.engine.contract.hooks import HOOKS, OBSERVING
from papertape.engine.contract.module_source import is_kernel, resolve
from papertape.engine.contract.struct_rules import struct_shape
from papertape.engine.contract.values import (
    FLOAT,
    INT,
    UNKNOWN,
    Owner,
    Shape,
    Value,
    ring_value,
    shape_of,
    struct_value,
)
from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.state import Bar, OpenInterest, Settlement
from papertape.engine.kernel.view import SERIES_FIELDS, View, ViewPart, field_of
from papertape.events.units import SERIES_MS

if TYPE_CHECKING:
    from papertape.engine.contract.module_source import ModuleSource

RINGS: Final = {"Bars": Bar, "Readings": OpenInterest, "Settlements": Settlement}
DECIDING_FIELDS: Final = ("position", "account", "symbol")
"""The fields of a view that only the deciding hooks have."""
SIGNAL: Final = Shape("Signal", {"value": FLOAT, "time_ms": INT})


def received(source: ModuleSource, hook: str) -> list[Value]:
    """Return the arguments of a hook, with their shapes and owners."""
    return [_argument(source, hook, name) for name in HOOKS[hook].parameters]


def _argument(source: ModuleSource, hook: str, name: str) -> Value:
    match name:
        case "view":
            return struct_value(_view_shape(source, hook)).named("view", Owner.VIEW)
        case "params":
            return struct_value(_own_shape(source, "Parameters")).named("params", Owner.VIEW)
        case "answer":
            return struct_value(_answer_shape(source)).named("answer", Owner.ANSWER)
        case "reading":
            owner = Owner.READING if hook == "read" else Owner.VIEW
            return struct_value(_own_shape(source, "Reading")).named("reading", owner)
        case _:
            return INT


def _own_shape(source: ModuleSource, name: str) -> Shape:
    """Return the shape of a class that the file defines or imports; one that is missing may have any fields."""
    if name in source.classes:
        return struct_shape(source, name)
    imported = source.imports.get(name)
    found = resolve(imported) if imported is not None and is_kernel(imported.module) else None
    return shape_of(found) if isinstance(found, type) and issubclass(found, msgspec.Struct) else Shape(name, {}, False)


def _answer_shape(source: ModuleSource) -> Shape:
    """Return the shape of an answer, whose reading is the strategy's own."""
    return Shape("Answer", {**shape_of(Answer).fields, "reading": struct_value(_own_shape(source, "Reading"))})


def _view_shape(source: ModuleSource, hook: str) -> Shape:
    """Return the fields of the view that a hook receives."""
    fields = dict(_hinted_shape(View).fields)
    fields["state"] = struct_value(_own_shape(source, "State"))._replace(owner=Owner.STATE)
    series = literal(source, "SERIES")
    if isinstance(series, tuple):
        for name in set(SERIES_MS) - set(series):
            fields.pop(field_of(name), None)
    if hook in OBSERVING:
        for name in DECIDING_FIELDS:
            fields.pop(name, None)
    fields.pop("signals", None)
    names = literal(source, "SIGNALS")
    if isinstance(names, tuple):
        fields["signals"] = struct_value(Shape("Signals", dict.fromkeys(names, struct_value(SIGNAL))))
    references = literal(source, "REFERENCES")
    if isinstance(references, dict):
        own_series = {name: value for name, value in fields.items() if name in SERIES_FIELDS}
        fields |= dict.fromkeys(references, struct_value(Shape("Reference", {"close_ms": INT, **own_series})))
    return Shape("View", fields)


def literal(source: ModuleSource, name: str) -> Any:
    """Return a constant of the file whose value its source shows, else None."""
    try:
        return ast.literal_eval(source.constants[name])
    except (KeyError, ValueError):
        return None


def _hinted_shape(kind: type[Any]) -> Shape:
    """Return the shape of a class of the view by its annotations."""
    return Shape(kind.__name__, {name: _hinted(hint) for name, hint in kind.__annotations__.items()})


def _hinted(hint: str) -> Value:
    """Return the value of an annotation, which is the name of a type of the kernel."""
    name = getattr(hint, "__forward_arg__", hint)
    if name in RINGS:
        return ring_value(shape_of(RINGS[name]))
    if name in ("int", "float"):
        return INT if name == "int" else FLOAT
    for module in (papertape.engine.kernel.view, papertape.engine.kernel.state):
        found = getattr(module, name, None)
        if isinstance(found, type):
            is_state = issubclass(found, msgspec.Struct) and not issubclass(found, ViewPart)
            return struct_value(shape_of(found) if is_state else _hinted_shape(found))
    return UNKNOWN
