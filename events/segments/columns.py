"""Exact columns: equal fields of many events side by side, in a form that compresses well and comes back bit for bit.

Integers are stored as differences where that is narrower, in the narrowest width that fits all of them, one byte plane
after the other. Floats are stored as integers over a power of ten; a float that has no such form is kept as it is.
Everything else is a list of distinct values and, for each place, which of them stands there.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise, repeat
from math import copysign
from operator import truediv
from typing import Any, Final

import msgspec
from msgspec import Struct

TYPECODES: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
EXPONENT_MAX: Final = 14
_SCALES: Final = [float(10**exponent) for exponent in range(EXPONENT_MAX + 1)]
_EXACT_MAX: Final = float(2**53)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class Integers(Struct, frozen=True, array_like=True, tag=1):
    """Signed integers of `width` bytes; if `is_steps`, each is the difference from the one before it.

    They come in records of `stride`: the planes of the first of each record stand first, then those of the second.
    """

    width: int
    stride: int
    is_steps: bool
    planes: bytes


class Decimals(Struct, frozen=True, array_like=True, tag=2):
    """Floats in runs: an integer over ten to the power of its run's exponent; those at `odd_places` are kept as bits."""

    integers: Integers
    exponents: bytes
    odd_places: Integers
    odd: bytes


class Choices(Struct, frozen=True, array_like=True, tag=3):
    """The distinct values, as a list in msgpack, and the places of each value in it; no places if there is one value."""

    distinct: bytes
    places: Integers | None


Column = Integers | Decimals | Choices


def pack_integers(values: Sequence[int], stride: int = 1, *, allow_steps: bool = True) -> Integers:
    """Pack integers. Raise OverflowError if one does not fit 64 bits."""
    steps = [after - before for before, after in pairwise(chain((0,), values))] if allow_steps else []
    is_steps = bool(steps) and _cost(steps) < _cost(values)
    chosen = steps if is_steps else values
    width = next((size for size, code in TYPECODES.items() if _fits(chosen, code)), 0)
    if not width:
        raise OverflowError("an integer needs more than 64 bits")
    content = array(TYPECODES[width], chosen)
    if sys.byteorder == "big":
        content.byteswap()
    raw, record = content.tobytes(), width * stride
    return Integers(width, stride, is_steps, b"".join(raw[place::record] for place in range(record)))


def _cost(values: Sequence[int]) -> float:
    """Return the bits that the values need, infinitely many if one does not fit 64 bits."""
    if values and not (_INT64_MIN <= min(values) and max(values) <= _INT64_MAX):
        return float("inf")
    return sum(map(int.bit_length, values))


def _fits(values: Sequence[int], code: str) -> bool:
    half = 1 << (8 * array(code).itemsize - 1)
    return not values or (-half <= min(values) and max(values) < half)


def stored_integers(packed: Integers) -> array[int]:
    """Return the integers as they are stored, differences included. Raise ValueError if the bytes make no sense."""
    code, record = TYPECODES.get(packed.width), packed.width * packed.stride
    if code is None or not 1 <= packed.stride <= len(TYPECODES) or len(packed.planes) % record:
        raise ValueError(f"a column of width {packed.width} and stride {packed.stride} has {len(packed.planes)} bytes")
    planes, raw = packed.planes, bytearray(len(packed.planes))
    size = len(planes) // record
    for place in range(record):
        raw[place::record] = planes[place * size : (place + 1) * size]
    content: array[int] = array(code)
    content.frombytes(raw)
    if sys.byteorder == "big":
        content.byteswap()
    return content


def unpack_integers(packed: Integers) -> Sequence[int]:
    """Return the integers. Raise ValueError if the bytes make no sense."""
    content = stored_integers(packed)
    return list(accumulate(content)) if packed.is_steps else content


def pack_decimals(values: Sequence[float], lengths: Sequence[int], stride: int = 1) -> Decimals:
    """Pack floats that come in runs of the given lengths, each with an exponent of its own, such as those of a symbol."""
    integers: list[int] = []
    exponents = bytearray()
    odd: list[int] = []
    rest = iter(values)
    for length in lengths:
        run = list(islice(rest, length))
        exponent, numerators = _as_decimals(run)
        exponents.append(exponent)
        before = next((one for one in numerators if one is not None), 0)
        for place, numerator in enumerate(numerators, start=len(integers)):
            if numerator is None:
                odd.append(place)
            else:
                before = numerator
            integers.append(before)
    bits = array("d", [values[place] for place in odd])
    if sys.byteorder == "big":
        bits.byteswap()
    return Decimals(pack_integers(integers, stride), bytes(exponents), pack_integers(odd), bits.tobytes())


