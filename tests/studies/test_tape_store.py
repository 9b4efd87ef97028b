"""Tapes by digest: rebuilt to the bit, verified, and fetched again when damaged."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.feeds.files.columns import SeriesColumns
from papertape.engine.feeds.files.signals_csv import SignalSeries
from papertape.engine.research.tape import Tape
from papertape.events.errors import StudyMissing, TapeDamaged
from papertape.studies.tape_store import TapeStore
from tests.reducer.random_market import Recipe, market

if TYPE_CHECKING:
    from pathlib import Path


def rich_tape(seed: int = 1) -> Tape:
    """Three symbols with holes, funding, open interest and signals; one symbol has no funding."""
    made = market(Recipe(seed, symbols=3, candles=200, holes=3))
    times_ms = made.candles[1].open_time_ms[10:20]
    readings = SeriesColumns("fear.csv", times_ms, array("d", range(10)), times_ms)
    signals = [SignalSeries(made.contracts[1].symbol, "fear", "fear.csv", readings)]
    return Tape(made.contracts, made.candles, [None, *made.funding[1:]], made.open_interest, signals=signals)


def test_a_tape_is_rebuilt_with_every_fact(tmp_path: Path) -> None:
    tape, store = rich_tape(), TapeStore(tmp_path / "tapes")
    found = store.get(store.put(tape))
    assert found.contracts == tape.contracts
    assert found.columns() == tape.columns()
    assert found.signal_names == tape.signal_names
    assert [(one.symbol, one.source) for one in found.signals] == [(one.symbol, one.source) for one in tape.signals]
    for own, other in zip(found.arrays(), tape.arrays(), strict=True):
        assert own.dtype == other.dtype and (own == other).all()


def test_every_field_of_a_tape_is_stored() -> None:
    """The period that counts is not: a study has many over one tape."""
    assert Tape.__struct_fields__ == (
        *("contracts", "candles", "funding", "open_interest", "start_ms", "end_ms", "signals"),
    )


def test_the_digest_is_that_of_the_market_not_of_files_or_periods(tmp_path: Path) -> None:
    store, tape = TapeStore(tmp_path), rich_tape()
    renamed = [replace(one, source="elsewhere", line=array("q"), notes=["read"]) for one in tape.candles]
    assert store.put(replace(tape, candles=renamed, start_ms=5, end_ms=9)) == store.put(tape)
    assert store.put(rich_tape(2)) != store.put(tape)
    assert len([*tmp_path.iterdir()]) == 2


def test_a_damaged_or_cut_tape_is_refused_by_name_and_can_be_stored_again(tmp_path: Path) -> None:
    store, tape = TapeStore(tmp_path), rich_tape()
    digest = store.put(tape)
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-8], b"", content[:900] + bytes([content[900] ^ 1]) + content[901:]):
        path.write_bytes(damaged)
        with pytest.raises(TapeDamaged, match=f"{digest}.*expected is {digest}"):
            store.get(digest)
        assert store.put(tape) == digest
        assert store.content(digest) == content


def test_a_tape_damaged_in_transit_is_not_stored(tmp_path: Path) -> None:
    here, there = TapeStore(tmp_path / "here"), TapeStore(tmp_path / "there")
    digest = here.put(rich_tape())
    content = here.content(digest)
    with pytest.raises(TapeDamaged, match="the tape that arrived is damaged"):
        there.add(digest, content[:-1] + b"x")
    with pytest.raises(StudyMissing, match=digest):
        there.get(digest)
    there.add(digest, content)
    assert there.get(digest).columns() == rich_tape().columns()
