"""The running engine's control socket: its status, and a crash where that is allowed."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from papertape.cli.service.engine_client import CACHED_S, EngineClient
from papertape.cli.service.engine_status import make_status_report
from papertape.engine.control_socket import STATUS_S_MAX, ControlServer, EngineNotRunning, request_status, socket_path
from papertape.engine.ports.clock import ManualClock
from papertape.engine.process_health import ProcessHealthProbe
from papertape.engine.startup import open_engine
from papertape.events.commands import Kill
from papertape.events.errors import CommandRefused, UsageError
from tests.build import candle, listed
from tests.engine.logs import recorded
from tests.engine.parts import settings
from tests.engine.processes import ok, running
from tests.events.loop import in_loop
from tests.patience import PATIENCE_S, stretched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from papertape.engine.startup import Engine
    from papertape.projections.site.ports import EnginePort, EngineStatus

pytestmark = pytest.mark.system

SIM = ("run", "--feed", "sim", "--json", "--db", "log.db", "--set", "feed.sim.warm_up_days=0", "feed.sim.days=1")
ANNA = ("anna", "looked at it")
CSV = "open_time_ms,open,high,low,close,volume\n"


def as_port(door: EngineClient) -> EnginePort:
    """Let the type checker compare the client with the port."""
    return door


class Hand:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def opened(
    made: Engine, db: Path, status: Callable[[], Awaitable[dict[str, object]]] | None = None
) -> AsyncIterator[None]:
    door = ControlServer(
        db,
        made.commands,
        print,
        status or make_status_report(made, ProcessHealthProbe(db.parent, made.loop.latencies), None),
    )
    await door.open()
    serving = asyncio.ensure_future(made.commands.serve())
    try:
        yield
    finally:
        await door.close()
        made.commands.close()
        await serving


@in_loop
async def test_without_companions_the_status_is_what_the_engine_knows_alone(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made, opened(made, db):
        await made.loop.take([candle(0, 100.0, "X")])
        said = await as_port(EngineClient(db)).status()
        assert said is not None
        assert (said.head_seq, said.recovered_seq, said.ending) == (made.log.head.seq, 0, False)
        assert (said.digest_at_start, said.started_at_ms) == (made.digest_at_start, made.started_at_ms)
        assert said.commit_p99_ms is not None and said.commit_p99_ms > 0.0
        assert said.disk_free_bytes is not None
        assert said.tasks is not None and said.tasks > len(asyncio.all_tasks()) - 1 > 0
        assert (said.watchdog, said.oldest_alert_age_s, said.loop_lag_ms) == (None, None, None)
        assert said.newest_snapshot_seq == 0


@in_loop
async def test_the_newest_snapshot_is_one_that_was_saved(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), lambda _: None) as made:
        say = make_status_report(made, ProcessHealthProbe(db.parent, made.loop.latencies), None)
        await made.loop.take([candle(0, 100.0, "X")])
        await made.loop.snapshot()
        saved_seq = made.log.head.seq
        assert (await say())["newest_snapshot_seq"] == saved_seq
        (folder := tmp_path / "log.db.snapshots").rename(tmp_path / "elsewhere")
        folder.write_text("no folder can be here")
        await made.loop.take([candle(1, 100.0, "X")])
        await made.loop.snapshot()
        assert (await say())["newest_snapshot_seq"] == saved_seq != made.log.head.seq


@in_loop
async def test_it_is_asked_once_a_second_however_many_want_to_know(tmp_path: Path) -> None:
    db, asked, clock = tmp_path / "log.db", 0, Hand()
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made:
        say = make_status_report(made, ProcessHealthProbe(db.parent, made.loop.latencies), None)

        async def counted() -> dict[str, object]:
            nonlocal asked
            asked += 1
            return await say()

        async with opened(made, db, counted):
            door = EngineClient(db, clock)
            found = await asyncio.gather(*[door.status() for _ in range(50)])
            assert asked == 1 and found[0] is not None and all(one == found[0] for one in found)
            clock.now_s += CACHED_S
            await door.status()
            assert asked == 2


@in_loop
async def test_nobody_there_is_none_and_commands_say_so(tmp_path: Path) -> None:
    door = EngineClient(tmp_path / "log.db")
    assert await door.status() is None
    with pytest.raises(UsageError):
        await door.submit(Kill(*ANNA))
    with pytest.raises(EngineNotRunning):
        await door.crash()


@in_loop
async def test_an_engine_that_takes_its_time_is_not_waited_for(tmp_path: Path) -> None:
    db = tmp_path / "log.db"

    async def never() -> dict[str, object]:
        await asyncio.sleep(60.0)
        raise AssertionError

    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made, opened(made, db, never):
        begun_s = asyncio.get_running_loop().time()
        assert await EngineClient(db).status() is None
        assert asyncio.get_running_loop().time() - begun_s < stretched(STATUS_S_MAX + 1.0)


@pytest.mark.parametrize("line", [b"", b"rubbish\n", b"{}\n", b'{"status":{"version":1}}\n', b'{"status":[]}\n'])
def test_whoever_else_answers_there_is_no_engine(tmp_path: Path, line: bytes) -> None:
    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(line)
        await writer.drain()
        writer.close()

    async def story() -> None:
        db = tmp_path / "log.db"
        async with await asyncio.start_unix_server(visited, socket_path(db)):
            assert await EngineClient(db).status() is None
            with pytest.raises(CommandRefused):
                await EngineClient(db).crash()

    asyncio.run(story())


@in_loop
async def test_a_long_status_comes_whole(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    long: dict[str, object] = {"words": "x" * 200_000}

    async def say() -> dict[str, object]:
        return long

    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made, opened(made, db, say):
        assert await request_status(db) == long


@in_loop
async def test_only_a_simulated_market_crashes(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made, opened(made, db):
        with pytest.raises(CommandRefused, match="simulated"):
            await EngineClient(db).crash()
        assert await EngineClient(db).status() is not None


# ---------------------------------------------------------------- the real program


def asked(db: Path) -> EngineStatus:
    """Ask until an answer comes: where others use the processor, one takes longer than a client waits."""
    ends_s = time.monotonic() + PATIENCE_S
    while (said := asyncio.run(EngineClient(db).status())) is None:
        assert time.monotonic() < ends_s
    return said


@pytest.mark.parametrize("speed", ["max", "6000"])
def test_a_crash_is_a_kill_and_the_next_start_has_the_state_that_the_log_says(tmp_path: Path, speed: str) -> None:
    db, arguments = tmp_path / "log.db", (*SIM, "--speed", speed)
    with running(tmp_path, *arguments, until='"PositionOpened"') as process:
        before = asked(db)
        assert (before.pid, before.recovered_seq, before.replayed_events) == (process.pid, 0, 0)
        assert (before.watchdog is None) == (speed == "max"), "at full speed nobody attends"
        asyncio.run(EngineClient(db).crash())
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    head_seq = recorded(db)[-1].seq
    with running(tmp_path, *arguments, until='"EngineStarted"') as process:
        after = asked(db)
        assert (after.pid, after.recovered_seq) == (process.pid, head_seq)
        assert after.snapshot_seq + after.replayed_events == head_seq
        assert after.recovery_ms > 0.0
        process.kill()
        process.wait(PATIENCE_S)
    printed = ok(tmp_path, "replay", "--digest", "--to", str(head_seq), "--db", "log.db").strip()
    assert after.digest_at_start == printed != before.digest_at_start


def test_a_recorded_market_does_not_crash(tmp_path: Path) -> None:
    file = tmp_path / "X_1m.csv"
    file.write_text(CSV + "".join(f"{1735689600000 + 60_000 * n},100,101,99,100,1\n" for n in range(10)))
    arguments = ("run", "--feed", "file", "--candles", f"X={file}", "--speed", "max", "--json", "--db", "log.db")
    with running(tmp_path, *arguments, until='"CandleClosed"') as process:
        with pytest.raises(CommandRefused, match="simulated"):
            asyncio.run(EngineClient(tmp_path / "log.db").crash())
        assert process.poll() is None
