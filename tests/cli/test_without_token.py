"""Without a token every message goes to a file and to the page's list, for each kind of message."""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.owner_channel import LOGGER, FileChannel, alert_file
from papertape.cli.service.unlogged_messages import UnloggedMessages
from papertape.events.bus import Bus
from papertape.projections.alerts.alert import AlertKind
from papertape.projections.alerts.derive import Alerts
from papertape.projections.site.messages import HEARTBEAT, UnloggedContents
from papertape.projections.telegram.file_notifier import FileNotifier
from papertape.projections.telegram.text import one_line
from tests.alerts.example_day import CASES, last_alert
from tests.alerts.test_golden import fault, heartbeat
from tests.build import recorded
from tests.ui.site_pages import Elements, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.log import Recorded

NOTE = "12 events replayed in 3 ms"


class Listed:
    """A log in memory."""

    def __init__(self, log: list[Recorded]) -> None:
        self._log = log

    def read(self, after_seq: int, limit: int = 2_000, /) -> list[Recorded]:
        return self._log[after_seq : after_seq + limit]


async def told_of(log: list[Recorded], folder: Path, heartbeat_html: str, fault_html: str) -> None:
    """Do what an engine without a token does with its log, a heartbeat and a fault."""
    async with AsyncExitStack() as stack:
        tell = alert_file(folder / "log.db.alerts.log", stack)
        bus = Bus(len(log))
        bus.close()
        notes = {len(log): NOTE}
        await FileNotifier(Listed(log), bus, Alerts(), tell, begin_after_seq=0, notes=notes).run()
        await FileChannel(tell).beat(heartbeat_html)
        await FileChannel(tell).say(fault_html, silent=False)


def list_of(log: list[Recorded], unlogged: UnloggedContents) -> tuple[list[dict[str, object]], str]:
    """Return the messages as JSON, and the page's text without scripts."""

    async def visit() -> tuple[list[dict[str, object]], str]:
        async with visiting(site_of(log, unlogged=lambda: unlogged)) as client:
            found = (await client.get("/api/v1/messages")).json()["data"]
            return found, Elements((await client.get("/messages")).text).text

    return asyncio.run(visit())


@pytest.mark.system
@pytest.mark.parametrize("name", CASES)
def test_every_kind_stands_in_the_log_in_the_file_and_in_the_list(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, beat, broken = recorded(CASES[name]), heartbeat(540), fault()
    file = UnloggedMessages(tmp_path / "log.db.told")
    file.change(lambda before: before.with_note(len(log), NOTE).with_beat(len(log), 1, beat))
    file.change(lambda before: before.with_fault(len(log), 2, broken, silent=False))
    with caplog.at_level(logging.INFO, LOGGER):
        asyncio.run(told_of(log, tmp_path, beat, broken))
    lines = (tmp_path / "log.db.alerts.log").read_text().splitlines()
    said = [one.getMessage() for one in caplog.records if one.name == LOGGER]
    items, page = list_of(log, UnloggedMessages(tmp_path / "log.db.told").read())
    assert len(lines) == len(said) == len(items), "the same number everywhere"
    last = last_alert(CASES[name], NOTE)
    by_kind = {one["kind"]: one for one in reversed(items)}
    for kind, html in ((last.kind.value, last.html), (HEARTBEAT, beat), ("fault", broken)):
        line = one_line(html)
        assert any(one.endswith(line) for one in lines)
        assert line in said
        item = by_kind[kind]
        assert item["html"] == html
        assert one_line(str(item["text"])) == line
        assert "".join(str(item["text"]).split()) in "".join(page.split())
    assert items[0]["seq"] == len(log), "newest first"


def test_no_kind_is_missing_here() -> None:
    driven = {last_alert(events).kind for events in CASES.values()}
    assert driven | {AlertKind.FAULT} == set(AlertKind)


def test_what_stands_beside_the_log_survives_and_harms_nobody_when_it_is_damaged(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder = tmp_path / "there"
    folder.mkdir()
    file, other = UnloggedMessages(folder / "log.db.told", warnings.append), UnloggedMessages(folder / "log.db.told")
    assert other.read() == UnloggedContents()
    file.change(lambda before: before.with_beat(7, 1, "one"))
    file.change(lambda before: before.with_note(3, "note"))
    assert other.read() == UnloggedContents().with_beat(7, 1, "one").with_note(3, "note")
    (folder / "log.db.told").write_bytes(b'{"heartbeat": 5')
    assert other.read() == UnloggedContents()
    file.change(lambda before: before.with_beat(8, 1, "two"))
    assert other.read() == UnloggedContents().with_beat(8, 1, "two")
    assert not warnings
    shutil.rmtree(folder)
    file.change(lambda before: before.with_beat(9, 1, "three"))
    assert warnings == ["log.db.told could not be written: No such file or directory"]
