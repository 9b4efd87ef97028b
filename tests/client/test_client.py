"""The client decodes every answer, follows the log through a restart of the server, and commands once."""

from __future__ import annotations

import asyncio
import itertools
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from papertape.api.app import application
from papertape.api.listener import listen
from papertape.api.server import serve
from papertape.api.streams import Streams
from papertape.client import ApiProblem, ApiUnreachable, AsyncClient, Call, Client, PauseRequest, SignalRequest, calls
from papertape.client.answers import PAUSE_S_MAX, Retries
from papertape.projections.studies.reader import StudyFolder
from tests.events.loop import in_loop
from tests.studies_file import SMALL_AXES, write_study
from tests.support import REPOSITORY
from tests.web.site import SIGNAL_TOKEN, TOKEN, ListTimeline, example_day, gate_of, served, site_of
from tests.web.test_commands import trading
from tests.web.test_signals import signals_of, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from papertape.projections.site.ports import Site

LOG = example_day()
CLOSED = next(one for one in LOG if type(one.event).__name__ == "PositionClosed")
SEQ = CLOSED.seq
PAUSE = PauseRequest(actor="anna", reason="news")
CALLS: list[Call[Any]] = [
    calls.runners(),
    calls.runner("momentum"),
    calls.arena(as_of=str(SEQ)),
    calls.positions("momentum"),
    calls.orders(),
    calls.trades(result="lost", limit=3),
    calls.equity(),
    calls.days(limit=2),
    calls.risk(),
    calls.signals(),
    calls.candles("BTCUSDT", limit=20, strategy="momentum"),
    calls.conditions("momentum", "BTCUSDT"),
    calls.events(types=["PositionOpened", "PositionClosed"], order="newest", everything=True),
    calls.event(SEQ),
    calls.why(SEQ),
    calls.messages(),
    calls.state(digest=True),
    calls.config(),
    calls.strategies(),
    calls.studies(),
    calls.study("small"),
    calls.study_sets("small", sort="net_usdt", limit=3),
]
RECIPES = re.findall(
    r"```python\n(.*?)```", (REPOSITORY / "docs" / "clients.md").read_text(encoding="utf-8"), re.DOTALL
)
WITHOUT_CALL = {"/api/v1/status", "/api/v1/stream", "/api/v1/trades.csv", "/api/v1/events.csv"}
OF_THE_LIBRARY = {f"/api/v1/{path}" for path in ("library", "engines", "comparison", "jobs", "jobs/{job}")}
"""What a page without data folders does not answer; see `tests/web/test_library.py`."""


def transport_of(site: Site) -> httpx.ASGITransport:
    return httpx.ASGITransport(application(site, gate_of(), Streams(site.timeline)))


@in_loop
async def test_every_view_is_decoded_to_what_the_server_said(tmp_path: Path) -> None:
    write_study(tmp_path, "small", axes=SMALL_AXES)
    site = site_of(list(LOG))
    site.studies = StudyFolder(tmp_path)
    transport = transport_of(site)
    raw = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700")
    async with raw, AsyncClient(transport=transport) as client:
        for call in CALLS:
            said = (await raw.get(f"/api/v1/{call.path}", params=call.parameters)).json()
            assert msgspec.json.decode(msgspec.json.encode(await client.send(call))) == said, call.path
        paths = (await raw.get("/openapi.json")).json()["paths"]
    asked = {f"/api/v1/{call.path}" for call in CALLS}
    views = {path for path, ways in paths.items() if path.startswith("/api/v1") and "get" in ways}
    views -= WITHOUT_CALL | OF_THE_LIBRARY
    assert len(asked) == len(views), sorted(views)


@in_loop
async def test_a_client_without_asyncio_asks_and_follows_over_a_socket() -> None:
    site = site_of(list(LOG[:-3]))

    def use(address: str) -> tuple[int, list[int]]:
        with Client(f"http://{address}") as client:
            head = client.send(calls.arena()).as_of.seq
            return head, [event.seq for event in itertools.islice(client.stream(after_seq=head - 4), 4)]

    async with served(site) as address:
        head, seqs = await asyncio.to_thread(use, address)
    assert (head, seqs) == (len(LOG) - 3, list(range(head - 3, head + 1)))


