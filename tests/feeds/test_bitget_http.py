"""The exchange of messages: answers that are none, errors by name, pauses, pace, and the server's time."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from itertools import pairwise

import pytest

from papertape.engine.feeds.bitget.rest import BitgetRest
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.ports.feed import RefusalLog, RefusalReason
from papertape.events.errors import ExchangeBusy, ExchangeRefused, ExchangeUnreachable
from tests.feeds.http_script import T0_MS, Answer, Parts, Script, failure, http, scripted, success, timed, used
from tests.sandbox.virtual_time import VirtualClock, run


async def ask_time(rest: BitgetRest, _script: Script) -> int:
    return await rest.server_time_ms()


async def tried(rest: BitgetRest) -> type[Exception] | None:
    try:
        await rest.server_time_ms()
    except (ExchangeUnreachable, ExchangeBusy, ExchangeRefused) as error:
        return type(error)
    return None


# ---------------------------------------------------------------- answers that are none

HTML = "<html><body>checking your browser</body></html>"
REDIRECT = http("", 302, "location: http://127.0.0.1:1/else")
CUT = [*http('{"code":"00000","data":{"serverTime":"17900', length=500), b""]
UNREACHABLE: list[tuple[str, Parts, RefusalReason | None]] = [
    ("html with 200", http(HTML), RefusalReason.NOT_JSON),
    ("html with 403", http(HTML, 403), RefusalReason.NOT_JSON),
    ("html with 502", http(HTML, 502), None),
    ("json with 500", failure("50000", "internal", 500), None),
    ("40034 with 500", failure("40034", "no such symbol", 500), None),
    ("a redirect", REDIRECT, RefusalReason.NOT_JSON),
    ("nothing", http(""), RefusalReason.NOT_JSON),
    ("a body cut by the length", http('{"code":"00000","msg":"succ'), RefusalReason.NOT_JSON),
    ("a body cut by the wire", CUT, None),
    ("no answer at all", [b""], None),
    ("no http", [b"SSH-2.0-OpenSSH\r\n\r\n"], None),
    ("silence", [600.0], None),
    ("a list", http("[]"), RefusalReason.WRONG_SHAPE),
    ("no code", http('{"data":{"serverTime":"1790000108123"}}'), RefusalReason.WRONG_SHAPE),
    ("a code that is a fraction", http('{"code":0.5,"data":{}}'), RefusalReason.WRONG_SHAPE),
    (
        "success with 400",
        http('{"code":"00000","data":{"serverTime":"1790000108123"}}', 400),
        RefusalReason.WRONG_SHAPE,
    ),
    ("no data", http('{"code":"00000"}'), RefusalReason.WRONG_SHAPE),
    ("other data", success([1]), RefusalReason.WRONG_SHAPE),
    ("a number instead of a text", success({"serverTime": T0_MS}), RefusalReason.WRONG_SHAPE),
    ("a time in seconds", success({"serverTime": "1790000108.5"}), RefusalReason.NOT_A_NUMBER),
    ("bytes that are no text", http(b'{"code":"\xff\xfe"}'), RefusalReason.NOT_JSON),
    ("brackets without end", http("[" * 100_000), RefusalReason.NOT_JSON),
    ("system abnormal", failure("40015", "system abnormal"), None),
    ("unknown error", failure("45001", "unknown error"), None),
    ("an upgrade", failure("30038", "upgrading", 200), None),
]


@pytest.mark.parametrize(("parts", "reason"), [case[1:] for case in UNREACHABLE], ids=[case[0] for case in UNREACHABLE])
def test_an_answer_that_is_none_is_unreachable(parts: Parts, reason: RefusalReason | None) -> None:
    refusals = RefusalLog()
    with pytest.raises(ExchangeUnreachable, match=r"time: |cannot be reached"):
        used(lambda _path, _params: parts, ask_time, refusals)
    assert refusals.counts == ({reason: 1} if reason else {})


def test_nobody_there_is_unreachable() -> None:
    async def main(clock: VirtualClock) -> None:
        async with scripted(lambda _path, _params: []) as script:
            url = script.url
        rest = BitgetRest(BitgetSettings(rest_url=url), clock, RefusalLog())
        with pytest.raises(ExchangeUnreachable):
            await rest.server_time_ms()
        await rest.close()

    run(main, start_ms=T0_MS)


@pytest.mark.parametrize(("code", "status"), [("40034", 400), ("40034", 200), (40034, 400), ("400171", 400)])
def test_an_error_of_the_exchange_keeps_its_code_and_words(code: str | int, status: int) -> None:
    with pytest.raises(ExchangeRefused, match="Parameter NOPEUSDT does not exist") as caught:
        used(lambda _path, _params: failure(code, "Parameter NOPEUSDT\n does not  exist", status), ask_time)
    assert caught.value.code == str(code)


@pytest.mark.parametrize("code", ["00000", 0])
def test_a_code_may_be_a_number(code: str | int) -> None:
    body = json.dumps({"code": code, "data": {"serverTime": str(T0_MS)}, "more": 1})
    assert used(lambda _path, _params: http(body), ask_time) == T0_MS


def test_an_oversized_body_is_not_read_to_its_end() -> None:
    refusals, endless = RefusalLog(), [*http("", length=10**9), *[b" " * 10_000] * 10_000]

    async def use(rest: BitgetRest, _script: Script) -> None:
        with pytest.raises(ExchangeUnreachable, match="larger than 50000 bytes"):
            await rest.server_time_ms()

    used(lambda _path, _params: endless, use, refusals, body_bytes_max=50_000)
    assert refusals.counts == {RefusalReason.TOO_LARGE: 1}


@pytest.mark.parametrize(("speed", "limit_s"), [(1.0, 10.0), (5.0, 2.0), (1_000.0, 1.0)])
def test_a_body_that_drips_ends_with_the_timeout(speed: float, limit_s: float) -> None:
    drop: Parts = [b" ", 0.5]
    drips: Parts = [*http("", length=10**6), *drop * 1_000]

    async def use(rest: BitgetRest, _script: Script) -> float:
        with pytest.raises(ExchangeUnreachable, match="no complete answer within"):
            await rest.server_time_ms()
        return asyncio.get_running_loop().time()

    assert used(lambda _path, _params: drips, use, speed=speed) == pytest.approx(limit_s, abs=0.01)


def test_after_close_the_client_connects_anew() -> None:
    async def use(rest: BitgetRest, script: Script) -> int:
        await rest.server_time_ms()
        await rest.close()
        await rest.server_time_ms()
        return len(script.requests)

    assert used(timed(lambda _path, _params: []), use) == 2


# ---------------------------------------------------------------- too many requests


def busy_then_good(refusals: int, *headers: str, status: int = 429) -> Answer:
    left = [refusals]

    def answer(_path: str, _params: dict[str, str]) -> Parts:
        left[0] -= 1
        return failure("429", "Too Many Requests", status, *headers) if left[0] >= 0 else success({"serverTime": "1"})

    return answer


def between(times_s: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times_s)]


async def ask_until_good(rest: BitgetRest, script: Script) -> list[float]:
    for _ in range(20):
        if await tried(rest) is None:
            break
    return between(script.times_s)


def test_pauses_double_up_to_five_minutes_with_jitter() -> None:
    waits = used(busy_then_good(12), ask_until_good)
    for wait_s, least_s in zip(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300], strict=True):
        assert least_s <= wait_s <= least_s * 1.25 + 0.1


@pytest.mark.parametrize("status", [429, 400, 200])
def test_a_busy_exchange_is_known_by_status_or_code(status: int) -> None:
    assert len(used(busy_then_good(1, status=status), ask_until_good)) == 1
    with pytest.raises(ExchangeBusy, match="too many requests"):
        used(busy_then_good(1, status=status), ask_time)


def test_a_busy_page_without_json_is_busy_too() -> None:
    with pytest.raises(ExchangeBusy):
        used(lambda _path, _params: http(HTML, 429), ask_time)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["retry-after: 7"], 7.0),
        (["retry-after: 7.5"], 7.5),
        ([f"retry-after: {formatdate(1_000_090, usegmt=True)}", f"date: {formatdate(1_000_000, usegmt=True)}"], 90.0),
        (["retry-after: -3"], 0.0),
        (["retry-after: nan"], 0.0),
        (["retry-after: soon"], 0.0),
    ],
)
def test_retry_after_is_kept(headers: list[str], seconds: float) -> None:
    async def use(rest: BitgetRest, script: Script) -> tuple[float, float]:
        with pytest.raises(ExchangeBusy) as caught:
            await rest.server_time_ms()
        await rest.server_time_ms()
        return caught.value.retry_after_s, between(script.times_s)[0]

    said_s, waited_s = used(busy_then_good(1, *headers), use)
    assert said_s == seconds
    assert (seconds or 1.0) <= waited_s <= (seconds or 1.0) * 1.25 + 0.1


def test_success_lets_pauses_begin_anew() -> None:
    statuses = iter([429, 429, 200, 429, 200])

    def answer(_path: str, _params: dict[str, str]) -> Parts:
        status = next(statuses)
        return success({"serverTime": "1"}) if status == 200 else failure("429", "", status)

    async def use(rest: BitgetRest, script: Script) -> list[float]:
        for _ in range(5):
            await tried(rest)
        return between(script.times_s)

    waits = used(answer, use)
    assert waits[1] >= 2.0 and waits[2] < 0.1
    assert 1.0 <= waits[3] <= 1.3


def test_requests_refused_together_begin_one_pause() -> None:
    def answer(_path: str, _params: dict[str, str]) -> Parts:
        return [0.2, *failure("429", "")]

    async def use(rest: BitgetRest, script: Script) -> list[float]:
        await asyncio.gather(*[tried(rest) for _ in range(4)])
        await tried(rest)
        return between(script.times_s)

    *_, waited_s = used(answer, use)
    assert 1.0 <= waited_s <= 1.5


# ---------------------------------------------------------------- pace


@pytest.mark.parametrize(("per_s", "burst"), [(10.0, 10), (7.5, 7), (20.0, 10), (15.0, 10), (0.5, 1), (1.0, 1)])
def test_no_second_holds_more_requests_than_agreed(per_s: float, burst: int) -> None:
    async def use(rest: BitgetRest, script: Script) -> list[float]:
        await asyncio.gather(*[rest.server_time_ms() for _ in range(45)])
        return script.times_s

    times_s = used(timed(lambda _path, _params: []), use, requests_per_s=per_s)
    for at_s in times_s:
        assert sum(1 for other_s in times_s if at_s <= other_s < at_s + 1.0) <= max(1.0, per_s)
    assert sum(1 for at_s in times_s if at_s < 0.05) == burst
    assert times_s[-1] <= (45 - burst) / max(0.5, int(per_s)) + 2.5


def test_at_most_four_requests_are_under_way() -> None:
    async def use(rest: BitgetRest, script: Script) -> int:
        await asyncio.gather(*[rest.server_time_ms() for _ in range(20)])
        return script.open_max

    assert used(lambda _path, _params: [0.5, *success({"serverTime": "1"})], use) == 4


# ---------------------------------------------------------------- time


def test_the_offset_is_the_servers_clock_minus_ours_at_the_middle_of_the_way() -> None:
    async def use(rest: BitgetRest, _script: Script) -> tuple[int, int, int]:
        before = rest.offset_ms
        return before, await rest.server_time_ms(), rest.offset_ms

    before, now_ms, offset_ms = used(lambda _p, _q: [2.0, *success({"serverTime": str(T0_MS + 5_000)})], use)
    assert before == 0
    assert offset_ms == pytest.approx(4_000, abs=2)
    assert now_ms == pytest.approx(T0_MS + 6_000, abs=2)
