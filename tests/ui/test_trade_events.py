"""A trade leads to its events: those of its strategy on its symbol, from the order to the close, also as a file."""

from __future__ import annotations

from typing import Final

from tests.build import BTC, GALA, candle, closed, configured, listed, opened, recorded
from tests.events.loop import in_loop
from tests.ui.site_pages import Elements, visiting
from tests.web.site import site_of

LOG: Final = recorded(
    [
        *(listed(BTC), listed(GALA), configured(), candle(0, 100.0), candle(0, 1.0, GALA)),
        *(opened(), opened(symbol=GALA), candle(1, 100.0), closed(1.0, symbol=GALA), closed(1.0)),
    ]
)


def rows_of(page: Elements) -> list[str]:
    return [one for one in page.of("tr", "id") if one.startswith("event-")]


@in_loop
async def test_a_trade_leads_to_its_events() -> None:
    async with visiting(site_of(LOG)) as client:
        assert "/events?trade=10" in Elements((await client.get("/trades")).text).of("a", "href")
        page = Elements((await client.get("/events?trade=10")).text)
        assert rows_of(page) == ["event-10", "event-6"]
        assert f"Only what momentum did on {BTC} in the trade that event 10 closed." in " ".join(page.text.split())
        assert ("input", {"type": "hidden", "name": "trade", "value": "10"}) in page.found, "a search stays within it"
        [file] = [one for one in page.of("a", "href") if one.startswith("/api/v1/events.csv")]
        lines = (await client.get(file)).text.splitlines()
        assert [line.partition(",")[0] for line in lines[1:]] == ["6", "10"]
        narrower = Elements((await client.get("/events?trade=10&type=PositionClosed")).text)
        assert rows_of(narrower) == ["event-10"]
        empty = Elements((await client.get("/events?trade=10&q=nowhere")).text)
        assert "None of the 5 events of this trade matches the filters." in " ".join(empty.text.split())


@in_loop
async def test_an_event_that_closed_no_trade_yet_is_refused() -> None:
    async with visiting(site_of(LOG)) as client:
        for query in ("trade=6", "trade=10&as_of=9", "trade=99"):
            answer = await client.get(f"/events?{query}")
            assert answer.status_code == 404, query
            assert "no trade closed at event" in Elements(answer.text).text
        assert (await client.get("/events?trade=x")).status_code == 404
