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

from papertape.events.segments.order import in_order, numpy_for, pick

TYPECODES: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
STRIDE_MAX: Final = 4
EXPONENT_MAX: Final = 14
_SCALES: Final = [float(10**exponent) for exponent in range(EXPONENT_MAX + 1)]
_EXACT_MAX: Final = float(2**52)
"""Floats hold integers up to twice this, and so the differences of two below it, exactly."""
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
    """Floats in runs: integers over ten to the power of the run's exponent; those at `odd_places` are kept as bits."""

    integers: Integers
    exponents: bytes
    odd_places: Integers
    odd: bytes


class Choices(Struct, frozen=True, array_like=True, tag=3):
    """The distinct values, as a list in msgpack, and which of them stands at each place; no places for a single one."""

    distinct: bytes
    places: Integers | None


Column = Integers | Decimals | Choices


def pack_integers(values: Sequence[int], stride: int = 1, *, allow_steps: bool = True) -> Integers:
    """Pack integers. Raise OverflowError if one does not fit 64 bits."""
    steps = _steps(values) if allow_steps else []
    is_steps = allow_steps and _cost(steps) < _cost(values)
    chosen = steps if is_steps else values
    width = next((size for size, code in TYPECODES.items() if _fits(chosen, code)), 0)
    if not width:
        raise OverflowError("an integer needs more than 64 bits")
    raw, record = _little_endian(array(TYPECODES[width], chosen)).tobytes(), width * stride
    return Integers(width, stride, is_steps, b"".join(raw[place::record] for place in range(record)))


def _steps(values: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(chain((0,), values))]


