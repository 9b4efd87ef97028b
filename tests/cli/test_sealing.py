"""`papertape seal`, `unseal` and `archive`: what they do, say, and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from papertape.events.head_file import LogLock
from papertape.events.segments.folder import sealed_folder
from tests.engine.processes import ok, papertape
from tests.events.segments.logs import all_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

ONE = ("--set", "feed.sim.symbols=BTCUSDT", "--set", "feed.sim.warm_up_days=0", "--set", "feed.sim.days=1")
SIM = ("run", "--feed", "sim", *ONE, "--speed", "max", "--until-end", "--db", "log.db", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ok(tmp_path, *SIM)
    return tmp_path


def report(folder: Path, *arguments: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(ok(folder, *arguments, "--db", "log.db", "--json"))
    return answer


def test_a_log_goes_there_and_back_and_proves_the_same(folder: Path) -> None:
    db = folder / "log.db"
    rows, digest = all_rows(db), ok(folder, "replay", "--db", "log.db", "--digest")
    sealed = report(folder, "seal", "--older-than", "0d")
    assert (sealed["segments"], sealed["events"]) == (1, rows[-1][0] - 1)
    assert (sealed["segment_bytes"] + sealed["log_bytes"]) < db.with_name("log.db.head").stat().st_size + 10**7
    assert "1 in " in ok(folder, "doctor", "--db", "log.db", "--full")
    moved = report(folder, "archive", "--before", "2100-01-01", "--to", "disk")
    assert (moved["segments"], moved["last_seq"]) == (1, sealed["events"])
    assert all_rows(db) == rows
    assert "every decision is the same" in ok(folder, "verify", "--db", "log.db")
    assert "were verified before" in ok(folder, "verify", "--db", "log.db")
    assert "were verified before" not in ok(folder, "verify", "--db", "log.db", "--full")
    assert report(folder, "unseal")["events"] == sealed["events"]
    assert (all_rows(db), ok(folder, "replay", "--db", "log.db", "--digest")) == (rows, digest)


def test_with_nothing_to_do_they_say_so_and_change_nothing(folder: Path) -> None:
    before = (folder / "log.db").read_bytes()
    assert "nothing to seal" in ok(folder, "seal", "--db", "log.db")
    assert "nothing to unseal" in ok(folder, "unseal", "--db", "log.db")
    assert "nothing to archive" in ok(folder, "archive", "--before", "2100-01-01", "--to", "disk", "--db", "log.db")
    assert report(folder, "seal")["segments"] == report(folder, "unseal")["events"] == 0
    assert (folder / "log.db").read_bytes() == before


def test_what_cannot_be_done_is_refused_by_name(folder: Path) -> None:
    ok(folder, "seal", "--older-than", "0d", "--db", "log.db")
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    archive = ("archive", "--before", "2100-01-01", "--db", "log.db", "--to")
    assert "not empty: it holds notes.txt" in papertape(folder, *archive, "full").stderr
    assert papertape(folder, "archive", "--before", "soon", "--to", "disk", "--db", "log.db").returncode == 2
    assert papertape(folder, "seal", "--older-than", "old", "--db", "log.db").returncode == 2
    with LogLock(folder / "log.db"):
        for verb in (("seal", "--db", "log.db"), ("unseal", "--db", "log.db"), (*archive, "disk")):
            refused = papertape(folder, *verb)
            assert (refused.returncode, "another engine holds" in refused.stderr) == (3, True)
    for name in ("seal", "unseal"):
        assert papertape(folder, name, "--db", "none.db").returncode == 2
    assert not (folder / "none.db").exists()
    next(iter(sealed_folder(folder / "log.db").iterdir())).unlink()
    refused = papertape(folder, "unseal", "--db", "log.db")
    assert (refused.returncode, ".segment is missing" in refused.stderr) == (5, True)
    findings = json.loads(papertape(folder, "doctor", "--db", "log.db", "--json").stdout)
    assert [one["level"] for one in findings if one["name"] == "segments"] == ["fail"]
