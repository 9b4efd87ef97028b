"""A command with an `Idempotency-Key` is carried out once, however often it is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from papertape.api.repetitions import KEPT_S, KEYS_MAX, Repetitions
from papertape.events.errors import CommandUnanswered
from tests.events.loop import in_loop
from tests.web.site import client_of
from tests.web.test_commands import given, trading

if TYPE_CHECKING:
    from collections.abc import Callable


def request(key: str | None, body: bytes = b"{}", path: str = "/pause") -> Request:
    headers = [] if key is None else [(b"idempotency-key", key.encode())]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "path": path, "headers": headers}, receive)


class Counter:
    """Answers with the number of calls; may wait, fail or find nobody."""

    def __init__(self, *, status: int = 200, error: Exception | None = None) -> None:
        self.calls = 0
        self.status, self.error = status, error
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Response:
        self.calls += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Response(str(self.calls), self.status, media_type="application/json")


@in_loop
async def test_a_repeated_command_changes_nothing() -> None:
    site, scenario = trading()
    async with client_of(site) as client:
        client.headers["idempotency-key"] = "anna-1"
        first = await given(client, "pause")
        before = len(scenario.log)
        again = await given(client, "pause")
        assert (again.status_code, again.content, again.headers["content-type"]) == (
            200, first.content, "application/json",
        )  # fmt: skip
        other = await given(client, "pause", reason="something else")
        assert other.status_code == 422
        assert "was used for another request" in other.json()["detail"]
        assert (await given(client, "resume")).status_code == 422
    assert len(scenario.log) == before


@in_loop
async def test_a_repetition_waits_for_the_first_answer() -> None:
    repetitions, make = Repetitions(), Counter()
    make.go.clear()
    sent = [asyncio.ensure_future(repetitions.once(request("a"), make)) for _ in range(3)]
    await asyncio.sleep(0)
    sent[0].cancel()
    make.go.set()
    answers = await asyncio.gather(*sent, return_exceptions=True)
    assert [getattr(answer, "body", None) for answer in answers] == [None, b"1", b"1"]
    assert make.calls == 1


@in_loop
async def test_without_a_key_and_with_another_one_it_is_another_command() -> None:
    repetitions, make = Repetitions(), Counter()
    for key in (None, None, "a", "b"):
        await repetitions.once(request(key), make)
    assert make.calls == 4


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (lambda: Counter(status=503), 2),
        (lambda: Counter(status=409), 1),
        (lambda: Counter(error=HTTPException(409, "tripped already")), 2),
        (lambda: Counter(error=CommandUnanswered("no answer")), 1),
    ],
)
@in_loop
async def test_what_nobody_took_may_be_repeated_and_an_unknown_outcome_stays_unknown(
    make: Callable[[], Counter], calls: int
) -> None:
    repetitions, counter = Repetitions(), make()
    for _ in range(2):
        if counter.error is None:
            assert (await repetitions.once(request("a"), counter)).status_code == counter.status
        else:
            with pytest.raises(type(counter.error)):
                await repetitions.once(request("a"), counter)
    assert counter.calls == calls


@in_loop
async def test_a_refusal_that_nobody_waited_for_is_not_the_answer_to_a_repetition() -> None:
    repetitions, make = Repetitions(), Counter(error=HTTPException(409, "tripped already"))
    make.go.clear()
    sent = asyncio.ensure_future(repetitions.once(request("a"), make))
    await asyncio.sleep(0.01)
    sent.cancel()
    await asyncio.gather(sent, return_exceptions=True)
    make.go.set()
    await asyncio.sleep(0.01)
    make.error = None
    assert (await repetitions.once(request("a"), make)).body == b"2"


@in_loop
async def test_keys_are_forgotten_after_a_day_and_beyond_a_number() -> None:
    now_s = 0.0
    repetitions, make = Repetitions(lambda: now_s), Counter()
    await repetitions.once(request("a"), make)
    now_s = KEPT_S - 1.0
    await repetitions.once(request("a"), make)
    assert make.calls == 1
    now_s = KEPT_S + 1.0
    await repetitions.once(request("a"), make)
    assert make.calls == 2
    for number in range(KEYS_MAX):
        await repetitions.once(request(f"key {number}"), make)
    await repetitions.once(request("a"), make)
    assert make.calls == KEYS_MAX + 3


@pytest.mark.parametrize("key", ["", "x" * 201])
@in_loop
async def test_a_key_has_limits(key: str) -> None:
    with pytest.raises(HTTPException, match="1 to 200 characters"):
        await Repetitions().once(request(key), Counter())