def _little_endian(content: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        content.byteswap()
    return content


def _cost(values: Sequence[int]) -> float:
    """Return the bits that the values need, infinitely many if one does not fit 64 bits."""
    if values and (min(values) < _INT64_MIN or max(values) > _INT64_MAX):
        return float("inf")
    return sum(map(int.bit_length, values))


def _fits(values: Sequence[int], code: str) -> bool:
    half = 1 << (8 * array(code).itemsize - 1)
    return not values or (-half <= min(values) and max(values) < half)


def stored_integers(packed: Integers) -> array[int]:
    """Return the integers as they are stored, differences included. Raise ValueError if the bytes make no sense."""
    planes, size = packed.planes, _size(packed)
    code, record = TYPECODES[packed.width], packed.width * packed.stride
    if size == 1 or record == 1:  # Most columns of a type of which a block has few events.
        return _little_endian(array(code, planes))
    raw = bytearray(len(planes))
    for place in range(record):
        raw[place::record] = planes[place * size : (place + 1) * size]
    return _little_endian(array(code, raw))


def _size(packed: Integers) -> int:
    """Return the number of records. Raise ValueError if the bytes are not whole records."""
    record = packed.width * packed.stride
    if packed.width not in TYPECODES or not 1 <= packed.stride <= STRIDE_MAX or len(packed.planes) % record:
        raise ValueError(f"a column of width {packed.width} and stride {packed.stride} has {len(packed.planes)} bytes")
    return len(packed.planes) // record


def unpack_integers(packed: Integers) -> Sequence[int]:
    """Return the integers. Raise ValueError if the bytes make no sense."""
    content = stored_integers(packed)
    return list(accumulate(content)) if packed.is_steps else content


def unpack_places(packed: Integers) -> Sequence[int]:
    """Return integers of at least 0 that are not stored as differences.

    Raise ValueError if the bytes make no sense.
    """
    if packed.width == packed.stride == 1 and packed.planes.isascii():
        return packed.planes  # Bytes are these integers, and the quickest to iterate.
    places = stored_integers(packed)
    if min(places, default=0) < 0:
        raise ValueError("a place is negative")
    return places


def pack_decimals(values: Sequence[float], lengths: Sequence[int], stride: int = 1) -> Decimals:
    """Pack floats that come in runs of the given lengths, each with its own exponent, such as those of a symbol."""
    integers: list[int] = []
    exponents = bytearray()
    odd: list[int] = []
    for run in split(values, lengths):
        exponent, numerators = _as_decimals(run)
        exponents.append(exponent)
        odd += [place for place, numerator in enumerate(numerators, start=len(integers)) if numerator is None]
        first = next((one for one in numerators if one is not None), 0)
        integers += islice(accumulate(numerators, _numerator_or_last, initial=first), 1, None)
    bits = _little_endian(array("d", [values[place] for place in odd])).tobytes()
    return Decimals(pack_integers(integers, stride), bytes(exponents), pack_integers(odd), bits)


def _numerator_or_last(last: int, numerator: int | None) -> int:
    return last if numerator is None else numerator


def split(values: Sequence[Any], lengths: Iterable[int]) -> Iterator[Any]:
    """Yield the parts of a sequence that have the given lengths, as sequences of its type."""
    return (values[start:end] for start, end in pairwise(accumulate(lengths, initial=0)))


def _as_decimals(run: Sequence[float]) -> tuple[int, list[int | None]]:
    """Return the smallest exponent with which most floats are exact, and their numerators; None for a float without."""
    best: tuple[int, list[int | None]] = 0, []
    fewest = len(run) + 1
    for exponent, scale in enumerate(_SCALES):
        numerators: list[int | None] = []
        inexact = 0
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


def unpack_decimals(packed: Decimals, lengths: Sequence[int]) -> list[array[float]]:
    """Return the floats of runs of the given lengths in records: for each field an array, which numpy reads in place.

    Raise ValueError if the bytes make no sense.
    """
    size, stride = _checked_size(packed, lengths), packed.integers.stride
    numpy = numpy_for(size)
    if numpy is not None:
        return [array("d", own.tobytes()) for own in _divided_in_numpy(numpy, packed, lengths)]
    values = array("d", _divided_in_python(packed, lengths))
    for place, value in _odd(packed):
        values[place] = value
    return [values[place::stride] for place in range(stride)]


def iterate_decimals(packed: Decimals, lengths: Sequence[int], order: Any = None) -> list[Iterator[float]]:
    """Return the same floats as iterators, perhaps the same one for each field of the records, to be read in turn.

    The records are in the order that `log_order` gave.
    """
    size, stride = _checked_size(packed, lengths), packed.integers.stride
    numpy = numpy_for(size)
    if numpy is not None:
        fields = _divided_in_numpy(numpy, packed, lengths)
        ordered = fields if order is None else fields.take(order, axis=1)
        return [iter(array("d", own.tobytes())) for own in ordered]
    if packed.odd:
        return list(map(iter, unpack_decimals(packed, lengths)))
    return [_divided_in_python(packed, lengths)] * stride


def _checked_size(packed: Decimals, lengths: Sequence[int]) -> int:
    """Return the number of records in runs of the given lengths."""
    size = _size(packed.integers)
    is_scaled = len(packed.exponents) == len(lengths) and max(packed.exponents, default=0) <= EXPONENT_MAX
    if not is_scaled or sum(lengths) != size or min(lengths, default=0) < 0:
        raise ValueError("the runs of a column do not fit its values")
    return size


def _odd(packed: Decimals) -> Iterator[tuple[int, float]]:
    """Return the floats that are kept as bits, each with its place."""
    places = unpack_integers(packed.odd_places) if packed.odd else ()
    return zip(places, _little_endian(array("d", packed.odd)), strict=True)


def _divided_in_python(packed: Decimals, lengths: Sequence[int]) -> Iterator[float]:
    """Return the floats of all records in turn."""
    stored = stored_integers(packed.integers)
    if len(lengths) == 1:
        totals = accumulate(stored) if packed.integers.is_steps else stored
        return map(truediv, totals, repeat(_SCALES[packed.exponents[0]]))
    numerators: Iterable[float] = stored
    if packed.integers.is_steps:
        numerators = islice(accumulate(stored, initial=0.0), 1, None)  # As exact as integers, and quicker.
    scales = map(_SCALES.__getitem__, packed.exponents)
    runs = [length * packed.integers.stride for length in lengths]
    return map(truediv, numerators, chain.from_iterable(map(repeat, scales, runs)))


def _divided_in_numpy(numpy: Any, packed: Decimals, lengths: Sequence[int]) -> Any:
    """Return the same floats as an array with a line for each field of the records, several times as fast."""
    width, stride, size = packed.integers.width, packed.integers.stride, sum(lengths)
    stored = numpy.empty((stride, size), f"<i{width}")
    planes = numpy.frombuffer(packed.integers.planes, numpy.uint8).reshape(stride, width, size)
    for place in range(width):
        stored.view(numpy.uint8).reshape(stride, size, width)[:, :, place] = planes[:, place]
    fields = stored.astype(numpy.float64)  # As exact as integers.
    if packed.integers.is_steps:
        fields[-1] = numpy.cumsum(fields.sum(axis=0))
        for place in range(stride - 1, 0, -1):
            fields[place - 1] = fields[place] - stored[place]
    fields /= numpy.repeat(numpy.array([_SCALES[exponent] for exponent in packed.exponents]), lengths)
    for at, value in _odd(packed):
        fields[at % stride, at // stride] = value
    return fields


def pack_choices(values: Sequence[object]) -> Choices:
    """Pack values of any type that msgpack knows."""
    encode = msgspec.msgpack.Encoder().encode
    places: dict[bytes, int] = {}
    chosen = [places.setdefault(encode(value), len(places)) for value in values]
    distinct = msgspec.msgpack.encode([msgspec.Raw(value) for value in places])
    return Choices(distinct, pack_integers(chosen, allow_steps=False) if len(places) > 1 else None)


def unpack_choices(
    packed: Choices, decoder: msgspec.msgpack.Decoder[list[Any]], count: int, order: Any = None
) -> Iterable[Any]:
    """Return `count` values. Raise ValueError, LookupError or MsgspecError if the bytes make no sense."""
    distinct = decoder.decode(packed.distinct)
    if packed.places is None:
        (value,) = distinct
        return repeat(value, count)
    places = unpack_places(packed.places)
    if len(places) != count:
        raise ValueError("the places of a column do not fit its values")
    return pick(distinct, in_order(places, order))
