"""A strategy that runs another's file is introduced with that strategy's name, once where it is introduced."""

from __future__ import annotations

from msgspec.structs import replace

from papertape.events.facts import RunnerConfigured
from papertape.projections.telegram.replies import arena
from papertape.projections.text.event_lines import event_line
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, Elements, visiting
from tests.web.site import ListTimeline, site_of


@in_loop
async def test_an_instance_is_introduced_with_the_strategy_whose_file_it_runs() -> None:
    log = [
        replace(one, event=replace(one.event, of="momentum"))
        if isinstance(one.event, RunnerConfigured) and one.event.strategy == "vwap_rsi"
        else one
        for one in DAY
    ]
    async with visiting(site_of(log)) as client:
        for address in ("/arena", "/strategy/vwap_rsi"):
            assert Elements((await client.get(address)).text).text.count("of momentum") == 1
        assert "of momentum" not in Elements((await client.get("/strategy/momentum")).text).text
    assert "<b>vwap_rsi</b> (of momentum)" in arena(ListTimeline(log).views)
    introduction = next(event_line(one, {}) for one in log if getattr(one.event, "of", ""))
    assert introduction.text.startswith("vwap_rsi (of momentum) runs on ")
