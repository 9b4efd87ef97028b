"""The doctor's findings about refused data, and about who can reach the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.events.facts import DataRefused
from papertape.events.log import Entry
from papertape.events.proof import Damage, write_proof
from papertape.events.proving import Throttle, prove
from tests.build import DAY_0_MS
from tests.cli.written_log import entries, write_log
from tests.web.site import TOKEN

if TYPE_CHECKING:
    from pathlib import Path


def test_the_doctor_tells_what_the_feed_refused_and_warns_where_it_is_much(tmp_path: Path) -> None:
    def found(count: int) -> dict[str, str]:
        refused = [
            DataRefused(DAY_0_MS, "bitget", "stale", 3, 0, "a"),
            DataRefused(DAY_0_MS, "bitget", "x", count, 0, "b"),
        ]
        path = write_log(tmp_path / f"{count}.db", [*entries(), [*map(Entry, refused)]])
        shown = CliRunner().invoke(app, ["doctor", "--db", str(path), "--json"])
        findings: list[dict[str, str]] = json.loads(shown.stdout)
        (finding,) = [one for one in findings if one["name"] == "refused data"]
        return finding

    assert (found(1_000)["level"], found(1_000)["text"]) == ("ok", "1,000 times x, 3 times stale")
    assert found(1_001)["level"] == "warn" and "within the hour before" in found(1_001)["text"]


@pytest.mark.parametrize(
    ("host", "token", "level", "said"),
    [
        ("127.0.0.1", "", "ok", "reading is free"),
        ("127.0.0.1", TOKEN, "ok", "everything needs PAPERTAPE_TOKEN"),
        ("0.0.0.0", TOKEN, "ok", "other machines can reach it"),
        ("0.0.0.0", "", "fail", "create one with `papertape token`"),
        ("127.0.0.1", "hunter2", "fail", "at least 32 random bytes"),
    ],
)
def test_the_doctor_tells_who_reaches_the_page(tmp_path: Path, host: str, token: str, level: str, said: str) -> None:
    (tmp_path / "web.toml").write_text(f'[web]\nhost = "{host}"\n')
    given = ["doctor", "--db", str(write_log(tmp_path / "a.db")), "--config", str(tmp_path / "web.toml"), "--json"]
    shown = CliRunner().invoke(app, given, env={"PAPERTAPE_TOKEN": token})
    (finding,) = [one for one in json.loads(shown.stdout) if one["name"] == "page"]
    assert finding["level"] == level
    assert said in finding["text"]
    assert not token or token not in shown.stdout


def test_the_doctor_tells_how_far_the_log_was_read_back(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.db")

    def found() -> tuple[str, str]:
        shown = CliRunner().invoke(app, ["doctor", "--db", str(path), "--json"])
        (finding,) = [one for one in json.loads(shown.stdout) if one["name"] == "read back"]
        return finding["level"], finding["text"]

    assert found() == ("ok", "no engine has read this log back yet; an engine does so soon after it starts")
    proof = prove(path, "life", Throttle(0.5, lambda: True))
    assert found()[0] == "ok" and found()[1].startswith("15 of 15 events, to the end at ")
    write_proof(path, replace(proof, damage=Damage(9, "the row does not match its hash", proof.proven)))
    assert found() == ("fail", "seq 9 was damaged: the row does not match its hash")
