"""Columns come back bit for bit, whatever stands in them, in CPython and with numpy."""

from __future__ import annotations

import math
import struct
import sys
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papertape.events.segments.columns import (
    STRIDE_MAX,
    Decimals,
    Integers,
    iterate_decimals,
    pack_choices,
    pack_decimals,
    pack_integers,
    unpack_choices,
    unpack_decimals,
    unpack_integers,
)
from papertape.events.segments.order import (
    NUMPY_VALUES_MIN,
    load_numpy,
    log_order,
    numpy_for,
    places_in_log_order,
)
from tests.events.segment_rows import always_numpy, without_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LEAST, MOST = -(2**63), 2**63 - 1
EDGES = [edge + by for power in (7, 15, 31, 53, 63) for edge in (2**power, -(2**power)) for by in (-1, 0, 1)]
INT64 = st.integers(LEAST, MOST) | st.sampled_from([edge for edge in EDGES if LEAST <= edge <= MOST])
ODD_FLOATS = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]
ODD_FLOATS += [
    0.1 + 0.2,
    2.0**53,
    2.0**53 + 2.0,
    -(2.0**53),
    9_007_199_254_740_991.0,
    123_456.789_012_345_67,
    1e-15,
    1e22,
]
FLOATS = st.floats() | st.sampled_from(ODD_FLOATS) | st.decimals(-(10**6), 10**6, places=4).map(float)


def bits(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


@settings(deadline=None)
@given(st.lists(INT64, max_size=40), st.integers(1, 4))
@example([LEAST, MOST, LEAST, 0], 1)
@example([MOST, MOST, MOST, MOST], 4)
def test_integers_come_back(values: list[int], stride: int) -> None:
    values *= stride
    assert list(unpack_integers(pack_integers(values, stride))) == values
    assert list(unpack_integers(pack_integers(values, stride, allow_steps=False))) == values


@pytest.mark.parametrize("edge", EDGES)
def test_the_width_is_the_narrowest(edge: int) -> None:
    if not LEAST <= edge <= MOST:
        with pytest.raises(OverflowError):
            pack_integers([edge, 0])
        return
    packed = pack_integers([edge, edge], allow_steps=False)
    fitting = [width for width in (1, 2, 4, 8) if -(2 ** (8 * width - 1)) <= edge < 2 ** (8 * width - 1)]
    assert (packed.width, list(unpack_integers(packed))) == (fitting[0], [edge, edge])


def test_steps_that_are_wider_than_the_integers_are_not_taken() -> None:
    assert not pack_integers([LEAST, MOST, LEAST]).is_steps
    assert pack_integers([2**40, 2**40 + 1, 2**40 + 3, 2**40 + 4, 2**40 + 4]).is_steps


@settings(max_examples=200, deadline=None)
@given(st.integers(1, STRIDE_MAX), st.lists(st.lists(FLOATS, max_size=12), min_size=1, max_size=5))
@example(1, [ODD_FLOATS])
@example(4, [ODD_FLOATS])
@example(1, [[0.1, 0.2, 0.3], [-0.0], [], [1e15, 0.5]])
@example(2, [[0.25, 0.5], [1.125], [], [2.0**51, -(2.0**51)], [0.3, 2.0**51]])
def test_floats_come_back_bit_for_bit_in_every_way(stride: int, runs: list[list[float]]) -> None:
    values, lengths = [value for run in runs for value in run * stride], list(map(len, runs))
    packed = pack_decimals(values, [length * stride for length in lengths], stride)
    fields = [bits(values[place::stride]) for place in range(stride)]
    for way in (always_numpy, without_numpy):
        with way():
            assert list(map(bits, unpack_decimals(packed, lengths))) == fields
            assert bits(in_turn(iterate_decimals(packed, lengths))) == bits(values)


NUMPY_IN_PARTS = """
import threading
asked = threading.Event()
asked.wait()
threading.Event().wait(0.2)
whole = True
"""


def test_numpy_is_not_used_before_another_thread_has_loaded_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text(NUMPY_IN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "numpy", None)  # Remembers the one that is there now.
    del sys.modules["numpy"]
    assert numpy_for(NUMPY_VALUES_MIN) is None
    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load_numpy)
        while (loaded := sys.modules.get("numpy")) is None or not hasattr(loaded, "asked"):
            time.sleep(0.001)
        used = threads.submit(numpy_for, NUMPY_VALUES_MIN)
        loaded.asked.set()
        assert used.result().whole
        loading.result()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 2))
