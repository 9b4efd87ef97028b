"""Rules for what a strategy's file must define, and for its Structs: numbers, each with a default of its type."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.engine.contract.breach import Breach
from papertape.engine.contract.module_source import is_kernel, resolve
from papertape.engine.contract.values import FLOAT, INT, TEXT, UNKNOWN, Kind, Shape, Value, shape_of, struct_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.contract.module_source import ModuleSource

REQUIRED: Final = {
    "NAME": "name the strategy",
    "SERIES": 'name its timeframes, as in SERIES = ("5m",)',
    "Parameters": "define it as a Struct, even without fields",
    "Reading": "define it as a Struct, even without fields",
    "enter": "define enter(view, params, answer)",
}
LEAVES: Final = {"int": INT, "float": FLOAT}
OTHER_TYPES: Final = {
    "bool": "write int, 0 or 1: a flag is a number",
    "str": "write int: texts do not fit into the compiled state",
    "list": "write one field per number: lists do not fit into the compiled state",
    "dict": "write one field per number: dicts do not fit into the compiled state",
}


def struct_shape(source: ModuleSource, name: str) -> Shape:
    """Return the shape of a Struct that the file defines."""
    fields: dict[str, Value] = {}
    for base in source.classes[name].bases:
        if isinstance(base, ast.Name) and base.id in source.classes and base.id != name:
            fields.update(struct_shape(source, base.id).fields)
    for field in _fields(source.classes[name]):
        fields[_name(field)] = annotated_value(source, field.annotation)
    return Shape(name, fields)


def annotated_value(source: ModuleSource, annotation: ast.expr) -> Value:
    """Return what the annotation of a field says of its value."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return UNKNOWN
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).endswith("Annotated"):
        inner = annotation.slice
        return annotated_value(source, inner.elts[0] if isinstance(inner, ast.Tuple) else inner)
    if isinstance(annotation, ast.Name):
        return _named(source, annotation.id)
    if isinstance(annotation, ast.Attribute) and isinstance(annotation.value, ast.Name):
        imported = source.imports.get(annotation.value.id)
        if imported is not None and is_kernel(imported.module):
            return _kernel_struct(getattr(resolve(imported), annotation.attr, None))
    return UNKNOWN


def _named(source: ModuleSource, name: str) -> Value:
    """Return the value of a type given by a plain name."""
    if name in source.classes:
        return struct_value(struct_shape(source, name))
    imported = source.imports.get(name)
    if imported is not None and is_kernel(imported.module):
        return _kernel_struct(resolve(imported))
    return LEAVES.get(name) or (TEXT if name == "str" else UNKNOWN)


def _kernel_struct(kind: object) -> Value:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return struct_value(shape_of(kind))
    return UNKNOWN


def _fields(node: ast.ClassDef) -> Iterator[ast.AnnAssign]:
    return (item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name))


def _name(field: ast.AnnAssign) -> str:
    return field.target.id if isinstance(field.target, ast.Name) else ""


# ---------------------------------------------------------------- rules


def struct_breaches(source: ModuleSource) -> Iterator[Breach]:
    """Yield what the file lacks, and what is wrong with its classes."""
    defined = source.classes | source.imports | source.constants | source.functions
    for name, what in REQUIRED.items():
        if name not in defined:
            yield Breach(1, name, f"`{name}` is missing: {what}")
    for node in source.classes.values():
        yield from _class_breaches(source, node)


def _class_breaches(source: ModuleSource, node: ast.ClassDef) -> Iterator[Breach]:
    """Yield what is wrong with one class."""
    bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    if not any(base == "Struct" or base in source.classes for base in bases):
        yield Breach(node.lineno, node.name, "is not a Struct: write class NAME(Struct)")
        return
    for item in node.body:
        place = f"{node.name}.{_name(item)}" if isinstance(item, ast.AnnAssign) else node.name
        if isinstance(item, ast.AnnAssign):
            yield from _field_breaches(source, item, place)
        elif isinstance(item, ast.FunctionDef):
            text = f"{item.name} is a method: compiled Structs have none; write a function of the file"
            yield Breach(item.lineno, place, text)
        elif isinstance(item, ast.Assign):
            yield Breach(item.lineno, place, f"{ast.unparse(item.targets[0])} has no type: write NAME: float = 0.0")


def _field_breaches(source: ModuleSource, item: ast.AnnAssign, place: str) -> Iterator[Breach]:
    """Yield what is wrong with one field: its type, then its default."""
    value = annotated_value(source, item.annotation)
    if value.kind not in (Kind.INT, Kind.FLOAT, Kind.STRUCT):
        written = ast.unparse(item.annotation)
        why = OTHER_TYPES.get(written.split("[")[0], "write int, float or a Struct of these")
        yield Breach(item.lineno, place, f"its type is {written}; {why}")
    elif item.value is None:
        yield Breach(item.lineno, place, "has no default: write one")
    elif value.kind is not Kind.STRUCT:
        yield from _default_breaches(item.lineno, place, value, item.value)
    elif isinstance(item.value, ast.Constant | ast.List | ast.Dict):
        yield Breach(item.lineno, place, "its default is not a Struct: write field(default_factory=TYPE)")


def _default_breaches(line: int, place: str, value: Value, default: ast.expr) -> Iterator[Breach]:
    """Yield a breach if a number's default has another type than its field."""
    try:
        number = ast.literal_eval(default)
    except ValueError:
        return  # A named constant or a field(...), whose type only the loaded class shows.
    if isinstance(number, bool) or not isinstance(number, int | float):
        yield Breach(line, place, f"its default {ast.unparse(default)} is not a number")
    elif value.kind is Kind.INT and isinstance(number, float):
        yield Breach(line, place, f"an int with the default {number}: write {int(number)}, or declare a float")
    elif value.kind is Kind.FLOAT and isinstance(number, int):
        yield Breach(line, place, f"a float with the default {number}: write {number}.0")
