"""The health page shows alerts that do not reach the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papertape.events.facts import SignalReceived
from tests.build import BTC, NOON_MS, recorded
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, visiting
from tests.web.site import site_of, status

if TYPE_CHECKING:
    from papertape.projections.site.ports import EngineStatus

SUPERGROUP = -1_001_557_912_345
RIGHTS = "sendMessage: 400 Bad Request: not enough <rights> to send text messages to the chat"


class Saying:
    """A running engine with a given status, which accepts no command."""

    def __init__(self, **said: Any) -> None:
        self._said = status(**said)

    async def status(self) -> EngineStatus | None:
        return self._said

    async def submit(self, command: object) -> Any:
        raise AssertionError(command)

    async def crash(self) -> None:
        raise AssertionError


async def health(**said: Any) -> str:
    """Return the page with an engine of this status."""
    async with visiting(site_of(list(DAY), Saying(**said))) as client:  # type: ignore[arg-type]
        return (await client.get("/system")).text


@in_loop
async def test_parked_alerts_and_a_group_that_moved_are_shown_with_the_reason_and_what_to_do() -> None:
    html = await health(alerts_parked=RIGHTS, alerts_moved_to=SUPERGROUP, oldest_alert_age_s=60.0)
    assert "alerts are parked</b>" in html
    assert "sendMessage: 400 Bad Request: not enough &lt;rights&gt; to send" in html
    assert "No problems" not in html
    assert f"set TELEGRAM_CHAT_ID={SUPERGROUP}" in html


@in_loop
async def test_sent_alerts_show_no_problem() -> None:
    html = await health(oldest_alert_age_s=0.0)
    assert "none pending" in html
    assert "parked" not in html and "TELEGRAM_CHAT_ID" not in html


@in_loop
async def test_the_newest_signals_are_shown_with_source_and_age_once_there_are_some() -> None:
    signals = [SignalReceived(NOON_MS, BTC, "trend", value, "<model>", str(value)) for value in (1.0, -0.25)]
    async with visiting(site_of([*DAY, *recorded(signals, len(DAY) + 1)])) as client:
        html = (await client.get("/system")).text
        assert 'aria-label="Signals"' not in (await client.get(f"/system?as_of={len(DAY)}")).text
    assert 'aria-label="Signals"' in html and "&lt;model&gt;" in html
    assert "-0.25" in html and f"/events/{len(DAY) + 2}" in html
