"""Humans' commands are executed while the engine runs, from the terminal, and on a log that no engine holds."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

from papertape.engine.command_queue import WAITING_MAX, command_events
from papertape.engine.control_socket import ControlServer, EngineNotRunning, send_command, socket_path
from papertape.engine.ports.clock import ManualClock
from papertape.engine.startup import open_engine
from papertape.events.commands import TEXT_CHARS_MAX, Accepted, Close, Kill, Pause, Reset, Resume, StateCommand
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    CloseRequested,
    KillSwitchReset,
    KillSwitchTripped,
    OrderPlaced,
    PositionClosed,
    RunnerPaused,
    RunnerResumed,
)
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, candle, listed
from tests.cli.written_log import write_log
from tests.engine.logs import of_type
from tests.engine.parts import settings
from tests.engine.processes import ok, papertape, running
from tests.events.loop import in_loop
from tests.kernel.scenario import BUY, Scenario
from tests.kernel.scripted.scripted import BUY as TOLD_BUY

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.startup import Engine

ANNA = ("anna", "looked at it")


def scenario_with_positions() -> Scenario:
    """Positions in A and B, and C flat."""
    scenario = Scenario([listed("A"), listed("B"), listed("C")])
    for symbol in "AB":
        scenario.enter(BUY, symbol=symbol)
    return scenario


def test_close_all_asks_once_for_every_position_that_is_not_closing_yet() -> None:
    scenario = scenario_with_positions()
    at_ms = DAY_0_MS + 2 * MINUTE_MS
    scenario.tell(CloseRequested(at_ms, "scripted", "B", *ANNA))
    assert command_events(scenario.world, Close(*ANNA)) == [CloseRequested(at_ms, "scripted", "A", *ANNA)]
    assert command_events(scenario.world, Close(*ANNA, symbol="A")) == [CloseRequested(at_ms, "scripted", "A", *ANNA)]
    with pytest.raises(CommandRefused, match="no open position"):
        command_events(scenario.world, Close(*ANNA, symbol="C"))


def test_pause_and_resume_mean_those_that_are_not_in_that_state() -> None:
    world = scenario_with_positions().world
    assert command_events(world, Pause(*ANNA)) == [RunnerPaused(DAY_0_MS + 2 * MINUTE_MS, "scripted", *ANNA)]
    with pytest.raises(CommandRefused, match="already running"):
        command_events(world, Resume(*ANNA))
    with pytest.raises(CommandRefused, match="there is no strategy 'nobody'; there are scripted, all"):
        command_events(world, Pause(*ANNA, strategy="nobody"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Pause(*ANNA, strategy="scriptd"), "no strategy 'scriptd'; did you mean scripted?"),
        (Resume(*ANNA, strategy="script"), "no strategy 'script'; did you mean scripted?"),
        (Close(*ANNA, strategy="Scripted"), "no strategy 'Scripted'; did you mean scripted?"),
        (Close(*ANNA, symbol="b"), "no symbol 'b'; did you mean B?"),
        (Close(*ANNA, strategy="scripted", symbol="nothing"), "no symbol 'nothing'; there are"),
        (Kill(*ANNA, scope="scriptd"), "no strategy 'scriptd'; did you mean scripted?"),
        (Reset(*ANNA, "globl", 1), "no strategy 'globl'; did you mean global?"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest_one(command: StateCommand, words: str) -> None:
    with pytest.raises(CommandRefused, match=re.escape(words)):
        command_events(scenario_with_positions().world, command)


def test_a_kill_carries_the_numbers_of_the_moment_and_stands_once() -> None:
    scenario = scenario_with_positions()
    (trip,) = command_events(scenario.world, Kill(*ANNA))
    assert isinstance(trip, KillSwitchTripped)
    assert (trip.scope, trip.reason, trip.who, trip.why) == ("global", "manual", *ANNA)
    assert trip.equity_usdt == scenario.account.equity_usdt
    scenario.tell(trip)
    with pytest.raises(CommandRefused, match="tripped already"):
        command_events(scenario.world, Kill(*ANNA))


@pytest.mark.parametrize("command", [Pause("", "why"), Pause("anna", " \n "), Kill("anna", "")])
def test_a_command_needs_who_and_why(command: StateCommand) -> None:
    with pytest.raises(CommandRefused, match="a command needs wh"):
        command_events(scenario_with_positions().world, command)


async def with_position(made: Engine) -> None:
    await made.loop.take([candle(0, 100.0, "X", volume=TOLD_BUY), candle(1, 100.0, "X")])


@in_loop
async def test_a_command_to_a_running_engine_is_committed_before_it_is_answered(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made:
        await with_position(made)
        serving = asyncio.ensure_future(made.commands.serve())
        accepted = await made.commands.submit(Close(*ANNA))
        assert (
            accepted
            == Accepted(made.log.head.seq - 1, made.log.head.seq)
            == Accepted(made.bus.head_seq - 1, made.bus.head_seq)
        )
        with pytest.raises(CommandRefused, match="no open position"):
            await made.commands.submit(Close(*ANNA))
        await made.loop.take([candle(2, 101.0, "X")])
        made.commands.close()
        await serving
        with pytest.raises(CommandRefused, match="stopping"):
            await made.commands.submit(Kill(*ANNA))
    assert [type(event) for event in of_type(db, CloseRequested, PositionClosed)] == [CloseRequested, PositionClosed]


@in_loop
async def test_a_command_is_executed_even_if_its_sender_goes_away(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made:
        asking = asyncio.ensure_future(made.commands.submit(Kill(*ANNA)))
        await asyncio.sleep(0)
        asking.cancel()
        serving = asyncio.ensure_future(made.commands.serve())
        await made.bus.wait_beyond(made.bus.head_seq)
        made.commands.close()
        await serving
    assert len(of_type(db, KillSwitchTripped)) == 1


@in_loop
async def test_no_more_commands_wait_than_anybody_means(tmp_path: Path) -> None:
    async with open_engine(settings(tmp_path / "log.db"), [listed("X")], ManualClock(), print) as made:
        asking = [asyncio.ensure_future(made.commands.submit(Pause(*ANNA))) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(CommandRefused, match="already waiting"):
            await made.commands.submit(Pause(*ANNA))
        made.commands.close()
        refused = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(one, CommandRefused) for one in refused)


@in_loop
async def test_the_door_takes_commands_refuses_nonsense_and_is_the_owner_s_alone(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made:
        door = ControlServer(db, made.commands, print)
        await door.open()
        serving = asyncio.ensure_future(made.commands.serve())
        assert stat.S_IMODE(socket_path(db).stat().st_mode) == 0o600
        assert await send_command(db, Kill(*ANNA)) == Accepted(made.log.head.seq, made.log.head.seq)
        with pytest.raises(CommandRefused, match="tripped already"):
            await send_command(db, Kill(*ANNA))
        for line in (b"rubbish\n", b'{"type":"kill"}\n', b"x" * 10_000 + b"\n", b"\n"):
            reader, writer = await asyncio.open_unix_connection(socket_path(db))
            writer.write(line)
            assert b"not a command" in await reader.readline()
            writer.close()
        await door.close()
        made.commands.close()
        await serving
    with pytest.raises(EngineNotRunning):
        await send_command(db, Kill(*ANNA))


def test_commands_reach_a_running_engine_and_a_log_without_one(tmp_path: Path) -> None:
    market = (
        "run", "--feed", "sim", "--speed", "600", "--json", "--db", "log.db", "--set", "feed.sim.warm_up_days=0",
        "feed.sim.symbols=BTCUSDT",
    )  # fmt: skip
    with running(tmp_path, *market, until="FeedConnected"):
        said = ok(tmp_path, "kill", "--why", "odd", "--who", "anna", "--db", "log.db")
        assert "accepted by the running engine: seq" in said
        assert papertape(tmp_path, "kill", "--why", "again", "--db", "log.db").returncode == 1
    db = tmp_path / "log.db"
    (trip,) = of_type(db, KillSwitchTripped)
    said = ok(tmp_path, "pause", "momentum", "--why", "news", "--who", "anna", "--db", "log.db")
    assert "written to the log" in said
    assert [(e.strategy, e.who, e.why) for e in of_type(db, RunnerPaused)] == [("momentum", "anna", "news")]  # type: ignore[attr-defined]
    assert trip.who == "anna"  # type: ignore[attr-defined]
    assert ok(tmp_path, "verify", "--db", "log.db")


def test_a_reset_over_the_desk_names_its_trip() -> None:
    scenario = scenario_with_positions()
    (trip,) = command_events(scenario.world, Kill(*ANNA))
    scenario.tell(trip)
    seq = scenario.log[-1].seq
    (reset,) = command_events(scenario.world, Reset(*ANNA, "global", seq))
    assert reset == KillSwitchReset(DAY_0_MS + 2 * MINUTE_MS, "global", seq, *ANNA)
    with pytest.raises(CommandRefused, match="there is no strategy 'nobody'"):
        command_events(scenario.world, Reset(*ANNA, "nobody", seq))
    assert not isinstance(reset, OrderPlaced | RunnerResumed)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"kill","who":"anna","why":"Gr\xfcn"}\n',
        b'{"type":"kill","who":"anna","why":"Gr\\udcfcn"}\n',
        b'\xef\xbb\xbf{"type":"kill","who":"anna","why":"Gr\x1bn"}\n',
    ],
)
@in_loop
async def test_a_broken_character_does_not_keep_a_kill_switch_from_tripping(tmp_path: Path, line: bytes) -> None:
    db = tmp_path / "log.db"
    async with open_engine(settings(db), [listed("X")], ManualClock(), print) as made:
        door = ControlServer(db, made.commands, print)
        await door.open()
        serving = asyncio.ensure_future(made.commands.serve())
        reader, writer = await asyncio.open_unix_connection(socket_path(db))
        writer.write(line)
        assert b"accepted" in await reader.readline()
        writer.close()
        await send_command(db, Pause("\udcff" * 5_000, "Gr\udcfcn" + "x" * 5_000))
        await door.close()
        made.commands.close()
        await serving
    (trip,), (pause,) = of_type(db, KillSwitchTripped), of_type(db, RunnerPaused)
    assert isinstance(trip, KillSwitchTripped)
    assert isinstance(pause, RunnerPaused)
    assert trip.why == ("Gr\x1bn" if b"\x1b" in line else "Gr\ufffdn")
    assert pause.why == ("Gr\ufffdn" + "x" * 5_000)[:TEXT_CHARS_MAX]
    assert pause.who == "\ufffd" * TEXT_CHARS_MAX


def test_a_reason_that_is_no_utf_8_trips_the_switch_of_a_log_and_of_an_engine(tmp_path: Path) -> None:
    why = os.fsdecode(b"Gr\xfcn")
    write_log(tmp_path / "log.db")
    ok(tmp_path, "kill", "--why", why, "--who", why, "--db", "log.db")
    market = ("run", "--feed", "sim", "--speed", "600", "--json", "--db", "live.db", "--set", "feed.sim.warm_up_days=0")
    with running(tmp_path, *market, until="FeedConnected"):
        ok(tmp_path, "kill", "--why", why, "--who", why, "--db", "live.db")
    for name in ("log.db", "live.db"):
        trip = of_type(tmp_path / name, KillSwitchTripped)[-1]
        assert isinstance(trip, KillSwitchTripped)
        assert (trip.reason, trip.who, trip.why) == ("manual", "Gr\ufffdn", "Gr\ufffdn")
