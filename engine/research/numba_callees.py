"""Register plain functions with numba as parts of one loop only.

numba compiles every function it calls as if it were called alone: optimised, turned into machine code, wrapped for
Python and C, and optimised again within each of its callers. The parts of a loop are never called alone, so they stop
at LLVM's intermediate code, and the loop is optimised once, as a whole.
"""

from __future__ import annotations

import gc
import sys
from collections import namedtuple
from functools import cache
from itertools import count
from os import urandom
from types import FunctionType
from typing import TYPE_CHECKING, Any

from numba import _dynfunc, config, njit, types
from numba.core import cgutils, untyped_passes
from numba.core.bytecode import FunctionIdentity
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, _LowerResult
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import DumpParforDiagnostics, InlineOverloads, NativeLowering, NopythonRewrites
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, overload, register_jitable, typeof_impl
from numba.np.numpy_support import from_dtype

from papertape.engine.kernel.answers import Plan
from papertape.engine.kernel.strategy import as_plan, clear_reading, copy_reading, copy_record
from papertape.engine.kernel.view import ViewPart, as_view
from papertape.engine.research.loop_cache import loop_cache
from papertape.engine.research.records import dtype_of

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDLESS = (
    untyped_passes.WithLifting,
    untyped_passes.InlineInlinables,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    NopythonRewrites,
    InlineOverloads,
    DumpParforDiagnostics,
)
"""What plain functions over scalars and records never need: closures, context managers, array expressions."""


class PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of a part, without the parts it calls: kept for linking, neither optimised nor made machine code."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # noqa: SLF001 - numba's own subclasses take it there

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def finalize(self) -> None:
        """End the library without the code of its own parts, which only the loop links, each part once."""
        self._raise_if_finalized()
        self._finalize_final_module()

    def with_parts(self) -> list[Any]:
        """Return the library and those of all parts that its code calls, each once."""
        return list(dict.fromkeys([self, *self._linking_libraries]))


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(NativeLowering):  # type: ignore[misc]
    """Lowering that ends with code to link; the callable that it must return is never called."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower one function and hand its code to its callers."""
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered, library = state["cr"], state.library
        library.finalize()
        fndesc = lowered.fndesc
        entry = _dynfunc.make_function(fndesc.lookup_module(), fndesc.qualname, "", 0, lowered.env, (library,))
        state.targetctx.insert_user_function(entry, fndesc, library.with_parts())
        state["cr"] = _LowerResult(fndesc, lowered.call_helper, cfunc=entry, env=lowered.env)
        return True


failed_functions: list[tuple[FunctionType, BaseException]] = []
"""The functions that could not be compiled, innermost first: numba's own error hides them in text."""


class LoopCompiler(Compiler):  # type: ignore[misc]
    """numba's own pipeline without the passes that the kernel does not need."""

    lowering: type[NativeLowering] = NativeLowering

    def compile_extra(self, func: FunctionType) -> Any:
        """Compile with the garbage collector at rest: it would traverse all of the compiler's objects repeatedly.

        The loop vectorizer rests too: with it, the machine code of a loop as large as that over sets of parameters
        calls an address that is 0 (AVX-512, numba 0.68.1). No loop of the kernel is slower without it.
        """
        collecting, vectorizing, succeeded = gc.isenabled(), config.LOOP_VECTORIZE, False
        gc.disable()
        config.LOOP_VECTORIZE = 0
        try:
            compiled = super().compile_extra(func)
            succeeded = True
            return compiled
        finally:
            config.LOOP_VECTORIZE = vectorizing
            if not succeeded:
                failed_functions.append((func, sys.exc_info()[1]))  # type: ignore[arg-type]
            if collecting:
                gc.enable()

    def define_pipelines(self) -> list[Any]:
        """Return the shortened pipelines."""
        pipelines: list[Any] = super().define_pipelines()
        for pipeline in pipelines:
            passes = [(kind, about) for kind, about in pipeline.passes if kind not in NEEDLESS]
            pipeline.passes = [(self.lowering if kind is NativeLowering else kind, about) for kind, about in passes]
            pipeline._finalized = False  # noqa: SLF001 - there is no other way to change a finished pipeline
            pipeline.finalize()
        return pipelines


class PartCompiler(LoopCompiler):
    """The pipeline for a part of a loop, which ends in `PartLowering`."""

    lowering = PartLowering


PART_OPTIONS = {"pipeline_class": PartCompiler, "no_cfunc_wrapper": True, "_nrt": False, "forceinline": True}


def _number_apart() -> None:
    """Give the functions of this process numbers that no other process gives.

    numba names machine code after a function, its number, and the numbers of its record types, all counted from 1 in
    each process. Code from the disk cache would then have the same names as other code that is compiled here, and one
    of the two would run in place of the other.
    """
    FunctionIdentity._unique_ids = count(int.from_bytes(urandom(6), "big"))  # noqa: SLF001 - there is no setting


def _describe_once() -> None:
    """Keep the text that describes a record type: numba makes it anew for every argument in every pass."""
    types.Record.__repr__ = cache(types.Record.__repr__)


_number_apart()
_describe_once()


