"""How the pages and the API show a strategy's coverage, and data that ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import OrderRejected
from papertape.events.units import DAY_MS
from papertape.projections.text.formats import utc
from tests.build import BTC, GALA, NOON_MS, candle_at, recorded, tripped
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, Elements, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from papertape.events.facts import Event

LATER: list[Event] = [
    tripped("momentum"),
    *[OrderRejected(NOON_MS, "momentum", BTC, "long", "cost_to_stop", 0.5, {})] * 3,
    *[candle_at(NOON_MS + days * DAY_MS) for days in range(1, 10)],
]
"""Nine more days with candles of only one symbol."""
LOG = [*DAY, *recorded(LATER, first_seq=len(DAY) + 1)]


@in_loop
async def test_a_strategys_page_shows_its_coverage_and_the_reasons() -> None:
    site = site_of(list(LOG))
    view = site.timeline.views.coverage.of("momentum")
    assert view.trips and view.entries_allowed_percent is not None and view.entries_allowed_percent < 20.0
    async with visiting(site) as client:
        text = Elements((await client.get("/strategy/momentum")).text).text
        answer = (await client.get("/api/v1/runners/momentum")).json()["data"]["coverage"]
    assert f"{view.entries_allowed_percent:.1f} % of the time" in text
    for trip in view.trips:
        assert trip.why in text
    assert f"Refused signals {view.refusal_words}" in text, "one reason is counted once"
    assert "3 x fees and slippage take too much of the distance to the stop" in view.refusal_words
    assert answer["entries_allowed_percent"] == view.entries_allowed_percent
    assert answer["refused"]["cost_to_stop"] == 3
    assert [trip["tripped_at_ms"] for trip in answer["trips"]] == [trip.tripped_at_ms for trip in view.trips]


@in_loop
async def test_the_arena_shows_how_long_entries_were_allowed() -> None:
    site = site_of(list(LOG))
    view = site.timeline.views.coverage.of("momentum")
    async with visiting(site) as client:
        text = Elements((await client.get("/arena")).text).text
    assert f"entries allowed {view.entries_allowed_percent:.1f} % of the time" in text


@in_loop
async def test_a_symbol_whose_data_ends_early_is_named_beside_its_positions() -> None:
    site = site_of(list(LOG))
    (early,) = site.timeline.views.coverage.early_ends()
    assert early.symbol == GALA
    async with visiting(site) as client:
        for address in ("/", "/trades", "/strategy/momentum"):
            text = Elements((await client.get(address)).text).text
            assert f"the data of {GALA} ends at {utc(early.until_ms)} UTC" in text, address
    async with visiting(site_of(list(DAY))) as client:
        assert "the data of" not in Elements((await client.get("/trades")).text).text