def _as_decimals(run: Sequence[float]) -> tuple[int, list[int | None]]:
    """Return the smallest exponent with which most floats are exact, and their numerators; None for a float without."""
    best, fewest = (0, [None] * len(run)), len(run) + 1
    for exponent, scale in enumerate(_SCALES):
        numerators, inexact = [], 0
        for value in run:
            numerator = _numerator(value, scale)
            numerators.append(numerator)
            inexact += numerator is None
            if inexact >= fewest:
                break
        else:
            best, fewest = (exponent, numerators), inexact
        if fewest == 0:
            break
    return best


def _numerator(value: float, scale: float) -> int | None:
    """Return the integer that gives exactly this float when divided by the scale; None if there is none."""
    scaled = value * scale
    if not -_EXACT_MAX < scaled < _EXACT_MAX:  # Also for NaN.
        return None
    numerator = round(scaled)
    if numerator / scale != value or (numerator == 0 and copysign(1.0, value) < 0.0):
        return None
    return numerator


def unpack_decimals(packed: Decimals, lengths: Sequence[int]) -> list[float]:
    """Return the floats of runs of the given lengths. Raise ValueError if the bytes make no sense."""
    steps = stored_integers(packed.integers)
    _check_runs(packed, lengths, len(steps))
    numpy: Any = sys.modules.get("numpy")  # Loading it costs more than a short read gains.
    divide = _divide_in_python if numpy is None else _divide_in_numpy
    values = divide(steps, packed, lengths)
    for place, value in odd_values(packed):
        values[place] = value
    return values


def _check_runs(packed: Decimals, lengths: Sequence[int], count: int) -> None:
    is_scaled = len(packed.exponents) == len(lengths) and max(packed.exponents, default=0) <= EXPONENT_MAX
    if not is_scaled or sum(lengths) != count or min(lengths, default=0) < 0:
        raise ValueError("the runs of a column do not fit its values")


def odd_values(packed: Decimals) -> Iterator[tuple[int, float]]:
    """Yield the floats without a decimal form, each with its place. Raise ValueError if the bytes make no sense."""
    bits = array("d")
    bits.frombytes(packed.odd)
    if sys.byteorder == "big":
        bits.byteswap()
    return zip(unpack_integers(packed.odd_places), bits, strict=True)


def _divide_in_python(steps: array[int], packed: Decimals, lengths: Sequence[int]) -> list[float]:
    numerators: Iterable[float] = steps
    if packed.integers.is_steps:
        numerators = islice(accumulate(steps, initial=0.0), 1, None)  # Exact below 2**53, and quicker than integers.
    scales = chain.from_iterable(map(repeat, map(_SCALES.__getitem__, packed.exponents), lengths))
    return list(map(truediv, numerators, scales))


def _divide_in_numpy(steps: array[int], packed: Decimals, lengths: Sequence[int]) -> list[float]:
    values: list[float] = decimals_in_numpy(steps, packed, lengths).tolist()
    return values


def decimals_in_numpy(steps: array[int], packed: Decimals, lengths: Sequence[int]) -> Any:
    """Return the floats as a numpy array, without the odd ones: the same bits, several times as fast."""
    numpy: Any = sys.modules["numpy"]
    stored = numpy.frombuffer(steps, dtype=f"i{steps.itemsize}")
    numerators = numpy.cumsum(stored, dtype=numpy.int64) if packed.integers.is_steps else stored
    scales = numpy.array([_SCALES[exponent] for exponent in packed.exponents])
    return numerators / numpy.repeat(scales, lengths)


def pack_choices(values: Sequence[object]) -> Choices:
    """Pack values of any type that msgpack knows."""
    encode = msgspec.msgpack.Encoder().encode
    places: dict[bytes, int] = {}
    chosen = [places.setdefault(encode(value), len(places)) for value in values]
    distinct = msgspec.msgpack.encode([msgspec.Raw(value) for value in places])
    return Choices(distinct, pack_integers(chosen, allow_steps=False) if len(places) > 1 else None)


def unpack_choices(packed: Choices, decoder: msgspec.msgpack.Decoder[list[Any]], count: int) -> Iterable[Any]:
    """Return `count` values. Raise ValueError or MsgspecError if the bytes make no sense."""
    distinct = decoder.decode(packed.distinct)
    if packed.places is None:
        (value,) = distinct
        return repeat(value, count)
    places = stored_integers(packed.places)
    if len(places) != count or min(places) < 0:
        raise ValueError("the places of a column do not fit its values")
    return map(distinct.__getitem__, places)