def test_records_in_the_order_of_the_log_are_the_lanes_merged(lanes: list[int], stride: int) -> None:
    lengths = [lanes.count(lane) for lane in range(4)]
    by_lane = [[float(number)] * (stride - 1) + [number / 8] for _, number in sorted(zip(lanes, count(), strict=False))]
    packed = pack_decimals([value for one in by_lane for value in one], [size * stride for size in lengths], stride)
    for stored in (bytes(lanes), array("h", lanes)):
        with without_numpy():
            plain = places_in_log_order(stored, 0, lengths)
        with always_numpy():
            assert places_in_log_order(stored, 0, lengths) == plain
            ordered = in_turn(iterate_decimals(packed, lengths, log_order(stored, 0, lengths)))
        assert ordered == [
            value for number in range(len(lanes)) for value in [float(number)] * (stride - 1) + [number / 8]
        ]


def in_turn(fields: list[Iterator[float]]) -> list[float]:
    return list(chain.from_iterable(zip(*fields, strict=True)))


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30), st.integers(0, 8))
def test_decimals_are_integers_of_the_smallest_exponent(numerators: list[int], exponent: int) -> None:
    numerators = [10 * one + 1 for one in numerators]
    packed = pack_decimals([one / 10**exponent for one in numerators], [len(numerators)])
    assert (packed.exponents, packed.odd) == (bytes([exponent]), b"")
    assert list(unpack_integers(packed.integers)) == numerators


def test_each_run_has_an_exponent_of_its_own() -> None:
    packed = pack_decimals([84_018.7, 84_018.8, 0.00384, 0.00385, 7.0], [2, 2, 1])
    assert packed.exponents == bytes([1, 5, 0])
    assert list(unpack_integers(packed.integers)) == [840_187, 840_188, 384, 385, 7]


def test_one_odd_float_does_not_widen_the_others() -> None:
    packed = pack_decimals([1.5, 1.25, 0.1 + 0.2, 1.5, math.nan], [5])
    assert (packed.exponents, packed.integers.width) == (bytes([2]), 2)
    assert len(packed.odd) == 2 * 8


@given(
    st.lists(
        st.none() | st.booleans() | st.text(max_size=3) | FLOATS | st.integers(0, 2**64 - 1), min_size=1, max_size=300
    )
)
def test_choices_come_back(values: list[object]) -> None:
    packed = pack_choices(values)
    decoder = msgspec.msgpack.Decoder(list[object])
    read = list(unpack_choices(packed, decoder, len(values)))
    assert msgspec.msgpack.encode(read) == msgspec.msgpack.encode(values)


@pytest.mark.parametrize(
    "packed",
    [
        Integers(3, 1, False, bytes(3)),
        Integers(0, 1, False, b""),
        Integers(2, 1, False, bytes(3)),
        Integers(1, 0, False, b""),
        Integers(1, 3, False, bytes(4)),
        Integers(1, 1 << 40, False, b""),
    ],
)
def test_a_column_without_sense_is_refused(packed: Integers) -> None:
    with pytest.raises(ValueError, match="column"):
        unpack_integers(packed)


@pytest.mark.parametrize("lengths", [[1], [3], [2, 1], [4, -2], []])
def test_runs_that_do_not_fit_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="runs"):
        unpack_decimals(pack_decimals([1.5, 2.5], [2]), lengths)


def test_an_exponent_beyond_the_largest_is_refused() -> None:
    packed = pack_decimals([1.5, 2.5], [2])
    wrong = Decimals(packed.integers, b"\xff", packed.odd_places, packed.odd)
    with pytest.raises(ValueError, match="runs"):
        unpack_decimals(wrong, [2])
