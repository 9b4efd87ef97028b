"""Compile the functions of an owner's file so that they refuse what CPython refuses, instead of running on.

numba by itself reads beyond the end of a ring, truncates a float that is given to an int field, and makes an arbitrary
number of an infinite one. The kernel's own functions and the built-in strategies are tested, so they do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import types
from numba.core import ir
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.errors import TypingError
from numba.core.typed_passes import NopythonTypeInference
from numba.extending import overload, register_jitable

from papertape.engine.research.numba_callees import PART_OPTIONS, PartCompiler

if TYPE_CHECKING:
    from types import FunctionType

INT_LIMIT = float(1 << 63)


def whole_number(value: float) -> int:
    """Return a number without its fraction. Raise OverflowError for one that no int field can hold."""
    return int(value)


@overload(whole_number, jit_options=PART_OPTIONS, strict=False)  # type: ignore[untyped-decorator]
def _whole_number(value: Any) -> Any:
    """Return the compiled version: ints stay, floats are checked."""
    if not isinstance(value, types.Float):
        return lambda value: int(value)  # noqa: PLW0108 - numba wants a plain function

    def checked(value: float) -> int:
        if not -INT_LIMIT < value < INT_LIMIT:
            raise OverflowError("int(...) of a number that is not finite or too large")
        return int(value)

    return checked


@register_pass(mutates_CFG=False, analysis_only=False)
class CheckedInt(FunctionPass):  # type: ignore[misc]
    """Call `whole_number` wherever a function calls `int`."""

    _name = "checked_int"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Replace the global in the function's statements."""
        for block in state.func_ir.blocks.values():
            for statement in block.find_insts(ir.Assign):
                if isinstance(statement.value, ir.Global) and statement.value.value is int:
                    statement.value = ir.Global("whole_number", whole_number, statement.value.loc)
        return True


@register_pass(mutates_CFG=False, analysis_only=True)
class StrictFields(FunctionPass):  # type: ignore[misc]
    """Refuse to give a field a value of another type, which numba would convert silently."""

    _name = "strict_fields"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Compare the types of each assignment to a field. Raise TypingError with the line of a mismatch."""
        for block in state.func_ir.blocks.values():
            for statement in block.find_insts(ir.SetAttr):
                record = state.typemap[statement.target.name]
                value = types.unliteral(state.typemap[statement.value.name])
                if isinstance(record, types.Record) and (wrong := _mismatch(record.typeof(statement.attr), value)):
                    raise TypingError(f"{statement.attr} {wrong}", loc=statement.loc)
        return False


def _mismatch(field: Any, value: Any) -> str:
    """Return why a field must not be given a value of this type, or an empty text."""
    if isinstance(field, types.Record):
        return "is a Struct: set its fields one by one"
    if isinstance(value, types.Boolean):
        return "is a number but is given a truth value: write 1 if ... else 0"
    if isinstance(field, types.Integer) and isinstance(value, types.Float):
        return "is an int but is given a float: write int(...), or declare it as a float"
    if isinstance(field, types.Float) and isinstance(value, types.Integer):
        return "is a float but is given an int: write float(...)"
    return ""


class OwnPartCompiler(PartCompiler):
    """The pipeline for a function of an owner's file."""

    def define_pipelines(self) -> list[Any]:
        """Return the pipelines with the checks around type inference."""
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline._finalized = False  # noqa: SLF001 - there is no other way to change a finished pipeline
            names = [kind for kind, _ in pipeline.passes]
            if NopythonTypeInference in names:
                at = names.index(NopythonTypeInference)
                pipeline.passes.insert(at + 1, (StrictFields, "refuse silent conversions"))
                pipeline.passes.insert(at, (CheckedInt, "check the range of int(...)"))
            pipeline.finalize()
        return pipelines


OWN_OPTIONS = {**PART_OPTIONS, "pipeline_class": OwnPartCompiler, "boundscheck": True}


def make_own_part(function: FunctionType) -> FunctionType:
    """Register a function of an owner's file with numba; CPython still calls it as it is."""
    return register_jitable(**OWN_OPTIONS)(function)  # type: ignore[no-any-return]
