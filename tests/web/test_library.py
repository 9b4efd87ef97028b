"""The library and the jobs through the pages and the API: what they show, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from papertape.api.settings import WebSettings
from papertape.cli.config.sections import Config
from papertape.client import AsyncClient, calls
from papertape.events.errors import ApiProblem
from papertape.projections.site.library import SweepRequest
from tests.cli.library_pages import HTML, serving, write_logs
from tests.cli.research_market import write_market
from tests.events.loop import in_loop
from tests.ui.site_pages import Elements
from tests.web.site import BEARER, ORIGIN, TOKEN, client_of, example_day, site_of

if TYPE_CHECKING:
    from pathlib import Path

SWEEP: dict[str, Any] = {"files": ["X=x.csv"], "strategy": "momentum", "vary": ["sl_percent=0.4,0.8"]}


@in_loop
async def test_the_library_page_links_every_log_and_names_what_is_broken(tmp_path: Path) -> None:
    [base] = await write_logs(tmp_path, 1)
    (tmp_path / "text.db").write_text("hello")
    async with serving(tmp_path) as (client, _):
        shown = Elements((await client.get("/library", headers=HTML)).text)
        assert f"{base}/" in shown.of("a", "href")
        assert "not an SQLite file" in shown.text
        unreadable = Elements((await client.get("/library?show=unreadable", headers=HTML)).text)
        assert "text.db" in unreadable.text
        assert "log0.db" not in unreadable.text
        assert (await client.get("/library?show=nothing", headers=HTML)).status_code == 404
        listed = (await client.get("/api/v1/library")).json()
        assert {one["name"]: one["kind"] for one in listed["entries"]} == {
            "own.db": "log", "log0.db": "log", "text.db": "unreadable",
        }  # fmt: skip


@in_loop
async def test_the_form_offers_the_files_and_strategies(tmp_path: Path) -> None:
    write_market(tmp_path)
    async with serving(tmp_path) as (client, _):
        for kind in ("backtest", "sweep"):
            page = (await client.get(f"/library/start?kind={kind}", headers=HTML)).text
            shown = Elements(page)
            assert "x.csv" in shown.of("input", "value")
            assert f"/api/v1/jobs/{kind}" in shown.of("form", "action")
            assert "momentum" in shown.text


@in_loop
async def test_a_job_needs_the_token_and_no_other_site_starts_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, _):
        elsewhere = {**BEARER, "origin": "https://example.org"}
        assert (await client.post("/api/v1/jobs/sweep", json=SWEEP, headers=elsewhere)).status_code == 403
        from_page = {"origin": ORIGIN}
        assert (await client.post("/api/v1/jobs/sweep", json=SWEEP, headers=from_page)).status_code == 401
        assert (await client.post("/api/v1/jobs/1/cancel", headers=from_page)).status_code == 401
        assert (await client.get("/api/v1/jobs")).json() == {"items": [], "refusal": ""}


@in_loop
@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (SWEEP | {"vary": ["nothing=1,2"]}, 422, "nothing"),
        (SWEEP | {"files": ["../x.csv"]}, 422, "no market file"),
        (SWEEP | {"sets": ["strategies.folders=/tmp"]}, 422, "can be set"),
        (SWEEP | {"unknown": 1}, 422, "unknown"),
        (SWEEP | {"vary": ["x=1"] * 100}, 422, "vary"),
    ],
)
async def test_a_wrong_request_is_a_problem_that_names_the_mistake(
    tmp_path: Path, body: dict[str, Any], status: int, detail: str
) -> None:
    write_market(tmp_path)
    async with serving(tmp_path) as (client, _):
        answer = await client.post("/api/v1/jobs/sweep", json=body, headers=BEARER)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (status, "urn:papertape:problem:invalid-request")
        assert detail in problem["detail"]


@in_loop
async def test_a_job_is_queued_shown_and_cancelled(tmp_path: Path) -> None:
    write_market(tmp_path)
    async with serving(tmp_path) as (client, _):
        started = await client.post("/api/v1/jobs/sweep", json=SWEEP | {"name": "mine"}, headers=BEARER)
        job = started.json()
        assert (started.status_code, job["state"], job["name"]) == (200, "queued", "mine")
        assert job["command"].startswith("papertape sweep --candles X=")
        again = await client.post("/api/v1/jobs/sweep", json=SWEEP | {"name": "mine"}, headers=BEARER)
        assert (again.status_code, "already writes mine" in again.text) == (422, True)
        assert "mine" in Elements((await client.get("/library", headers=HTML)).text).text
        cancelled = await client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=BEARER)
        assert cancelled.json()["state"] == "cancelled"
        assert (await client.post(f"/api/v1/jobs/{job['id']}/cancel", headers=BEARER)).status_code == 409
        assert (await client.get("/api/v1/jobs/77")).status_code == 404


@in_loop
async def test_the_client_decodes_and_sends_all_of_it(tmp_path: Path) -> None:
    bases = await write_logs(tmp_path, 2)
    write_market(tmp_path)
    a, b = (base.rpartition("/")[2] for base in bases)
    async with serving(tmp_path) as (http, _), AsyncClient(token=TOKEN, transport=http._transport) as client:
        for call in (calls.library(), calls.engines(), calls.comparison(a, b), calls.jobs()):
            said = (await http.get(f"/api/v1/{call.path}", params=call.parameters)).json()
            assert msgspec.json.decode(msgspec.json.encode(await client.send(call))) == said
        job = await client.send(calls.start_job(msgspec.convert(SWEEP, SweepRequest)))
        assert await client.send(calls.job(job.id)) == job
        assert (await client.send(calls.cancel_job(job.id))).state == "cancelled"
        with pytest.raises(ApiProblem, match="not a sweep that was cancelled or failed"):
            await client.send(calls.start_job_again(job.id))


@in_loop
async def test_switched_off_jobs_are_refused_with_the_reason(tmp_path: Path) -> None:
    async with serving(tmp_path, config=Config(web=WebSettings(jobs="off"))) as (client, _):
        answer = await client.post("/api/v1/jobs/sweep", json=SWEEP, headers=BEARER)
        assert (answer.status_code, "web.jobs" in answer.json()["detail"]) == (403, True)
        page = Elements((await client.get("/library/start", headers=HTML)).text)
        assert "switched off" in page.text
        assert "/api/v1/jobs/backtest" not in page.of("form", "action")


@in_loop
async def test_a_page_without_a_library_says_so() -> None:
    async with client_of(site_of(example_day())) as client:
        for path in ("library", "engines", "comparison?a=x&b=y", "jobs"):
            assert (await client.get(f"/api/v1/{path}")).status_code == 404
