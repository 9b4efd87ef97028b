"""Studies over HTTP: the list, one study and its sets, as described; no name reaches another file."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest

from papertape.projections.studies.reader import LEADS_OUT, StudyFolder
from tests.events.loop import in_loop
from tests.studies_file import SMALL_AXES, document, write_examples, write_study
from tests.web.site import BEARER, client_of, example_day, gate_of, site_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from papertape.api.gate import Gate

ROOT = "/api/v1/studies"


@asynccontextmanager
async def client(folder: Path | None, gate: Gate | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a site with a folder of studies."""
    site = site_of(example_day())
    site.studies = None if folder is None else StudyFolder(folder)
    async with client_of(site, gate) as found:
        yield found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a folder with one concluded study."""
    write_study(tmp_path, "momentum-btc", axes=SMALL_AXES, concluded=document(SMALL_AXES))
    return tmp_path


@in_loop
async def test_the_list_names_every_file_with_its_state(tmp_path: Path) -> None:
    write_examples(tmp_path, SMALL_AXES)
    async with client(tmp_path) as there:
        items = (await there.get(ROOT)).json()["items"]
    assert {one["name"]: one["state"] for one in items} == {
        "momentum-btc": "complete", "momentum-running": "running", "momentum-interrupted": "interrupted",
        "momentum-failed": "failed", "newer": "newer", "broken": "unreadable",
    }  # fmt: skip
    assert {one["name"] for one in items if one["problem"]} == {"newer", "broken"}


@in_loop
async def test_a_study_has_its_plan_verdict_and_gates(small: Path) -> None:
    async with client(small) as there:
        found = (await there.get(f"{ROOT}/momentum-btc")).json()
    concluded, conclusions = document(SMALL_AXES), found["conclusions"]
    assert conclusions["verdict"] == msgspec.json.decode(msgspec.json.encode(concluded.verdict))
    assert conclusions["costs"]["net_usdt"] == concluded.costs.net_usdt
    assert [(one["at_ms"], one["equity_usdt"]) for one in conclusions["joined"]] == list(concluded.joined)
    assert [one["out_of_sample"] for one in conclusions["sharpes"]] == [pair.outside for pair in concluded.pairs]
    assert [one["median_r"] for one in conclusions["promise"]["bands"]] == [0.1, 0.2]
    assert found["plan"]["space"]["sets"] == 12


@in_loop
async def test_sets_are_paged_in_the_requested_order(small: Path) -> None:
    numbers: list[int] = []
    query: dict[str, Any] = {"sort": "net_usdt", "order": "descending", "limit": 5}
    async with client(small) as there:
        while True:
            page = (await there.get(f"{ROOT}/momentum-btc/sets", params=query)).json()
            assert page["total"] == 12
            numbers += [one["number"] for one in page["items"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        whole = (await there.get(f"{ROOT}/momentum-btc/sets")).json()["items"]
    assert numbers == [one["number"] for one in sorted(whole, key=lambda one: -one["net_usdt"])]


@pytest.mark.parametrize(
    "query", ["sort=nothing", "sort=number;drop", "limit=0", "limit=1501", "span=-1", "order=up", "x=1"]
)
@in_loop
async def test_an_invalid_query_is_422(small: Path, query: str) -> None:
    async with client(small) as there:
        answer = await there.get(f"{ROOT}/momentum-btc/sets?{query}")
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "name", ["nothing", "..", "../momentum-btc", "/etc/passwd", "\x00", "ledger", "a" * 101, "<b>"]
)
@pytest.mark.parametrize("rest", ["", "/sets"])
@in_loop
async def test_an_unknown_name_is_refused(small: Path, name: str, rest: str) -> None:
    async with client(small / "studies") as inside:
        answer = await inside.get(f"{ROOT}/{quote(name, safe='')}{rest}")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@in_loop
async def test_a_broken_file_is_a_study_with_a_problem_and_without_sets(small: Path) -> None:
    (small / "momentum-btc.db").write_bytes(b"SQLite format 3\x00" + b"\x01" * 4_000)
    async with client(small) as there:
        found = await there.get(f"{ROOT}/momentum-btc")
        sets = await there.get(f"{ROOT}/momentum-btc/sets")
    assert found.status_code == 200
    assert (found.json()["state"], found.json()["plan"]) == ("unreadable", None)
    assert sets.status_code == 404
    assert "cannot be read" in sets.json()["detail"]


@in_loop
async def test_a_link_out_of_the_data_folder_is_not_followed(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data" / "studies", tmp_path / "elsewhere"
    write_study(elsewhere, "private", axes=SMALL_AXES)
    write_study(data.parent / "kept", "archived", axes=SMALL_AXES)
    data.mkdir()
    (data / "out.db").symlink_to(elsewhere / "private.db")
    (data / "inside.db").symlink_to(data.parent / "kept" / "archived.db")
    async with client(data) as there:
        items = {one["name"]: one for one in (await there.get(ROOT)).json()["items"]}
        study = (await there.get(f"{ROOT}/out")).json()
        sets = await there.get(f"{ROOT}/out/sets")
    assert (items["out"]["state"], items["out"]["problem"]) == ("unreadable", LEADS_OUT)
    assert (items["inside"]["state"], items["inside"]["problem"]) == ("complete", "")
    assert (study["problem"], study["plan"]) == (LEADS_OUT, None)
    assert (sets.status_code, LEADS_OUT in sets.json()["detail"]) == (404, True)


@in_loop
async def test_without_a_folder_there_is_no_study() -> None:
    async with client(None) as there:
        assert (await there.get(ROOT)).json() == {"items": [], "next": None}
        assert (await there.get(f"{ROOT}/x")).status_code == 404


@in_loop
async def test_studies_need_the_token_where_reading_does(small: Path) -> None:
    async with client(small, gate_of(reading_open=False)) as there:
        for path in ("", "/momentum-btc", "/momentum-btc/sets"):
            assert (await there.get(f"{ROOT}{path}")).status_code == 401
            assert (await there.get(f"{ROOT}{path}", headers=BEARER)).status_code == 200
