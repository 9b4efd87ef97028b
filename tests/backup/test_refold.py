"""Before an upgrade: this version folds the same log as another, and both results are compared."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from papertape.events.codec import Codec
from papertape.events.facts import EVENT_TYPES, ContractListed
from papertape.events.log import Entry
from papertape.events.sqlite_log import SqliteEventLog
from papertape.events.upcast import ContractListed1, KillSwitchTripped1
from tests.cli.written_log import entries, write_log
from tests.engine.processes import ok, papertape

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

OTHER = "0" * 32
OLD_CODEC = Codec(
    [*(kind for kind in EVENT_TYPES if kind is not ContractListed), ContractListed1, KillSwitchTripped1], {}
)


def digest_of(folder: Path) -> str:
    return ok(folder, "replay", "--db", "log.db", "--digest").strip()


def as_before(entry: Entry) -> Entry:
    event = entry.event
    if not isinstance(event, ContractListed):
        return entry
    names = ContractListed1.__struct_fields__
    return Entry(ContractListed1(**{name: getattr(event, name) for name in names}), entry.cause)


def test_equal_states_are_reported_as_equal(tmp_path: Path) -> None:
    write_log(tmp_path / "log.db")
    assert "the same state" in ok(tmp_path, "refold", "--db", "log.db", "--expect", digest_of(tmp_path))


def test_another_state_without_a_reason_is_a_difference(tmp_path: Path) -> None:
    write_log(tmp_path / "log.db")
    done = papertape(tmp_path, "refold", "--db", "log.db", "--expect", OTHER)
    assert done.returncode == 1
    assert f"not to {OTHER}" in done.stderr


def test_another_state_is_explained_by_the_events_of_old_shapes(tmp_path: Path) -> None:
    async def write() -> None:
        log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=lambda: 7, codec=OLD_CODEC)
        for commit in entries():
            await log.append(log.head.seq, [as_before(entry) for entry in commit])
        await log.close()

    asyncio.run(write())
    found = json.loads(ok(tmp_path, "refold", "--db", "log.db", "--expect", OTHER, "--json"))
    assert (found["same"], found["upcast"]) == (False, {"ContractListed.1": 1})


@pytest.mark.parametrize("asked", [("--expect", "abc"), ("--expect", OTHER, "--to", "99")])
def test_an_invalid_request_is_refused(tmp_path: Path, asked: tuple[str, ...]) -> None:
    write_log(tmp_path / "log.db")
    assert papertape(tmp_path, "refold", "--db", "log.db", *asked).returncode == 2
