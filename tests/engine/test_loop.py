"""The loop shows nothing uncommitted, counts nothing twice, survives refusals unchanged, and serialises its callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from papertape.engine.ports.clock import ManualClock
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.snapshot_codec import decode, encode
from papertape.engine.startup import open_engine
from papertape.events.errors import CommandRefused, EngineFault, UsageError
from papertape.events.facts import KillSwitchReset, KillSwitchTripped, RunnerPaused
from tests.build import DAY_0_MS, candle, listed
from tests.engine.logs import of_type, recorded
from tests.engine.parts import Given, busy, busy_tape, settings
from tests.events.loop import in_loop
from tests.support import configured_world

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.startup import Engine

LISTED = [listed("X")]
STALE = KillSwitchReset(DAY_0_MS, "scripted", 3, "anna", "why not")


def by_hand(scope: str = "scripted") -> KillSwitchTripped:
    return KillSwitchTripped(DAY_0_MS, scope, "manual", 10_000.0, 10_000.0, 10_000.0, 0.0)


def test_a_decoded_copy_of_the_state_decides_the_same_and_leaves_the_original_unchanged() -> None:
    tape = busy_tape()
    world = configured_world(tape.contracts, settings(None).runners)  # type: ignore[arg-type]
    for seq, event in enumerate(tape.events(), start=10):
        before, copy = encode(world), decode(encode(world), world.strategies)
        entries = decide(copy, event, seq)
        assert encode(world) == before
        assert decide(world, event, seq) == entries
        assert encode(copy) == encode(world)
        if seq == 150:
            break


@in_loop
async def test_feeding_any_suffix_of_the_facts_again_changes_nothing(tmp_path: Path) -> None:
    what, facts = settings(tmp_path / "log.db"), busy_tape().events()
    async with open_engine(what, busy().contracts(), ManualClock(), print) as running:
        await running.loop.run(busy())
        head, state = running.log.head, encode(running.loop.state)
        for first in (0, 1, len(facts) // 2, len(facts) - 1):
            await running.loop.run(Given(busy().contracts(), facts[first:], a_batch=50))
            assert (running.log.head, encode(running.loop.state)) == (head, state)
        assert running.loop.statistics.repeated_facts > len(facts)


@in_loop
async def test_a_follower_never_hears_of_what_the_log_does_not_hold(tmp_path: Path) -> None:
    what, heard = settings(tmp_path / "log.db"), []

    async def listen(running: Engine) -> None:
        reader, seq = running.log.reader(), 0
        while not running.bus.closed:
            seq = await running.bus.wait_beyond(seq)
            heard.append((seq, reader.head().seq))
        reader.close()

    async with open_engine(what, busy().contracts(), ManualClock(), print) as running:
        listening = asyncio.ensure_future(listen(running))
        await running.loop.run(busy())
    await listening
    assert len(heard) > 50
    assert all(said <= held for said, held in heard)


@in_loop
async def test_a_refused_command_writes_nothing_and_what_stood_before_it_is_committed(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db")
    async with open_engine(what, LISTED, ManualClock(), print) as running:
        head, state = running.log.head, encode(running.loop.state)
        for refused in (STALE, KillSwitchReset(DAY_0_MS, "nobody", 3, "anna", ""), RunnerPaused(0, "nobody", "a", "b")):
            with pytest.raises(CommandRefused):
                await running.loop.take([refused])
            assert (running.log.head, encode(running.loop.state)) == (head, state)
        with pytest.raises(CommandRefused):
            await running.loop.take([candle(0, 100.0, "X"), STALE, candle(1, 100.0, "X")])
        assert (running.log.head.seq, running.bus.head_seq) == (head.seq + 1, head.seq + 1)
        await running.loop.take([candle(1, 100.0, "X")])
    assert [item.event.at_ms for item in recorded(what.db)][-3:-1] == [
        candle(0, 1.0, "X").at_ms,
        candle(1, 1.0, "X").at_ms,
    ]


@in_loop
async def test_commands_and_facts_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db")
    async with open_engine(what, LISTED, ManualClock(), print) as running:
        takes = [running.loop.take([candle(number, 100.0, "X")]) for number in range(20)]
        takes.insert(7, running.loop.take([by_hand()]))
        await asyncio.gather(*takes)
        (trip,) = [item.seq for item in recorded(what.db) if isinstance(item.event, KillSwitchTripped)]
        resets = [KillSwitchReset(DAY_0_MS, "scripted", trip, who, "looked") for who in ("anna", "ben")]
        ends = await asyncio.gather(*(running.loop.take([reset]) for reset in resets), return_exceptions=True)
        assert [type(end) for end in ends] == [type(None), CommandRefused]
    assert len(of_type(what.db, KillSwitchReset)) == 1


@in_loop
async def test_behind_an_input_that_could_not_be_written_nothing_is_taken(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db")
    with pytest.raises(EngineFault, match="whole up to seq 4"):  # noqa: PT012 - the end of the engine raises too
        async with open_engine(what, LISTED, ManualClock(), print) as running:
            await running.loop.take([by_hand()])
            unwritable = KillSwitchReset(DAY_0_MS, "scripted", running.log.head.seq, "anna", "\ud800")
            with pytest.raises(UsageError):
                await running.loop.take([unwritable])
            await running.loop.take([candle(0, 100.0, "X")])
    assert of_type(what.db, KillSwitchReset) == []
