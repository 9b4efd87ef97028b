"""Events survive encoding and decoding; what cannot be read is refused by name."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.events.codec import CODEC, Codec
from papertape.events.errors import LogDamaged, LogFromNewerVersion, UsageError
from papertape.events.facts import EVENT_TYPES, ContractListed, Event, FundingRateSettled
from papertape.events.log import Entry
from papertape.events.upcast import ContractListed1
from tests.build import candles, ordered, settled
from tests.events.random_facts import any_fact, facts_of


class Reading(Event, frozen=True, tag="Reading.3"):
    """The newest shape: a value with its unit."""

    value_c: float
    sensor: str


class Reading2(Event, frozen=True, tag="Reading.2"):
    """The shape before: no sensor."""

    value_c: float


class Reading1(Event, frozen=True, tag="Reading.1"):
    """The first shape: Fahrenheit."""

    value_f: float


UPCASTERS = {
    Reading2: lambda old: Reading(old.at_ms, old.value_c, "unknown"),
    Reading1: lambda old: Reading2(old.at_ms, (old.value_f - 32) * 5 / 9),
}
READINGS = Codec([Reading], UPCASTERS)


def blob_of(*events: Event) -> bytes:
    return msgspec.msgpack.encode((events, [0] * len(events)))


@settings(max_examples=60, deadline=None)
@given(st.lists(any_fact(), min_size=1, max_size=8))
def test_every_fact_comes_back_as_it_was(events: list[Event]) -> None:
    blob = CODEC.encode_commit([Entry(event) for event in events])
    assert CODEC.decode(1, blob) == (events, [0] * len(events))


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_a_decoded_row_encodes_to_the_same_bytes(kind: type[Event]) -> None:
    @settings(max_examples=10, deadline=None)
    @given(facts_of(kind))
    def holds(event: Event) -> None:
        blob = CODEC.encode_commit([Entry(event, 0)])
        (again,), _ = CODEC.decode(1, blob)
        assert CODEC.encode_commit([Entry(again, 0)]) == blob

    holds()


def test_an_integer_in_a_float_field_is_written_as_a_float() -> None:
    assert CODEC.encode_commit([Entry(settled(0, 0))]) == CODEC.encode_commit([Entry(settled(0, 0.0))])


def test_an_event_that_could_not_be_read_again_is_not_written() -> None:
    wrong = FundingRateSettled(1, "BTCUSDT", "0.01")  # type: ignore[arg-type]
    for event in (wrong, Reading(1, 20.0, "roof"), FundingRateSettled(2**70, "BTCUSDT", 0.0), funding_of("\ud800")):
        with pytest.raises(UsageError, match=type(event).__name__):
            CODEC.encode_commit([Entry(event)])


def funding_of(symbol: str) -> FundingRateSettled:
    return FundingRateSettled(1, symbol, 0.0)


def test_old_shapes_are_upcast_along_the_chain_and_mixed_with_new_ones() -> None:
    events, _ = READINGS.decode(1, blob_of(Reading1(5, 212.0), Reading(6, 20.0, "roof"), Reading2(7, 21.0)))
    assert events == [Reading(5, 100.0, "unknown"), Reading(6, 20.0, "roof"), Reading(7, 21.0, "unknown")]


def test_an_old_shape_is_written_as_the_newest() -> None:
    assert READINGS.encode_commit([Entry(Reading2(7, 21.0))]) == blob_of(Reading(7, 21.0, "unknown"))


def test_upcasters_that_lead_in_a_circle_are_a_bug() -> None:
    circle = Codec([Reading], {Reading1: lambda old: old})
    with pytest.raises(AssertionError, match="circle"):
        circle.decode(1, blob_of(Reading1(5, 212.0)))


@pytest.mark.parametrize("tag", ["CandleClosed.2", "MoonRose.1"])
def test_an_unknown_tag_is_named_with_its_seq(tag: str) -> None:
    known = msgspec.msgpack.decode(msgspec.msgpack.encode(candles(1)[0].event))
    blob = msgspec.msgpack.encode(([known, [tag, 1, 2]], [0, 0]))
    with pytest.raises(LogFromNewerVersion, match=tag) as refused:
        CODEC.decode(41, blob)
    assert refused.value.seq == 42


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\xc1",
        blob_of(candles(1)[0].event)[:-3],
        msgspec.msgpack.encode([[["CandleClosed.1", 1]], [0]]),
        msgspec.msgpack.encode([[["CandleClosed.1", "noon"]], [0]]),
        msgspec.msgpack.encode([[[]], [0]]),
        msgspec.msgpack.encode({"events": []}),
        b"\x92\x91\x93\xafEngineStopped.1\x01\xa1\xff\x91\x00",
    ],
)
def test_bytes_without_form_are_damage(blob: bytes) -> None:
    with pytest.raises(LogDamaged) as refused:
        CODEC.decode(7, blob)
    assert type(refused.value) is LogDamaged
    assert refused.value.seq == 7


def test_causes_are_kept_beside_the_events() -> None:
    entries = [*candles(1), Entry(ordered(), 1), Entry(settled(0, 0.0001), 2)]
    assert CODEC.decode(1, CODEC.encode_commit(entries))[1] == [0, 1, 2]


def test_a_contract_listed_before_fees_were_recorded_is_read_as_one_of_unknown_fees() -> None:
    old = ContractListed1(1, "X", 60_000, 1, 10, 1, 1_000, 5.0, ((0.0, 0.01),), "crypto", "file")
    (read,), _ = CODEC.decode(1, blob_of(old))
    assert read == ContractListed(1, "X", 60_000, 1, 10, 1, 1_000, 5.0, ((0.0, 0.01),), "crypto", "file", None, None)
