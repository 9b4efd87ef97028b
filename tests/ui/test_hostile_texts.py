"""Text from outside is shown as text: no control character or direction override reaches a page."""

from __future__ import annotations

import re

from papertape.events.facts import RunnerPaused
from papertape.events.log import Recorded
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, PAGES, visiting
from tests.web.site import site_of

HOSTILE = "\x1b[31m\x07\x9b\x00\u202egnp.exe\u2066<b>bold</b>"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@in_loop
async def test_no_page_shows_a_control_character_or_an_override_of_direction() -> None:
    last = DAY[-1]
    pause = Recorded(last.seq + 1, last.recorded_at_ms, 0, RunnerPaused(last.event.at_ms, "momentum", "anna", HOSTILE))
    told = 0
    async with visiting(site_of([*DAY, pause])) as client:
        for page in (*PAGES, f"/events/{pause.seq}"):
            text = (await client.get(page)).text
            assert RAW.search(text) is None, page
            told += "gnp.exe" in text and "&lt;b&gt;" in text
    assert told >= 2, "the reason itself is shown"
