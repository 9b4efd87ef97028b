"""An assistant asks over the Model Context Protocol: it reads everything as of any moment, and changes nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from papertape.client import AsyncClient
from papertape.projections.studies.reader import StudyFolder
from tests.client.test_client import CLOSED, LOG, transport_of
from tests.events.loop import in_loop
from tests.studies_file import SMALL_AXES, write_study
from tests.support import REPOSITORY
from tests.web.site import served, site_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SEQ = CLOSED.seq


def asking(page: AsyncClient) -> Any:
    """An assistant that asks a page. What it imports takes 2 s, which most workers need not spend."""
    from mcp import Client  # noqa: PLC0415

    from papertape.cli.service.assistant import make_server  # noqa: PLC0415

    return Client(make_server(page))


QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "arena": ({"as_of": str(SEQ)}, f"arena?as_of={SEQ}"),
    "strategy": ({"name": "momentum"}, "runners/momentum"),
    "positions": ({}, "positions"),
    "orders": ({"strategy": "momentum"}, "orders?strategy=momentum"),
    "trades": ({"result": "lost", "limit": 2}, "trades?result=lost&limit=2"),
    "events": (
        {"types": ["PositionClosed"], "from_": "2020-01-01", "before": SEQ, "limit": 3},
        f"events?type=PositionClosed&from=2020-01-01&before={SEQ}&order=newest&limit=3",
    ),
    "why": ({"seq": SEQ}, f"why/{SEQ}"),
    "whynot": ({"strategy": "momentum", "symbol": "BTCUSDT"}, "conditions?strategy=momentum&symbol=BTCUSDT"),
    "risk": ({"as_of": SEQ}, f"risk?as_of={SEQ}"),
}


@pytest.mark.system
@in_loop
async def test_every_tool_answers_what_the_api_says_and_only_reads() -> None:
    transport = transport_of(site_of(list(LOG)))
    asked: list[str] = []

    class Watched(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.method)
            return await transport.handle_async_request(request)

    raw = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700/api/v1/")
    async with raw, AsyncClient(transport=Watched()) as page, asking(page) as assistant:
        tools = {tool.name: tool for tool in (await assistant.list_tools()).tools}
        assert tools.keys() == {*QUESTIONS, "studies", "study"}
        assert all(tool.annotations and tool.annotations.read_only_hint and tool.description for tool in tools.values())
        for name, (arguments, path) in QUESTIONS.items():
            told = await assistant.call_tool(name, arguments)
            assert told.structured_content == (await raw.get(path)).json(), name
    assert set(asked) == {"GET"}


@pytest.mark.parametrize(
    ("tool", "path"), [("trades", "trades"), ("events", "events?order=newest"), ("studies", "studies")]
)
@in_loop
async def test_a_list_is_read_to_its_end_page_by_page(tool: str, path: str, tmp_path: Path) -> None:
    site = site_of(list(LOG))
    site.studies = StudyFolder(tmp_path)
    for name in ("first", "second", "third"):
        write_study(tmp_path, name, axes=SMALL_AXES)
    transport = transport_of(site)
    raw = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700/api/v1/")
    async with raw, AsyncClient(transport=transport) as page, asking(page) as assistant:
        whole = page_of((await raw.get(httpx.URL(path).copy_merge_params({"limit": 1_500}))).json())["items"]
        found, pages, arguments = list[Any](), 0, {"limit": max(1, len(whole) // 3)}
        while len(found) < len(whole):
            told = await assistant.call_tool(tool, arguments)
            assert not told.is_error, told.content
            answer = page_of(told.structured_content)
            found, pages, arguments["cursor"] = [*found, *answer["items"]], pages + 1, answer["next"]
            if tool != "studies":
                arguments["as_of"] = told.structured_content["as_of"]["seq"]
    assert pages > 1
    assert arguments["cursor"] is None
    assert found == whole


def page_of(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the page in an answer, which may name the moment that it is as of."""
    page: dict[str, Any] = answer.get("data", answer)
    return page


@in_loop
async def test_a_refusal_is_told_in_words() -> None:
    async with AsyncClient(transport=transport_of(site_of(list(LOG)))) as page, asking(page) as assistant:
        told = await assistant.call_tool("strategy", {"name": "nobody"})
    assert told.is_error
    assert "there is no strategy 'nobody' here; there are: momentum" in str(told.content)


@pytest.mark.system
@in_loop
async def test_the_command_speaks_the_protocol_on_its_standard_streams() -> None:
    from mcp import Client, StdioServerParameters  # noqa: PLC0415

    environment: Mapping[str, str] = {**os.environ, "NO_COLOR": "1"}
    async with served(site_of(list(LOG))) as address:
        command = ["-m", "papertape.cli", "mcp", "--url", f"http://{address}"]
        parameters = StdioServerParameters(command=sys.executable, args=command, env=dict(environment), cwd=REPOSITORY)
        async with Client(parameters) as assistant:
            told = await assistant.call_tool("arena", {})
    assert not told.is_error
    assert "momentum" in str(told.structured_content)