@pytest.mark.parametrize("number", range(len(RECIPES)))
@in_loop
async def test_the_recipes_of_the_docs_run(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = trading() if "PauseRequest" in RECIPES[number] else (site_of(list(LOG)), None)
    timeline = site.timeline
    assert isinstance(timeline, ListTimeline)

    async def grow() -> None:
        await asyncio.sleep(1.0)
        timeline.grow([replace(CLOSED, seq=timeline.head_seq + 1)])

    async with served(site) as address:
        code = (
            RECIPES[number]
            .replace("127.0.0.1:8700", address)
            .replace('"momentum"', repr(site.timeline.views.strategies[0]))
        )
        growing = asyncio.ensure_future(grow())
        await asyncio.to_thread(exec, compile(code, "clients.md", "exec"), {"TOKEN": TOKEN})
        await growing
    assert capsys.readouterr().out or "PauseRequest" in code


@asynccontextmanager
async def served_at(port: int, site: Site) -> AsyncIterator[None]:
    streams, stop = Streams(site.timeline), asyncio.Event()
    serving = asyncio.ensure_future(
        serve(application(site, gate_of(), streams), listen("127.0.0.1", port), streams, stop)
    )
    try:
        yield
    finally:
        stop.set()
        await serving


@in_loop
async def test_a_stream_goes_on_after_the_server_was_away_and_repeats_nothing() -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    first, second = site_of(list(LOG[:20])), site_of(list(LOG[:30]))
    seqs: list[int] = []
    has_twenty = asyncio.Event()

    async def follow() -> None:
        async with AsyncClient(f"http://127.0.0.1:{port}") as client:
            async for event in client.stream(after_seq=5):
                seqs.append(event.seq)
                if event.seq == 20:
                    has_twenty.set()
                if event.seq == 30:
                    return

    following = asyncio.ensure_future(follow())
    async with served_at(port, first):
        await has_twenty.wait()
    await asyncio.sleep(0.3)
    async with served_at(port, second):
        await following
    assert seqs == list(range(6, 31))


class Flaky(httpx.AsyncBaseTransport):
    """Delivers every request, but loses the answers to the first few."""

    def __init__(self, inner: httpx.AsyncBaseTransport, losses: int) -> None:
        self.inner, self.losses = inner, losses

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        if self.losses:
            self.losses -= 1
            raise httpx.ReadError("the connection was lost", request=request)
        return answer


@in_loop
async def test_a_command_whose_answer_was_lost_is_carried_out_once() -> None:
    site, scenario = trading()
    before = len(scenario.log)
    async with AsyncClient(token=TOKEN, transport=Flaky(transport_of(site), 2)) as client:
        accepted = await client.send(calls.command(PAUSE))
    assert (accepted.first_seq, accepted.last_seq, len(scenario.log)) == (before + 1, before + 1, before + 1)


@in_loop
async def test_a_signal_whose_answer_was_lost_is_recorded_once() -> None:
    site, scenario = watching()
    async with AsyncClient(token=SIGNAL_TOKEN, transport=Flaky(transport_of(site), 1)) as client:
        recorded = await client.send(calls.record_signals(SignalRequest(symbol="X", name="trend", value=1.0)))
    assert recorded.repeated
    assert [signal.value for signal in signals_of(scenario)] == [1.0]


@pytest.mark.parametrize(
    ("call", "status", "type_"),
    [
        (calls.runner("nobody"), 404, "unknown-name"),
        (calls.positions("nobody"), 422, "unknown-name"),
        (calls.days(limit=0), 422, "invalid-request"),
        (calls.command(PAUSE), 401, "token-needed"),
    ],
)
@in_loop
async def test_a_refusal_is_an_error_with_status_type_and_reason(call: Call[Any], status: int, type_: str) -> None:
    async with AsyncClient(transport=transport_of(site_of(list(LOG)))) as client:
        with pytest.raises(ApiProblem) as refusal:
            await client.send(call)
    assert (refusal.value.status, refusal.value.type) == (status, f"urn:papertape:problem:{type_}")
    assert str(refusal.value)


def test_a_refusal_of_another_program_is_an_error_with_its_status() -> None:
    headers = {"content-type": "application/problem+json"}
    refusals = httpx.MockTransport(lambda _: httpx.Response(502, headers=headers, content=b'{"title": "no"}'))
    with Client(transport=refusals) as client, pytest.raises(ApiProblem, match="Bad Gateway") as refusal:
        client.send(calls.arena())
    assert refusal.value.status == 502


@in_loop
async def test_a_server_that_is_not_there_is_named_after_the_patience_is_over() -> None:
    with listen("127.0.0.1", 0) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with AsyncClient(url, patience_s=0.3) as client:
        with pytest.raises(ApiUnreachable, match=r"127\.0\.0\.1"):
            await client.send(calls.arena())


@pytest.mark.parametrize(
    ("outcome", "pauses_s"),
    [
        (lambda: httpx.Response(503), [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]),
        (lambda: httpx.Response(503, headers={"retry-after": "5"}), [5.0, 5.0, 5.0, 5.0, 5.0, 8.0]),
        (lambda: httpx.Response(503, headers={"retry-after": "9999"}), [PAUSE_S_MAX] * 3),
        (
            lambda: httpx.Response(503, headers={"retry-after": "Mon, 01 Jan 2035 00:00:00 GMT"}),
            [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0],
        ),
        (lambda: httpx.Response(422), []),
    ],
)
def test_pauses_grow_and_end_with_the_patience(outcome: Callable[[], httpx.Response], pauses_s: list[float]) -> None:
    now_s = 0.0
    retries, taken = Retries(33.0, lambda: now_s), list[float]()
    while (pause_s := retries.pause_s(outcome())) is not None:
        taken.append(pause_s)
        now_s += pause_s
    assert taken == pauses_s
