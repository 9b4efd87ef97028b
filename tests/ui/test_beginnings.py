"""Logs without a candle: no page and no answer shows an invalid time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import asdict, replace

from papertape.api.app import VIEWS
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.facts import EngineStarted, EngineStopped, FeedLost
from tests.build import DAY_0_MS, configured, listed, recorded, tripped
from tests.events.loop import in_loop
from tests.ui.site_pages import PAGES, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from papertape.events.log import Recorded

NOBODY_KNOWS = ("1970", "1969", "NaN", "Infinity")
LOGS: dict[str, list[Recorded]] = {
    "empty": [],
    "begun": recorded(
        [
            EngineStarted(DAY_0_MS, "test", "code", "config"),
            listed("BTCUSDT"),
            *(replace(configured(name), risk=asdict(RiskSettings())) for name in ("momentum", "vwap_rsi")),
            FeedLost(DAY_0_MS, "bitget", "cannot be reached"),
            tripped("momentum"),
            EngineStopped(DAY_0_MS, "asked to stop"),
        ]
    ),
}
TEXTS = ("/api/v1/status", "/health", "/ready", "/api/docs")
NAMES = {"{strategy}": "momentum", "{symbol}": "BTCUSDT", "{seq}": "1"}


@pytest.mark.parametrize("name", LOGS)
@in_loop
async def test_no_answer_shows_a_time_before_the_first_candle(name: str) -> None:
    addresses = [*PAGES, *TEXTS, *(f"/api/v1/{view.path}" for view in VIEWS)]
    answered = 0
    async with visiting(site_of(list(LOGS[name]))) as client:
        for address in addresses:
            for place, value in NAMES.items():
                address = address.replace(place, value)  # noqa: PLW2901 - every address has its own places.
            answer = await client.get(address)
            assert answer.status_code in (200, 404, 422, 503), address
            answered += answer.status_code == 200
            for word in NOBODY_KNOWS:
                assert word not in answer.text, (address, answer.text[max(answer.text.find(word) - 90, 0) :][:120])
    assert answered > len(addresses) / 2
