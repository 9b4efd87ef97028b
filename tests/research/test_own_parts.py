"""Compiled functions of an owner's file refuse what CPython refuses: no segfault, no silent conversion."""

from __future__ import annotations

from typing import Any

import pytest

numba = pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")

import numpy as np  # noqa: E402 - after the skip
from numba.core.caching import NullCache  # noqa: E402
from numba.core.errors import TypingError  # noqa: E402

from papertape.engine.research.compiled_kernel import compile_loop, own_digest  # noqa: E402
from papertape.engine.research.numba_callees import make_loop  # noqa: E402
from papertape.engine.research.own_parts import make_own_part  # noqa: E402
from papertape.engine.research.shared_parts import OwnCompiler, WholeCompiler  # noqa: E402
from papertape.engine.strategy_registry import load_strategies  # noqa: E402
from tests.support import REPOSITORY, STRATEGIES  # noqa: E402

INNER = np.dtype([("value", "f8")], align=True)
ROW = np.dtype([("count", "i8"), ("mean", "f8"), ("inner", INNER)], align=True)


def compiled(part: Any) -> Any:
    """A loop of one turn over a part of an owner's file."""
    known = make_own_part(part)

    def loop(rows: Any, index: int, number: float) -> int:
        known(rows, index, number)
        return 0

    made: Any = make_loop(loop, "")
    made._cache = NullCache()  # Machine code of an earlier run would say nothing about this one.
    return made


def call(part: Any, index: int = 0, number: float = 1.0) -> Any:
    """The rows after one call of a part that is compiled for them."""
    rows = np.zeros(3, dtype=ROW)
    compiled(part)(rows, index, number)
    return rows


def read_row(rows: Any, index: int, number: float) -> None:
    rows[0].mean = rows[index].mean + number


def test_a_row_within_a_ring_is_read() -> None:
    assert call(read_row, 2, 3.0)["mean"][0] == 3.0
    assert call(read_row, -1, 3.0)["mean"][0] == 3.0, "counted from the end, as in CPython"


@pytest.mark.parametrize("index", [3, 5_000_000, -4])
def test_a_row_beyond_the_end_of_a_ring_raises_as_in_cpython(index: int) -> None:
    with pytest.raises(IndexError):
        read_row(np.zeros(3, dtype=ROW).view(np.recarray), index, 1.0)
    with pytest.raises(IndexError):
        call(read_row, index)


def to_int(rows: Any, index: int, number: float) -> None:
    rows[index].count = int(number)


def test_int_of_a_number_that_no_int_holds_raises_as_in_cpython() -> None:
    assert call(to_int, 0, -2.9)["count"][0] == -2
    for number in (float("inf"), float("-inf"), float("nan"), 1e30):
        with pytest.raises((OverflowError, ValueError)):
            call(to_int, 0, number)


def float_in_int(rows: Any, index: int, number: float) -> None:
    rows[index].count = number


def truth_in_int(rows: Any, index: int, number: float) -> None:
    rows[index].count = number > 0.0


def int_in_float(rows: Any, index: int, number: float) -> None:  # noqa: ARG001 - the shape of a part
    rows[index].mean = index


def struct_in_struct(rows: Any, index: int, number: float) -> None:  # noqa: ARG001 - the shape of a part
    rows[index].inner = rows[0].inner


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (float_in_int, "count is an int but is given a float"),
        (truth_in_int, "count is a number but is given a truth value"),
        (int_in_float, "mean is a float but is given an int"),
        (struct_in_struct, "inner is a Struct"),
    ],
)
def test_a_field_that_is_given_another_type_is_refused(part: Any, says: str) -> None:
    with pytest.raises(TypingError, match=says):
        call(part)


def test_a_division_by_zero_raises_as_in_cpython() -> None:
    def divide(rows: Any, index: int, number: float) -> None:
        rows[index].mean = 1.0 / number

    with pytest.raises(ZeroDivisionError):
        call(divide, 0, 0.0)


@pytest.mark.parametrize("name", ["momentum", "vwap_rsi", "funding", "liquidation", "dip_buyer"])
def test_loops_of_built_in_strategies_are_compiled_whole_and_others_linked(name: str) -> None:
    """A whole loop is faster and takes longer to compile, which an author who edits a file would wait for."""
    strategy = load_strategies([REPOSITORY / "examples" / "strategies"])[name]
    loop: Any = compile_loop(strategy, own_digest(strategy))
    assert loop._compiler.pipeline_class is (WholeCompiler if name in STRATEGIES else OwnCompiler)
