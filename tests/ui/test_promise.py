"""The arena and the page of a strategy show what a study promised, and only where one did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from papertape.cli.render.arena import arena_columns
from papertape.events.facts import RunnerConfigured
from papertape.projections.host import fold
from papertape.projections.site.views import Views
from papertape.projections.telegram.replies import arena
from tests.build import recorded
from tests.events.loop import in_loop
from tests.promises import promoted, traded
from tests.ui.site_pages import DAY, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from papertape.events.log import Recorded

PROMISE: dict[str, Any] = {"verdict": "NO", "against_advice": "a <b>try</b>"}


def day() -> list[Recorded]:
    """The example day, on which momentum follows a study and loses."""
    events = [one.event for one in DAY]
    at = next(number for number, one in enumerate(events) if isinstance(one, RunnerConfigured))
    configured = events[at]
    assert isinstance(configured, RunnerConfigured)
    promise = promoted(configured.strategy, parameters=configured.parameters, **PROMISE)
    return recorded([*events[:at], promise, *events[at:], *traded([-3.0] * 11)])


def views(log: list[Recorded]) -> Views:
    folded = Views()
    fold([folded], log)
    return folded


@in_loop
async def test_the_pages_show_the_promise_and_the_drift() -> None:
    async with visiting(site_of(day())) as client:
        arena_page = (await client.get("/arena")).text
        strategy = (await client.get("/strategy/momentum")).text
        other = (await client.get("/strategy/vwap_rsi")).text
    assert "<small>promised / actual</small>" in arena_page
    assert '<span class="sub" title="result far below promise, ' in arena_page
    assert "set 4,711 of the study momentum-btc, verdict NO" in strategy
    assert "Promoted against the verdict: a &lt;b&gt;try&lt;/b&gt;" in strategy
    assert "90 % within" in strategy
    assert "not by this set alone" in strategy
    assert "Promised and actual" not in other


@in_loop
async def test_without_a_promise_nothing_about_it_is_shown() -> None:
    async with visiting() as client:
        assert "promised" not in (await client.get("/arena")).text
        assert "Promised" not in (await client.get("/strategy/momentum")).text
        rows = (await client.get("/api/v1/arena")).json()["data"]
    assert all("promise" not in row for row in rows)
    plain = views(list(DAY)).arena.rows()
    assert "promised / actual" not in [column.title for column in arena_columns(plain)]
    assert "promised" not in arena(views(list(DAY)))


@in_loop
async def test_the_api_has_the_promise_of_those_who_follow_a_study() -> None:
    async with visiting(site_of(day())) as client:
        rows = {row["strategy"]: row for row in (await client.get("/api/v1/arena")).json()["data"]}
    promise = rows["momentum"]["promise"]
    assert (promise["study"], promise["set_number"], promise["promised_mean_r"]) == ("momentum-btc", 4_711, 0.5)
    assert promise["drifts"][0]["kind"] == "result_far_below_promise"
    assert "promise" not in rows["vwap_rsi"]


def test_the_terminal_and_the_chat_show_promised_and_actual_side_by_side() -> None:
    folded = views(day())
    (column,) = [one for one in arena_columns(folded.arena.rows()) if one.title == "promised / actual"]
    assert min(cell.plain for cell in column.cells) == "+6.00 / -14.93 R"
    assert {cell.plain for cell in column.cells} >= {"-"}
    assert "promised / actual +6.00 / -14.93 R" in arena(folded)


@pytest.mark.parametrize("parameters", [{"breakout_lookback": 7}])
def test_a_promise_ends_with_its_parameters(parameters: dict[str, int]) -> None:
    log = day()
    configured = next(one.event for one in log if isinstance(one.event, RunnerConfigured))
    ended = recorded([*(one.event for one in log), replace(configured, parameters=parameters)])
    assert all(not row.promise for row in views(ended).arena.rows())
