"""The doctor's findings about alerts: parked and why, and that the owner's group has a new id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from papertape.cli.doctor.doctor_alerts import alerts
from papertape.engine.control_socket import ControlServer
from papertape.events.cursors import SqliteCursors
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.sandbox.telegram.twin import TOKEN
from tests.events.loop import in_loop
from tests.telegram.bot_rig import Clerk
from tests.web.site import status

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.doctor.doctor_finding import Finding

GROUP, SUPERGROUP = -4_001_234_567, -1_001_557_912_345
RIGHTS = "sendMessage: 400 Bad Request: not enough rights to send text messages to the chat"


async def found(folder: Path, **said: Any) -> list[Finding]:
    """Return the findings while an engine reports this status."""

    async def say() -> dict[str, object]:
        told: dict[str, object] = msgspec.to_builtins(status(**said))
        return told

    db = folder / "log.db"
    door = ControlServer(db, Clerk(), print, say)
    await door.open()
    try:
        return await asyncio.to_thread(lambda: list(alerts(db, folder)))
    finally:
        await door.close()


@in_loop
async def test_parked_alerts_are_a_warning_with_the_reason_and_how_long_they_wait(tmp_path: Path) -> None:
    (finding,) = await found(tmp_path, alerts_parked=RIGHTS, oldest_alert_age_s=7_500.0)
    assert (finding.level, finding.name) == ("warn", "alerts")
    assert RIGHTS in finding.text and "2h 5m" in finding.text
    assert "rights" in finding.advice


@in_loop
async def test_alerts_that_flow_are_fine(tmp_path: Path) -> None:
    (finding,) = await found(tmp_path, oldest_alert_age_s=0.0)
    assert (finding.level, finding.text) == ("ok", "no alerts are waiting")


@in_loop
async def test_a_group_that_moved_is_a_warning_that_names_the_new_id(tmp_path: Path) -> None:
    moved, flows = await found(tmp_path, alerts_moved_to=SUPERGROUP, oldest_alert_age_s=0.0)
    assert moved.level == "warn" and f"set TELEGRAM_CHAT_ID={SUPERGROUP}" in moved.text
    assert flows.level == "ok"


def test_without_an_engine_the_move_is_known_as_long_as_the_old_id_is_configured(tmp_path: Path) -> None:
    cursors = SqliteCursors(tmp_path / "log.db.cursors")
    ChatAddress(GROUP, cursors).move_to(SUPERGROUP)
    cursors.close()
    levels = []
    for chat_id in (GROUP, SUPERGROUP):
        (tmp_path / ".env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\nTELEGRAM_CHAT_ID={chat_id}\n")
        levels.append([one.level for one in alerts(tmp_path / "log.db", tmp_path)])
    assert levels == [["warn", "ok"], ["ok"]]
    (tmp_path / ".env").write_text("TELEGRAM_BOT_TOKEN=nonsense\n")
    assert [one.level for one in alerts(tmp_path / "log.db", tmp_path)] == ["ok"]
