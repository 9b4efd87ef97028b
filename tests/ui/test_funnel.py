"""The page of a funnel: counted, still being counted, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.events.errors import LogBusy
from tests.events.loop import in_loop
from tests.telegram.test_funnel import VIEW
from tests.ui.site_pages import DAY, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from papertape.projections.site.funnel import FunnelRequest, FunnelView


class Counted:
    """A source of funnels that has counted, is counting, or is busy."""

    def __init__(self, answer: FunnelView | LogBusy | None) -> None:
        self.answer = answer
        self.requests: list[FunnelRequest] = []

    async def funnel(self, request: FunnelRequest, wait_s: float) -> FunnelView | None:  # noqa: ARG002
        self.requests.append(request)
        if isinstance(self.answer, LogBusy):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (VIEW, "asked on"),
        (replace(VIEW, funnels=()), "The strategy had no candle of its timeframe in this span."),
        (None, "The funnel is being counted"),
        (LogBusy("two are being counted"), "two are being counted"),
    ],
)
@in_loop
async def test_the_page_shows_a_funnel_or_why_there_is_none_yet(
    answer: FunnelView | LogBusy | None, shown: str
) -> None:
    site = site_of(list(DAY))
    source = site.funnels = Counted(answer)
    async with visiting(site) as client:
        page = await client.get("/funnel/momentum?days=30")
        assert page.status_code == 200
        assert shown in page.text
        past = await client.get("/funnel/momentum?days=30&as_of=12")
    now, then = source.requests
    assert (now.strategy, now.days, now.until_ms) == ("momentum", 30.0, None)
    assert then.until_ms is not None
    assert past.status_code == 200


@in_loop
async def test_both_sides_of_every_condition_are_on_the_page() -> None:
    site = site_of(list(DAY))
    site.funnels = Counted(VIEW)
    async with visiting(site) as client:
        text = (await client.get("/funnel/momentum")).text
        for words in ("15m ADX", "5m volume", "100.0", "refused: the maximum number of positions is open", "-15.45"):
            assert words in text
        for wrong in (
            "/funnel/nobody",
            "/funnel/momentum?days=0",
            "/funnel/momentum?days=x",
            "/funnel/momentum?days=401",
        ):
            assert (await client.get(wrong)).status_code == 404
