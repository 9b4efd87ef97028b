"""Virtual time: it jumps when nothing is left to do, and never over bytes or work that are on their way."""

from __future__ import annotations

import asyncio
import time
from threading import Timer
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.patience import stretched
from tests.sandbox.virtual_time import VirtualClock, VirtualTimeStalled, run, virtual_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WEEK_S = 7 * 86_400.0
START_MS = 1_790_000_000_000
ROUNDS = 1_000


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back every line."""
    while line := await reader.readline():
        writer.write(line)
    writer.close()


def test_a_week_of_sleep_takes_milliseconds() -> None:
    async def main(clock: VirtualClock) -> int:
        await clock.sleep(WEEK_S)
        return clock.now_ms()

    began = time.monotonic()
    assert run(main, START_MS) == START_MS + int(WEEK_S * 1_000)
    assert time.monotonic() - began < stretched(1.0)


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    woken: list[tuple[int, int]] = []

    async def sleeper(clock: VirtualClock, ms: int) -> None:
        await clock.sleep(ms / 1_000.0)
        woken.append((ms, clock.now_ms()))

    async def main(clock: VirtualClock) -> None:
        await asyncio.gather(*(sleeper(clock, ms) for ms in (70_000, 1, 59_999, 60_000, 333)))

    run(main)
    assert woken == [(ms, ms) for ms in (1, 333, 59_999, 60_000, 70_000)]


def test_a_clock_shows_whole_milliseconds_after_many_small_sleeps() -> None:
    async def main(clock: VirtualClock) -> list[int]:
        shown = []
        for _ in range(10_000):
            await clock.sleep(0.3)
            shown.append(clock.now_ms())
        return shown

    assert run(main, START_MS) == [START_MS + 300 * number for number in range(1, 10_001)]


def test_bytes_on_loopback_are_never_overtaken_by_timers() -> None:
    async def main(clock: VirtualClock) -> int:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(ROUNDS):
            async with asyncio.timeout(1.0):
                writer.write(b"%d\n" % number)
                assert await reader.readline() == b"%d\n" % number
        spent_ms = clock.now_ms()
        writer.close()
        server.close()
        await clock.sleep(1.0)
        return spent_ms

    assert run(main) == 0, "a thousand answers cost no virtual time"


def test_new_connections_are_never_overtaken_by_timers() -> None:
    async def main(clock: VirtualClock) -> int:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        for _ in range(ROUNDS // 5):
            async with asyncio.timeout(0.01):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"x\n")
                await reader.readline()
            writer.close()
            await writer.wait_closed()
        spent_ms = clock.now_ms()
        server.close()
        await clock.sleep(1.0)
        return spent_ms

    assert run(main) == 0


def test_a_websocket_and_a_web_client_share_the_loop_with_their_server() -> None:
    async def answer(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async def main(clock: VirtualClock) -> int:
        async with serve(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}") as socket, httpx.AsyncClient(timeout=1.0) as http:
                for number in range(100):
                    await socket.send(str(number))
                    assert await socket.recv() == str(number)
                    await clock.sleep(1.0)
                assert (await http.get(f"http://127.0.0.1:{port}")).status_code == 426
        return clock.now_ms()

    assert run(main) < 101_000


def work() -> str:
    """A tenth of a real second."""
    time.sleep(0.1)
    return "done"


def test_time_stands_still_while_an_executor_works() -> None:
    async def main(clock: VirtualClock) -> tuple[int, str]:
        async with asyncio.timeout(0.01):
            done = await asyncio.to_thread(work)
        return clock.now_ms(), done

    assert run(main) == (0, "done")


def test_time_stands_still_while_a_thread_works_of_which_the_loop_was_told() -> None:
    async def main(clock: VirtualClock) -> int:
        told = asyncio.Event()
        loop = virtual_loop()
        Timer(0.1, loop.call_soon_threadsafe, [told.set]).start()
        with loop.real_work():
            async with asyncio.timeout(0.01):
                await told.wait()
        return clock.now_ms()

    assert run(main) == 0


async def wait_for_nobody(_clock: VirtualClock) -> None:
    """What is awaited never comes."""
    await asyncio.Event().wait()


async def spin(_clock: VirtualClock) -> None:
    """Nothing but zero sleeps."""
    for _ in range(1_000_000_000):
        await asyncio.sleep(0)


@pytest.mark.parametrize("stuck", [wait_for_nobody, spin])
def test_a_run_without_progress_ends_with_an_error(stuck: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    with pytest.raises(VirtualTimeStalled, match="nothing moves"):
        run(stuck, stall_s=0.2)


def test_a_run_that_sleeps_for_ever_ends_with_an_error() -> None:
    async def main(clock: VirtualClock) -> None:
        while True:
            await clock.sleep(60.0)

    with pytest.raises(VirtualTimeStalled, match="never comes"):
        run(main, virtual_s_max=3_600.0)
