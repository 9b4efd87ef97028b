"""Events exported to one file and imported elsewhere give the same log, or a reason why not."""

from __future__ import annotations

import gzip
import json
import re
from contextlib import closing
from math import inf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from msgspec import structs

from papertape.events.codec import CODEC
from papertape.events.errors import PortableDamaged
from papertape.events.facts import Target
from papertape.events.log import Commit, Entry
from papertape.events.portable import REDACTED, decode_event, encode_rows, redact_event
from papertape.events.sqlite_log import SqliteLogReader
from tests.build import opened
from tests.cli.written_log import write_log
from tests.engine.logs import recorded
from tests.engine.processes import ok, papertape
from tests.events.random_facts import any_fact
from tests.support import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.facts import Event

pytestmark = pytest.mark.system

NAMES = ("all.jsonl", "all.jsonl.gz", "all.csv", "all.csv.gz", "all.parquet")


def hash_of(db: Path) -> str:
    with closing(SqliteLogReader(db)) as reader:
        return reader.head().hash.hex()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_log(tmp_path / "log.db")
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_what_was_exported_is_the_same_log_to_the_last_bit_when_imported(small: Path, name: str) -> None:
    ok(small, "export", "--db", "log.db", "--out", name)
    ok(small, "import", name, "--db", "again.db")
    assert recorded(small / "again.db") == recorded(small / "log.db")
    assert hash_of(small / "again.db") == hash_of(small / "log.db")


@given(any_fact())
@examples(300)
def test_every_fact_comes_back_from_its_row(event: Event) -> None:
    [entry] = CODEC.decode(1, CODEC.encode_commit([Entry(event)]))[0]
    rows = encode_rows([Commit(1, 7, [entry], [0])], CODEC, redact=False)
    if re.search(r"\b(inf|nan)\b", repr(structs.astuple(entry))):
        with pytest.raises(PortableDamaged, match="not finite"):
            list(rows)
    else:
        assert [decode_event(row) for row in rows] == [entry]


def test_an_infinite_number_inside_a_nested_part_of_an_event_is_refused() -> None:
    event = structs.replace(opened(), targets=(Target(price_usdt=1.0, fraction=0.0, part=inf),))
    with pytest.raises(PortableDamaged, match="not finite"):
        list(encode_rows([Commit(1, 7, [event], [0])], CODEC, redact=False))


def test_redacted_says_no_name_and_no_reason_and_replays_alike(small: Path) -> None:
    ok(small, "export", "--db", "log.db", "--out", "all.jsonl", "--redact")
    text = (small / "all.jsonl").read_text()
    assert "anna" not in text
    assert "holiday" not in text
    ok(small, "import", "all.jsonl", "--db", "again.db")
    replays = [ok(small, "replay", "--db", db, "--digest") for db in ("log.db", "again.db")]
    assert replays[0] == replays[1]


@given(any_fact())
@examples(300)
def test_redacting_twice_is_redacting_once_and_leaves_numbers_alone(event: Event) -> None:
    once = redact_event(event)
    assert redact_event(once) == once
    for name in event.__struct_fields__:
        before, after = getattr(event, name), getattr(once, name)
        assert after in (before, REDACTED)


def test_a_part_can_be_read_but_not_imported(small: Path) -> None:
    ok(small, "export", "--db", "log.db", "--out", "part.csv", "--from", "6", "--to", "9")
    assert len((small / "part.csv").read_text().splitlines()) == 5
    done = papertape(small, "import", "part.csv", "--db", "again.db")
    assert done.returncode == 1
    assert "only a whole log can be imported" in done.stderr
    assert not (small / "again.db").exists()


def _changed(line: str) -> str:
    return line.replace("105.5", "105.6")


DAMAGE: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a changed number": (lambda lines: [_changed(line) for line in lines], "differ from the exported ones"),
    "a missing line": (lambda lines: [*lines[:4], *lines[5:]], "seq 5 is missing"),
    "two lines in the wrong order": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "seq 4 is missing"),
    "a cut line": (lambda lines: [*lines[:-1], lines[-1][:40]], "line 15"),
    "an unknown event": (lambda lines: [line.replace("CandleClosed.1", "Eclipse.9") for line in lines], "Eclipse.9"),
    "a field too many": (lambda lines: [line.replace('\\"open\\":', '\\"opened\\":') for line in lines], "fields of"),
    "another commit": (lambda lines: [lines[0].replace('"commit":1', '"commit":3'), *lines[1:]], "cannot belong to"),
    "nothing": (lambda _: [], "no events in it"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_damaged_is_refused_by_name_and_leaves_nothing(small: Path, damage: str) -> None:
    ok(small, "export", "--db", "log.db", "--out", "all.jsonl")
    change, why = DAMAGE[damage]
    lines = change((small / "all.jsonl").read_text().splitlines())
    (small / "bad.jsonl").write_text("".join(f"{line}\n" for line in lines))
    done = papertape(small, "import", "bad.jsonl", "--db", "again.db")
    assert done.returncode in (1, 2)
    assert why in done.stderr
    assert list(small.glob("*again*")) == []


def test_a_torn_archive_is_refused(small: Path) -> None:
    ok(small, "export", "--db", "log.db", "--out", "all.jsonl.gz")
    whole = (small / "all.jsonl.gz").read_bytes()
    (small / "torn.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "torn" in papertape(small, "import", "torn.jsonl.gz", "--db", "again.db").stderr


def test_nothing_is_overwritten(small: Path) -> None:
    (small / "all.jsonl").write_text("mine")
    assert papertape(small, "export", "--db", "log.db", "--out", "all.jsonl").returncode == 2
    assert (small / "all.jsonl").read_text() == "mine"
    ok(small, "export", "--db", "log.db", "--out", "other.jsonl")
    assert papertape(small, "import", "other.jsonl", "--db", "log.db").returncode == 1


def test_a_row_is_plain_to_any_program(small: Path) -> None:
    ok(small, "export", "--db", "log.db", "--out", "all.jsonl.gz")
    with gzip.open(small / "all.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    assert [row["seq"] for row in rows] == list(range(1, 16))
    assert json.loads(rows[12]["event"])["why"] == "holiday"


def test_a_format_that_there_is_not_is_refused(small: Path) -> None:
    assert "choose from jsonl, csv, parquet" in papertape(small, "export", "--db", "log.db", "--out", "all.xls").stderr