def make_loop(
    function: Callable[..., Any], digest: str, compiler: type[LoopCompiler] = LoopCompiler
) -> Callable[..., Any]:
    """Compile a function at its first call, or load it from numba's disk cache.

    `digest` is that of all sources that may be part of it: numba's cache does not notice a change inside functions of
    other files.
    """
    loop = njit(_nrt=False, no_cfunc_wrapper=True, pipeline_class=compiler)(function)
    if (cache := loop_cache(function, digest)) is not None:
        loop._cache = cache  # noqa: SLF001 - `cache=True` sets it likewise
    return loop  # type: ignore[no-any-return]


CALLED = frozenset(
    {
        "_walk",
        "complete_candle",
        "_fill_entry",
        "open_position",
        "increase_position",
        "reduce_position",
        "close_position",
        "cancel_order",
        "place_adds",
        "place_reduce",
        "cancel_entries",
        "liquidation_price",
        "available_margin",
    }
)


def make_part(function: FunctionType) -> FunctionType:
    """Register a plain function with numba; CPython still calls it as it is.

    The kernel allocates nothing, so reference counts, which cost more than a candle, are left out. Small parts are
    inlined; indicators, and what runs seldom, are called, which halves the time that the optimiser takes for a loop.
    """
    called = function.__name__ in CALLED or ".indicators." in function.__module__
    options = {**PART_OPTIONS, "forceinline": False} if called else PART_OPTIONS
    return register_jitable(**options)(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def _zero_record(_: Any, record: Any) -> Any:
    """Set every byte of a record to 0."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        cgutils.memset(builder, arguments[0], context.get_constant(types.intp, signature.args[0].size), 0)
        return context.get_dummy_value()

    return types.none(record), lower


@intrinsic  # type: ignore[untyped-decorator]
def _copy_record(_: Any, source: Any, target: Any) -> Any:
    """Copy every byte of a record to another of its type."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = context.get_constant(types.intp, signature.args[0].size)
        cgutils.raw_memcpy(builder, arguments[1], arguments[0], size, 1)
        return context.get_dummy_value()

    return types.none(source, target), lower


@cache
def tuple_type(view: type[ViewPart]) -> type[Any]:
    """Return the tuple type that a view is for numba."""
    made = namedtuple(view.__name__, view.__struct_fields__)  # type: ignore[misc]  # noqa: PYI024 - known at run time
    made.__module__ = __name__
    return made


def __getattr__(name: str) -> Any:
    """Return the tuple type of a view by its name, by which numba's disk cache finds it."""
    for view in ViewPart.__subclasses__():
        if view.__name__ == name:
            return tuple_type(view)
    raise AttributeError(name)


@typeof_impl.register(type(ViewPart))  # type: ignore[untyped-decorator]
def _typeof_view(view: type[Any], _: Any) -> Any:
    """Return numba's type of a type of view, none of any other Struct."""
    return types.NamedTupleClass(tuple_type(view)) if issubclass(view, ViewPart) else None


def make_overloads_known() -> None:
    """Register with numba what CPython and compiled code do in ways of their own.

    Compiled code clears or copies a whole reading, CPython field by field. A view is a tuple with named fields:
    compiled code only gives the tuple another type, and likewise the plan that an answer begins with.
    """

    @overload(clear_reading, jit_options=PART_OPTIONS, strict=False)  # type: ignore[untyped-decorator]
    def _clear(reading: Any) -> Any:  # noqa: ARG001 - numba goes by the name
        return lambda reading: _zero_record(reading)  # noqa: PLW0108 - numba wants a plain function

    @overload(copy_reading, jit_options=PART_OPTIONS, strict=False)  # type: ignore[untyped-decorator]
    def _copy(source: Any, target: Any) -> Any:  # noqa: ARG001 - numba goes by the names
        return lambda source, target: _copy_record(source, target)  # noqa: PLW0108 - numba wants a plain function

    @overload(copy_record, jit_options=PART_OPTIONS, strict=False)  # type: ignore[untyped-decorator]
    def _copy_tree(source: Any, target: Any) -> Any:  # noqa: ARG001 - likewise
        return lambda source, target: _copy_record(source, target)  # noqa: PLW0108 - likewise

    @infer_global(as_view)
    class AsView(AbstractTemplate):  # type: ignore[misc]
        """The type of a view: the fields of a tuple under the names of the view type."""

        def generic(self, args: Any, _: Any) -> Any:
            """Return the signature."""
            view_type, fields = args
            if isinstance(fields, types.UniTuple):  # Values of one type, such as signals, are an array.
                return types.NamedUniTuple(fields.dtype, fields.count, view_type.instance_class)(*args)
            return types.NamedTuple(fields.types, view_type.instance_class)(*args)

    @infer_global(as_plan)
    class AsPlan(AbstractTemplate):  # type: ignore[misc]
        """The type of the plan in an answer, which begins with it."""

        def generic(self, args: Any, _: Any) -> Any:
            """Return the signature."""
            return signature(from_dtype(dtype_of(Plan)), *args)

    @lower_builtin(as_plan, types.Record)  # type: ignore[untyped-decorator]
    def _lower_plan(context: Any, builder: Any, call: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(call.return_type))

    @lower_builtin(as_view, types.Any, types.Any)  # type: ignore[untyped-decorator]
    def _lower(_: Any, __: Any, ___: Any, arguments: Any) -> Any:
        return arguments[1]  # Both are the same struct of fields.
