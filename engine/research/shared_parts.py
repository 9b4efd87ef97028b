"""Kernel functions that are compiled once for all strategies, and called by the loop of each.

A loop is compiled for one strategy, but most of the kernel is the same in all of them: the paper exchange, the ladder
checks, the regime. Such a function becomes machine code of its own, kept in the disk cache under a digest of the
kernel. A loop knows only its name; the process gives that name an address before it loads or compiles a loop.

This keeps the compilation of an own strategy short, which happens after every edit. The loop of a built-in one is
compiled once per version, so it may take longer: all that runs on most candles is inlined, which saves a fifth of the
time per candle.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import llvmlite.binding as llvm
from numba import types
from numba.core import cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import lower_builtin
from numba.core.typed_passes import NativeLowering
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.np.numpy_support import from_dtype

from papertape.engine.kernel import state
from papertape.engine.kernel.answers import Plan
from papertape.engine.kernel.changes import change_orders
from papertape.engine.kernel.decide import mark_account, trade_candle
from papertape.engine.kernel.decision import Decision
from papertape.engine.kernel.evolve import evolve
from papertape.engine.kernel.fills import book_funding
from papertape.engine.kernel.kill_switch import roll_day, trip_account
from papertape.engine.kernel.matching import match_candle
from papertape.engine.kernel.observe import observe_market
from papertape.engine.kernel.orders import cancel_orders, expires_by, place_exit
from papertape.engine.kernel.series import complete_candle, observe_series
from papertape.engine.kernel.sizing import place_entry
from papertape.engine.kernel.trailing import follow_position, tighten_stop, value_position
from papertape.engine.research.loop_cache import is_compiled_for
from papertape.engine.research.numba_callees import LoopCompiler, make_loop
from papertape.engine.research.records import dtype_of
from papertape.engine.strategy_registry import kernel_digest

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED: Final[tuple[Callable[..., Any], ...]] = (
    evolve,
    cancel_orders,
    observe_market,
    complete_candle,
    observe_series,
    book_funding,
    match_candle,
    value_position,
    tighten_stop,
    follow_position,
    trip_account,
    roll_day,
    expires_by,
    place_exit,
    place_entry,
    change_orders,
    trade_candle,
    mark_account,
)
"""The shared functions; each may call those before it."""
SCALARS: Final = {"bool": types.boolean, "int": types.int64, "float": types.float64, "None": types.none}
RECORDS: Final = {"Decision": Decision, "Plan": Plan, **vars(state)}
ARRAYS: Final = {
    "Bars": (state.Bar, 1),
    "Contracts": (state.Contract, 1),
    "Decisions": (Decision, 1),
    "Desks": (state.SymbolState, 1),
    "Readings": (state.OpenInterest, 1),
    "Settlements": (state.Settlement, 1),
    "TierTables": (state.Tier, 2),
}


@cache
def compiled_type(annotation: str) -> Any:
    """Return numba's type of what a kernel function declares: a number, a record, or an array of records."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if annotation in ARRAYS:
        struct, dimensions = ARRAYS[annotation]
        return types.Array(compiled_type(struct.__name__), dimensions, "C")
    return from_dtype(dtype_of(RECORDS[annotation]))


def signature_of(function: Callable[..., Any]) -> Any:
    """Return the signature that a kernel function has in compiled code, as its annotations say."""
    *arguments, result = map(compiled_type, function.__annotations__.values())
    return signature(result, *arguments)


@cache
def compiler_digest() -> str:
    """Return a digest of the sources around the kernel, which decide what of it a loop is made of, and how."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def compiled_digest() -> str:
    """Return a digest of everything that may change the machine code of the kernel's own functions."""
    return kernel_digest() + compiler_digest()


def symbol_of(function: Callable[..., Any]) -> str:
    """Return the name of a shared function's machine code."""
    return f"papertape.{function.__name__}.{compiled_digest()}"


def make_shared_known() -> None:
    """Register the shared functions with numba: a call of one becomes a call of its symbol."""
    for function in SHARED:
        _make_known(function, symbol_of(function))


