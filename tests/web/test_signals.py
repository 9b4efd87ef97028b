"""Signals over HTTP: recorded before they are answered, harmless when repeated, refused by the name of the field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from papertape.api.gate import Gate
from papertape.api.hosts import AllowedHosts
from papertape.api.signals import A_MINUTE_MAX, BURST_MAX, SignalRateLimiter
from papertape.api.token import Token
from papertape.engine.reducer.signals import IDS_MAX
from papertape.engine.reducer.state import new_state
from papertape.engine.signal_intake import AGE_MAX_MS
from papertape.events.facts import FeedConnected, SignalReceived
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, listed
from tests.events.loop import in_loop
from tests.kernel.scenario import Scenario
from tests.support import STRATEGIES, take
from tests.web.site import (
    BEARER,
    OTHER_TOKEN,
    SIGNAL_TOKEN,
    TOKEN,
    Absent,
    ListTimeline,
    Present,
    client_of,
    served,
    site_of,
    status,
)

if TYPE_CHECKING:
    from papertape.projections.site.ports import Site

PATH = "/api/v1/signals"
SIGNAL_BEARER = {"authorization": f"Bearer {SIGNAL_TOKEN}"}
TREND = {"symbol": "X", "name": "trend", "value": 1.5, "id": "first"}


def watching() -> tuple[Site, Scenario]:
    """Return a site with an engine that watches X, whose first candle has closed a minute after the day began."""
    scenario = Scenario([listed("X")])
    scenario.world = new_state(STRATEGIES)
    for event in (listed("X"), FeedConnected(DAY_0_MS, "sim", DAY_0_MS, 1.0)):
        take(scenario.world, scenario.log, event)
    scenario.candle(100.0)
    engine = Present(scenario.world, ListTimeline(scenario.log), status())
    engine.wall_ms = DAY_0_MS + MINUTE_MS + 20_000
    return site_of([], engine), scenario


def signals_of(scenario: Scenario) -> list[SignalReceived]:
    return [one.event for one in scenario.log if isinstance(one.event, SignalReceived)]


@in_loop
async def test_a_signal_over_a_real_server_becomes_a_fact_and_a_view_before_it_is_answered() -> None:
    site, scenario = watching()
    async with served(site) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        answer = await client.post(PATH, json=TREND, headers=SIGNAL_BEARER)
        at_ms = DAY_0_MS + MINUTE_MS + 20_000
        assert answer.status_code == 200
        assert answer.json() == {
            "repeated": False, "first_seq": len(scenario.log), "last_seq": len(scenario.log),
            "signals": [{"id": "first", "repeated": False, "at_ms": at_ms}],
        }  # fmt: skip
        assert signals_of(scenario) == [SignalReceived(at_ms, "X", "trend", 1.5, "api", "first")]
        (view,) = (await client.get(PATH)).json()["data"]
    assert (view["symbol"], view["name"], view["value"], view["source"], view["count"]) == ("X", "trend", 1.5, "api", 1)


@in_loop
async def test_a_repeated_signal_is_answered_and_writes_nothing_and_another_value_is_refused() -> None:
    site, scenario = watching()
    async with client_of(site) as client:
        await client.post(PATH, json=TREND, headers=SIGNAL_BEARER)
        length = len(scenario.log)
        again = await client.post(PATH, json={**TREND, "at": DAY_0_MS}, headers=SIGNAL_BEARER)
        assert (again.status_code, again.json()["repeated"], again.json()["first_seq"]) == (200, True, None)
        other = await client.post(PATH, json={**TREND, "value": 2}, headers=SIGNAL_BEARER)
        assert other.status_code == 409
        assert "id: api has sent 'first' already, as X trend = 1.5" in other.json()["detail"]
        elsewhere = await client.post(PATH, json={**TREND, "value": 2, "source": "model"}, headers=SIGNAL_BEARER)
        assert elsewhere.status_code == 200, "each source has ids of its own"
    assert len(scenario.log) == length + 1


@in_loop
async def test_a_list_is_recorded_as_a_whole_or_not_at_all() -> None:
    site, scenario = watching()
    second = {**TREND, "name": "risk", "id": "second"}
    async with client_of(site) as client:
        invalid = await client.post(PATH, json=[TREND, {**second, "value": "1"}], headers=SIGNAL_BEARER)
        assert (invalid.status_code, invalid.json()["detail"]) == (422, "signals[1].value: Expected float, got str")
        contradicting = await client.post(PATH, json=[TREND, {**second, "id": "first"}], headers=SIGNAL_BEARER)
        assert contradicting.status_code == 409
        assert contradicting.json()["detail"].startswith("signals[1].id: 'first' stands for two different signals")
        assert signals_of(scenario) == []
        answer = (await client.post(PATH, json=[TREND, second, TREND], headers=SIGNAL_BEARER)).json()
    assert [one["repeated"] for one in answer["signals"]] == [False, False, True]
    assert [one.name for one in signals_of(scenario)] == ["trend", "risk"]


@pytest.mark.parametrize(
    ("change", "status_code", "detail"),
    [
        ({"symbol": "Y"}, 422, "symbol: there is no symbol 'Y'; there are X"),
        ({"symbol": None}, 422, "symbol: Expected str, got null"),
        ({"name": "Trend"}, 422, "name: Expected str matching regex"),
        ({"name": "t" * 33}, 422, "name: Expected str matching regex"),
        ({"value": "1.5"}, 422, "value: Expected float, got str"),
        ({"value": None}, 422, "value: Expected float, got null"),
        ({"id": "x" * 121}, 422, "id: Expected str of length <= 120"),
        ({"source": "two\nlines"}, 422, "source: Expected str matching regex"),
        ({"at": "yesterday"}, 422, "at: not a time"),
        ({"at": -1}, 422, "at: not a time"),
        ({"at": DAY_0_MS - 15 * MINUTE_MS}, 409, "at: the signal is 16 minutes old; at most 15 are accepted"),
        ({"at": DAY_0_MS + 3 * MINUTE_MS}, 409, "at: the signal lies 100 seconds ahead"),
        ({"colour": "red"}, 422, "unknown field colour"),
    ],
)
@in_loop
async def test_an_invalid_signal_is_refused_by_field(change: dict[str, Any], status_code: int, detail: str) -> None:
    site, scenario = watching()
    async with client_of(site) as client:
        refused = await client.post(PATH, json=TREND | change, headers=SIGNAL_BEARER)
    assert (refused.status_code, refused.headers["content-type"]) == (status_code, "application/problem+json")
    assert detail in refused.json()["detail"]
    assert signals_of(scenario) == []


@pytest.mark.parametrize(
    ("body", "media_type", "status_code"),
    [
        (b"{", "application/json", 400),
        (b'{"symbol": "X", "name": "trend", "value": NaN}', "text/plain", 422),
        (b'{"symbol": "X", "name": "trend", "value": 1e999}', "application/json", 422),
        (b"[]", "application/json", 422),
        (b"7", "application/json", 422),
        (json.dumps([TREND] * 101).encode(), "application/json", 422),
        (b" " * 20_000, "application/json", 413),
        (b"value=1", "application/x-www-form-urlencoded", 415),
    ],
)
@in_loop
async def test_an_invalid_body_is_refused(body: bytes, media_type: str, status_code: int) -> None:
    site, scenario = watching()
    async with client_of(site) as client:
        refused = await client.post(PATH, content=body, headers={**SIGNAL_BEARER, "content-type": media_type})
    assert refused.status_code == status_code
    assert refused.json()["detail"]
    assert signals_of(scenario) == []


# ---------------------------------------------------------------- who may send


@in_loop
async def test_only_the_signal_token_sends_signals_and_it_allows_nothing_else() -> None:
    site, scenario = watching()
    async with client_of(site) as client:
        assert (await client.post(PATH, json=TREND)).status_code == 401
        assert (await client.post(PATH, json=TREND, headers=BEARER)).status_code == 401
        assert (await client.post(PATH, json=TREND, headers={"authorization": "Basic abc"})).status_code == 401
        pause = {"actor": "anna", "reason": "test"}
        stranger = await client.post("/api/v1/commands/pause", json=pause, headers=SIGNAL_BEARER)
        assert stranger.status_code == 401
        assert (await client.get("/api/v1/arena", headers=SIGNAL_BEARER)).status_code == 401
        foreign = {**SIGNAL_BEARER, "origin": "https://evil.example"}
        assert (await client.post(PATH, json=TREND, headers=foreign)).status_code == 403
    assert signals_of(scenario) == []


@in_loop
async def test_a_sender_without_headers_puts_the_token_into_the_body_and_it_is_recorded_nowhere() -> None:
    site, scenario = watching()
    async with client_of(site) as client:
        for wrong in ({}, {"token": OTHER_TOKEN}, {"token": TOKEN}, {"token": 7}):
            assert (await client.post(PATH, json=TREND | wrong)).status_code == 401
        plain = {"content-type": "text/plain; charset=utf-8"}
        body = json.dumps({**TREND, "token": SIGNAL_TOKEN})
        assert (await client.post(PATH, content=body, headers=plain)).status_code == 200
        told = await client.post(PATH, json={**TREND, "token": SIGNAL_TOKEN, "value": "x"})
    assert len(signals_of(scenario)) == 1
    assert SIGNAL_TOKEN not in repr(scenario.log) + told.text


@in_loop
async def test_without_a_signal_token_no_signal_is_accepted() -> None:
    site, _ = watching()
    gate = Gate(Token(TOKEN), AllowedHosts("127.0.0.1"), reading_open=True)
    async with client_of(site, gate) as client:
        for headers in ({}, BEARER, SIGNAL_BEARER):
            refused = await client.post(PATH, json=TREND, headers=headers)
            assert (refused.status_code, "PAPERTAPE_SIGNAL_TOKEN" in refused.json()["detail"]) == (403, True)


@in_loop
async def test_guessers_of_the_token_are_slowed_down() -> None:
    site, _ = watching()
    gate = Gate(
        Token(TOKEN), AllowedHosts("127.0.0.1"), reading_open=True, signal_token=Token(SIGNAL_TOKEN), delay_s=0.0
    )
    async with client_of(site, gate) as client:
        codes = [(await client.post(PATH, json={"token": OTHER_TOKEN})).status_code for _ in range(21)]
        assert (codes[0], codes[-1]) == (401, 429)
        assert (await client.post(PATH, json=TREND, headers=SIGNAL_BEARER)).status_code == 200


# ---------------------------------------------------------------- limits


@in_loop
async def test_too_many_signals_are_told_when_to_come_back() -> None:
    site, scenario = watching()
    crowd = [{**TREND, "id": f"n{number}"} for number in range(80)]
    async with client_of(site) as client:
        assert (await client.post(PATH, json=crowd, headers=SIGNAL_BEARER)).status_code == 200
        refused = await client.post(PATH, json=crowd[:60], headers=SIGNAL_BEARER)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert len(signals_of(scenario)) == 80


def test_the_rate_refills_and_ids_are_remembered_longer_than_a_signal_may_be_old() -> None:
    now_s = 0.0
    limiter = SignalRateLimiter(lambda: now_s)
    assert limiter.wait_s(BURST_MAX) == 0
    assert limiter.wait_s(10) == 10
    now_s = 10.0
    assert (limiter.wait_s(10), limiter.wait_s(1)) == (0, 1)
    assert BURST_MAX + A_MINUTE_MAX * AGE_MAX_MS // MINUTE_MS <= IDS_MAX


@in_loop
async def test_without_an_engine_signals_are_refused_until_it_is_back() -> None:
    log = watching()[1].log
    for engine, allowed in ((Absent(), True), (Absent(), False)):
        async with client_of(site_of(log, engine, commands_allowed=allowed)) as client:
            assert (await client.post(PATH, json=TREND, headers=SIGNAL_BEARER)).status_code == 503
