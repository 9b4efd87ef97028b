"""Commands over HTTP: events with actor and reason, or a refusal that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.errors import CommandUnanswered
from papertape.events.facts import (
    ConfigurationReloaded,
    FeedConnected,
    KillSwitchReset,
    KillSwitchTripped,
    RunnerPaused,
)
from tests.build import DAY_0_MS, listed
from tests.events.loop import in_loop
from tests.kernel.scenario import BUY, Scenario
from tests.support import STRATEGIES, take
from tests.web.site import BEARER, Absent, ListTimeline, Present, client_of, example_day, site_of, status

if TYPE_CHECKING:
    import httpx

    from papertape.events.commands import Accepted, Command
    from papertape.projections.site.ports import Site

SENDER = {"actor": "anna", "reason": "looked at it"}


def trading() -> tuple[Site, Scenario]:
    """Return a site with an engine and one strategy with a position in A and none in B."""
    contracts = [listed("A"), listed("B")]
    scenario, chosen = Scenario(contracts), {"scripted": RunnerSettings({"stop_percent": 1.0, "target_percent": 2.0})}
    scenario.world = new_state(STRATEGIES)
    connected = FeedConnected(DAY_0_MS, "sim", DAY_0_MS, 1.0)
    for event in [*configuration(STRATEGIES, contracts, chosen), connected]:
        take(scenario.world, scenario.log, event)
    scenario.enter(BUY, symbol="A")
    return site_of([], Present(scenario.world, ListTimeline(scenario.log), status())), scenario


async def given(client: httpx.AsyncClient, name: str, **body: Any) -> httpx.Response:
    """Post a command."""
    return await client.post(f"/api/v1/commands/{name}", json=SENDER | body, headers=BEARER)


@in_loop
async def test_a_command_becomes_events_with_actor_and_reason() -> None:
    site, scenario = trading()
    async with client_of(site) as client:
        paused = await given(client, "pause", strategy="scripted")
        assert paused.status_code == 200
        first_seq = paused.json()["first_seq"]
        event = scenario.log[first_seq - 1].event
        assert isinstance(event, RunnerPaused)
        assert (event.strategy, event.who, event.why) == ("scripted", "anna", "looked at it")
        told = (await client.get("/api/v1/runners/scripted")).json()
        assert told["data"]["account"]["state"] == "paused"
        assert told["as_of"]["seq"] == paused.json()["last_seq"]


@in_loop
async def test_a_reset_names_its_trip_and_works_once() -> None:
    site, scenario = trading()
    async with client_of(site) as client:
        killed = await given(client, "kill", scope="scripted")
        trip_seq = killed.json()["first_seq"]
        assert isinstance(scenario.log[trip_seq - 1].event, KillSwitchTripped)
        assert (await given(client, "kill", scope="scripted")).status_code == 409
        stale = await given(client, "reset", scope="scripted", trip_seq=trip_seq - 1)
        assert (stale.status_code, stale.headers["content-type"]) == (409, "application/problem+json")
        done = await given(client, "reset", scope="scripted", trip_seq=trip_seq)
        assert isinstance(scenario.log[done.json()["first_seq"] - 1].event, KillSwitchReset)
        second = await given(client, "reset", scope="scripted", trip_seq=trip_seq)
        assert second.status_code == 409
        assert second.json()["detail"]


@in_loop
async def test_a_reload_says_what_changed() -> None:
    site, scenario = trading()
    async with client_of(site) as client:
        done = await given(client, "reload")
        assert (done.status_code, done.json()["changes"]) == (200, ["risk.leverage: 3 -> 2"])
        event = scenario.log[done.json()["first_seq"] - 1].event
        assert isinstance(event, ConfigurationReloaded)
        assert (event.who, event.why) == ("anna", "looked at it")


@in_loop
async def test_positions_are_closed_one_by_one_and_together() -> None:
    site, _ = trading()
    async with client_of(site) as client:
        assert (await given(client, "close", strategy="scripted", symbol="B")).status_code == 409
        assert (await given(client, "close")).status_code == 200
        orders = (await client.get("/api/v1/orders", params={"strategy": "scripted"})).json()["data"]
        assert [(order["symbol"], order["action"]) for order in orders] == [("A", "exit")]
        assert (await given(client, "close")).status_code == 409, "it is closing already"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("pause", {"strategy": "nobody"}),
        ("close", {"symbol": "NOTHING"}),
        ("kill", {"scope": "<script>alert(1)</script>"}),
        ("reset", {"scope": "scripted"}),
        ("reset", {"scope": "scripted", "trip_seq": 0}),
        ("reset", {"scope": "scripted", "trip_seq": "1"}),
        ("pause", {"actor": ""}),
        ("pause", {"reason": " \n "}),
        ("pause", {"reason": "x" * 201}),
        ("pause", {"reason": None}),
        ("pause", {"everything": True}),
        ("resume", {"strategy": "\u0000"}),
    ],
)
@in_loop
async def test_an_invalid_command_is_refused_by_field(name: str, body: dict[str, Any]) -> None:
    site, scenario = trading()
    before = len(scenario.log)
    async with client_of(site) as client:
        refused = await given(client, name, **body)
        assert refused.status_code == 422
        assert refused.json()["detail"]
    assert len(scenario.log) == before


@in_loop
async def test_a_typo_is_refused_with_a_suggestion() -> None:
    site, _ = trading()
    async with client_of(site) as client:
        for name, body in {"pause": {"strategy": "scriptd"}, "kill": {"scope": "scriptd"}}.items():
            assert "did you mean scripted?" in (await given(client, name, **body)).json()["detail"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"actor": NaN, "reason": "x"}', b"\xff", b'{"actor": 1e400}', b"[" * 9_000],
)
@in_loop
async def test_an_invalid_body_is_refused(text: bytes) -> None:
    site, _ = trading()
    async with client_of(site) as client:
        sent = {**BEARER, "content-type": "application/json"}
        assert (await client.post("/api/v1/commands/kill", content=text, headers=sent)).status_code == 422


@in_loop
async def test_hostile_text_is_recorded_unchanged_and_shown_as_text() -> None:
    site, _ = trading()
    words = "<img src=x onerror=alert(1)> '; DROP TABLE commits; -- \u202e ☃"
    async with client_of(site) as client:
        accepted = await given(client, "pause", reason=words)
        seq = accepted.json()["first_seq"]
        told = await client.get(f"/api/v1/events/{seq}")
        assert told.json()["data"]["fields"]["why"] == words
        assert told.headers["content-type"] == "application/json"


@pytest.mark.parametrize("reason", [b"Gr\xfcn", b"Gr\\udcfcn"])
@in_loop
async def test_a_reason_with_invalid_utf_8_is_repaired(reason: bytes) -> None:
    site, scenario = trading()
    body = b'{"actor":"anna","reason":"%b"}' % reason
    async with client_of(site) as client:
        headers = {**BEARER, "content-type": "application/json"}
        accepted = await client.post("/api/v1/commands/kill", content=body, headers=headers)
        assert accepted.status_code == 200, accepted.text
        broken = await client.post("/api/v1/commands/kill", content=body[:-1], headers=headers)
        assert broken.status_code == 422
    trip = scenario.log[accepted.json()["first_seq"] - 1].event
    assert isinstance(trip, KillSwitchTripped)
    assert trip.why == "Gr\ufffdn"


class Silent(Absent):
    """An engine that accepts a line and never answers."""

    async def submit(self, command: Command) -> Accepted:
        raise CommandUnanswered(f"no answer to {type(command).__name__}")


@in_loop
async def test_an_unanswered_command_differs_from_a_refused_one() -> None:
    async with client_of(site_of(example_day(), Silent(), commands_allowed=True)) as client:
        assert (await given(client, "kill")).status_code == 504


@in_loop
async def test_without_an_engine_a_command_can_be_retried_later() -> None:
    async with client_of(site_of(example_day(), commands_allowed=True)) as client:
        assert (await given(client, "kill")).status_code == 503
    async with client_of(site_of(example_day())) as client:
        looked_at = await given(client, "kill")
        assert looked_at.status_code == 503
        assert "read-only here" in looked_at.json()["detail"]
