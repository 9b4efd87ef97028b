"""Logs of the library open beside the page's own: all their pages, read-only, and only a few at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.cli.library.data_folders import data_folders
from papertape.cli.library.library import PageLibrary
from papertape.cli.library.listing import LibraryListing, entry_id
from papertape.cli.library.opened_logs import FAULT_KEPT_S, OPENED_MAX
from papertape.events.errors import LogBusy
from tests.cli.library_pages import HTML, read_whole, serving, write_logs
from tests.cli.written_log import entries, write_log
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S
from tests.ui.site_pages import PAGES, Elements
from tests.web.site import BEARER, example_day, gate_of, site_of

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = ("/compare", "/studies/", "/strategy/vwap_rsi", "/chart/GALA")
"""Pages of the example day that the small log does not have."""
SHARED = ("/library", "/login", "/logout", "/static/", "/assets/", "/api/docs")
"""Addresses that an opened log shares with the page that opened it."""


@in_loop
async def test_every_page_of_an_opened_log_leads_to_pages_of_the_same_log(tmp_path: Path) -> None:
    [base] = await write_logs(tmp_path, 1)
    async with serving(tmp_path) as (client, _):
        assert (await client.get(base)).headers["location"] == f"{base}/"
        await read_whole(client, base)
        for page in (one for one in PAGES if not one.startswith(ELSEWHERE)):
            answer = await client.get(base + page, headers=HTML)
            assert answer.status_code == 200, (page, Elements(answer.text).text[150:600])
            shown = Elements(answer.text)
            addresses = [
                address
                for attribute in ("href", "action", "hx-get", "src")
                for tag in ("a", "form", "div", "section", "link", "script")
                for address in shown.of(tag, attribute)
            ]
            elsewhere = [one for one in addresses if one.startswith("/") and not one.startswith((f"{base}/", *SHARED))]
            assert not elsewhere, (page, elsewhere)
            assert "Back to the library" in shown.text


@in_loop
async def test_its_views_are_those_of_its_own_log(tmp_path: Path) -> None:
    [base] = await write_logs(tmp_path, 1)
    async with serving(tmp_path) as (client, _):
        opened = (await read_whole(client, base)).json()["data"]
        own = (await client.get("/api/v1/arena")).json()["data"]
        assert {one["strategy"] for one in opened} == {"momentum", "funding", "liquidation"}
        assert opened != own


@in_loop
async def test_no_command_reaches_an_engine_through_it(tmp_path: Path) -> None:
    [base] = await write_logs(tmp_path, 1)
    async with serving(tmp_path) as (client, _):
        await read_whole(client, base)
        body = {"actor": "anna", "reason": "test", "strategy": "momentum"}
        paused = await client.post(f"{base}/api/v1/commands/pause", json=body, headers=BEARER)
        assert (paused.status_code, "read-only" in paused.text) == (503, True)
        assert (await client.post(f"{base}/pages/crash", headers=BEARER)).status_code == 404
        assert '<form class="command"' not in (await client.get(f"{base}/risk", headers=HTML)).text


@in_loop
@pytest.mark.parametrize("path", ["nothing", "..%2f..%2fetc%2fpasswd", "%2e%2e/own.db", "own.db", "%2fetc%2fpasswd"])
async def test_an_address_that_names_no_log_of_the_list_is_unknown(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as (client, _):
        assert (await client.get(f"/open/{path}/api/v1/arena")).status_code == 404
        page = await client.get(f"/open/{path}/", headers=HTML)
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (404, "text/html")


@in_loop
async def test_nobody_opens_a_log_without_the_token_where_reading_needs_it(tmp_path: Path) -> None:
    [base] = await write_logs(tmp_path, 1)
    async with serving(tmp_path, gate=gate_of(reading_open=False)) as (client, opened):
        assert (await client.get(f"{base}/api/v1/arena")).status_code == 401
        assert (await client.get(f"{base}/", headers=HTML)).headers["location"].startswith("/login?next=%2Fopen%2F")
        assert opened.opened(base.rpartition("/")[2]) is None
        assert (await client.get(f"{base}/live", headers=BEARER)).status_code == 200


@in_loop
async def test_the_log_that_was_used_longest_ago_is_closed_for_another_one(tmp_path: Path) -> None:
    bases = await write_logs(tmp_path, OPENED_MAX + 2)
    named = tmp_path / "log0.db"
    async with serving(tmp_path, named) as (client, opened):
        for base in bases:
            assert (await client.get(f"{base}/live")).status_code == 200
        still = [opened.opened(base.rpartition("/")[2]) is not None for base in bases]
        assert still == [True, False, *[True] * OPENED_MAX]


@in_loop
async def test_a_bug_while_a_log_is_followed_is_shown_until_it_is_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [base] = await write_logs(tmp_path, 1)
    async with serving(tmp_path) as (client, opened):
        await read_whole(client, base)
        found = opened.opened(base.rpartition("/")[2])
        assert found is not None
        vars(found.timeline.views)["days"] = None  # What a bug may do: the next event cannot be folded.
        await asyncio.to_thread(write_log, found.db, entries()[-1:])
        async with asyncio.timeout(PATIENCE_S):
            while not found.fault:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        answer = await client.get(f"{base}/api/v1/arena")
        page = await client.get(f"{base}/arena", headers=HTML)
        found.fault_at_s -= FAULT_KEPT_S
        assert (await read_whole(client, base)).status_code == 200, "it is tried again"
    assert answer.status_code == page.status_code == 503
    assert "a bug in papertape: AttributeError" in answer.json()["detail"]
    assert "a bug in papertape: AttributeError" in Elements(page.text).text
    assert "AttributeError" in caplog.text


@in_loop
async def test_missing_and_damaged_logs_of_the_command_line_are_shown_as_such(tmp_path: Path) -> None:
    whole, torn = await asyncio.to_thread(write_log, tmp_path / "whole.db"), tmp_path / "torn.db"
    torn.write_bytes(whole.read_bytes()[:5_000])
    async with serving(tmp_path, whole, torn, tmp_path / "missing.db") as (client, _):
        await read_whole(client, f"/open/{entry_id(whole.resolve())}")
        view = (await client.get("/api/v1/engines")).json()
        states = {one["name"]: (one["trouble"], one["state"]) for one in view["engines"]}
        assert "there is no log at" in states["missing.db"][1]
        assert "damaged" in states["torn.db"][1]
        assert [states[name][0] for name in ("missing.db", "torn.db")] == [True, True]
        totals, rows = view["totals"], view["engines"]
        assert (totals["known"], totals["all"]) == (2, 4)
        assert totals["equity_usdt"] == pytest.approx(sum(one["equity_usdt"] or 0.0 for one in rows))
        ranks = [one["row"]["net_return_percent"] for one in view["arena"]]
        assert ranks == sorted(ranks, reverse=True)
        assert {one["engine"] for one in view["arena"]} == {"own", "whole"}
        page = Elements((await client.get("/engines", headers=HTML)).text)
        assert "there is no log at" in page.text


@in_loop
async def test_two_logs_of_the_library_are_compared(tmp_path: Path) -> None:
    bases = await write_logs(tmp_path, 2)
    a, b = (base.rpartition("/")[2] for base in bases)
    async with serving(tmp_path) as (client, _):
        found = (await client.get("/api/v1/comparison", params={"a": a, "b": b})).json()
        assert (found["equal"], found["difference"]) == (True, None)
        page = Elements((await client.get("/compare", params={"a": a, "b": b}, headers=HTML)).text)
        assert "The same strategies made the same decisions" in page.text
        assert (await client.get("/api/v1/comparison", params={"a": a, "b": "../x"})).status_code == 422


@in_loop
async def test_a_comparison_that_nobody_waited_for_does_not_block_the_next(tmp_path: Path) -> None:
    logs = [await asyncio.to_thread(write_log, tmp_path / name) for name in ("own.db", "b.db", "c.db")]
    a, b, c = (entry_id(path.resolve()) for path in logs)
    library = PageLibrary(LibraryListing(logs[:1], data_folders(logs)), site_of(example_day()), logs[0], None)
    assert await library.comparison(a, b, 0.0) is None
    with pytest.raises(LogBusy):
        await library.comparison(a, c, 0.0)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                found = await library.comparison(a, c, PATIENCE_S)
                break
            except LogBusy:
                await asyncio.sleep(0.05)
    assert found is not None and found.equal
    await library.close()
