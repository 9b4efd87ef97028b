"""What the pages say of how much a strategy traded, and of data that end early; the API says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import OrderRejected
from papertape.projections.text.formats import utc
from tests.alerts.given import BTC, GALA, NOON_MS, candle
from tests.events.tape import in_loop
from tests.projections.tape import DAY_MS, recorded, tripped
from tests.ui.given import DAY, Elements, visiting
from tests.web.given import site_of

if TYPE_CHECKING:
    from papertape.events.facts import Event

LATER: list[Event] = [
    tripped("momentum"),
    *[OrderRejected(NOON_MS, "momentum", BTC, "long", "cost_to_stop", 0.5, {})] * 3,
    *[candle(NOON_MS + days * DAY_MS) for days in range(1, 10)],
]
"""Nine more days on which nothing happens but in one symbol."""
LOG = [*DAY, *recorded(LATER, first_seq=len(DAY) + 1)]


@in_loop
async def test_a_strategy_s_page_says_how_much_of_the_period_it_traded_and_why_not_more() -> None:
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
async def test_the_arena_says_for_how_little_of_the_time_a_strategy_was_allowed_to_trade() -> None:
    site = site_of(list(LOG))
    view = site.timeline.views.coverage.of("momentum")
    async with visiting(site) as client:
        text = Elements((await client.get("/arena")).text).text
    assert f"entries allowed {view.entries_allowed_percent:.1f} % of the time" in text


@in_loop
async def test_a_symbol_whose_data_end_early_is_named_where_positions_are_valued_at_it() -> None:
    site = site_of(list(LOG))
    (early,) = site.timeline.views.coverage.early_ends()
    assert early.symbol == GALA
    async with visiting(site) as client:
        for address in ("/", "/trades", "/strategy/momentum"):
            text = Elements((await client.get(address)).text).text
            assert f"the data of {GALA} ends at {utc(early.until_ms)} UTC" in text, address
    async with visiting(site_of(list(DAY))) as client:
        assert "the data of" not in Elements((await client.get("/trades")).text).text