def _make_known(function: Callable[..., Any], symbol: str) -> None:
    own = signature_of(function)

    @infer_global(function)
    class Shared(ConcreteTemplate):  # type: ignore[misc]
        """The type of a shared function: the one signature that it is compiled for."""

        cases = [own]  # noqa: RUF012 - numba's way

    @lower_builtin(function, *own.args)  # type: ignore[untyped-decorator]
    def _lower(context: Any, builder: Any, call: Any, arguments: Any) -> Any:
        convention = context.call_conv
        type_ = convention.get_function_type(call.return_type, call.args)
        callee = cgutils.get_or_insert_function(builder.module, type_, symbol)
        status, result = convention.call_function(builder, callee, call.return_type, call.args, arguments)
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result


@cache
def _loop_of(function: Callable[..., Any]) -> Any:
    """Return a shared function as one that numba compiles, or finds in its cache."""
    return make_loop(function, compiled_digest())


def is_shared_stored() -> bool:
    """Return whether the shared functions are compiled, in memory or on disk."""
    return all(is_compiled_for(_loop_of(function), signature_of(function).args) for function in SHARED)


def linkable(function: Callable[..., Any]) -> Any:
    """Return the code of a shared function under its name, to be linked into a loop rather than called by it."""
    [compiled] = _loop_of(function).overloads.values()
    module = compiled.library._get_module_for_linking().clone()  # noqa: SLF001 - numba links its own calls so
    own = module.get_function(compiled.fndesc.llvm_func_name)
    own.name = symbol_of(function)
    return module


@cache
def load_shared() -> None:
    """Compile the shared functions, or load them from the disk cache, and give their names addresses."""
    for function in SHARED:
        loop = _loop_of(function)
        loop.compile(signature_of(function).args)
        [compiled] = loop.overloads.values()
        address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        llvm.add_symbol(symbol_of(function), address)


# ---------------------------------------------------------------- loops with shared functions in them


HOT = (observe_market, complete_candle, observe_series, trade_candle)
"""The shared functions that run on every candle, or on every one of a series."""


class LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """The code of a loop with the shared functions in it whose calls would cost as much as what they do."""

    linked: tuple[Callable[..., Any], ...] = (trade_candle, mark_account)
    inlined: tuple[str, ...] = ()
    """Parts of the mangled names of functions that are inlined too."""

    def _optimize_final_module(self) -> None:
        module = self._final_module
        for function in self.linked:
            module.link_in(linkable(function), preserve=True)
        symbols = {symbol_of(function) for function in self.linked}
        for function in module.functions:
            named = function.name in symbols or any(part in function.name for part in self.inlined)
            if named and not function.is_declaration:
                function.add_function_attribute("alwaysinline")
        self._optimize()

    def _optimize(self) -> None:
        """Optimise once: a loop without reference counts has none to remove between two passes."""
        manager, builder = self._codegen._module_pass_manager()  # noqa: SLF001 - numba's subclasses take it there
        manager.run(self._final_module, builder)


class WholeLibrary(LinkedLibrary):
    """The code of a loop with the hot functions and the indicators in it."""

    linked = HOT
    inlined = ("10indicators",)  # A mangled name holds each part of the module's path after its length.

    def _optimize(self) -> None:
        """Optimise twice, as numba does: the second pass makes a loop into which much was inlined faster."""
        JITCodeLibrary._optimize_final_module(self)  # noqa: SLF001 - the step of numba that this class skips


@register_pass(mutates_CFG=True, analysis_only=False)
class LinkedLowering(NativeLowering):  # type: ignore[misc]
    """Lowering into a `LinkedLibrary`."""

    _name = "linked_lowering"
    library: type[LinkedLibrary] = LinkedLibrary

    def run_pass(self, state: Any) -> bool:
        """Lower the loop."""
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class WholeLowering(LinkedLowering):
    """Lowering into a `WholeLibrary`."""

    _name = "whole_lowering"
    library = WholeLibrary


class OwnCompiler(LoopCompiler):
    """The pipeline for the loop of one's own strategy."""

    lowering = LinkedLowering


class WholeCompiler(LoopCompiler):
    """The pipeline for a loop that is compiled as a whole."""

    lowering = WholeLowering
