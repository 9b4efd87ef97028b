"""A tripped kill switch survives everything except the reset that names it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.kernel.codes import SESSION_LOSS
from papertape.engine.ports.clock import ManualClock
from papertape.engine.startup import open_engine
from papertape.events.errors import CommandRefused
from papertape.events.facts import KillSwitchReset, KillSwitchTripped, OrderPlaced
from tests.build import DAY_0_MS, candle, listed
from tests.engine.logs import digest, of_type, recorded, recovered
from tests.engine.parts import Given, live, settings
from tests.engine.processes import ok, running
from tests.events.loop import in_loop
from tests.kernel.scripted.scripted import BUY
from tests.support import NO_LIMITS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

MARKET = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--json", "--db", "log.db", "--set", "feed.sim.days=1",
    "feed.sim.warm_up_days=1", "engine.snapshot_every_events=1500", "risk.max_session_loss_percent=0.2",
)  # fmt: skip
CAREFUL = replace(NO_LIMITS, max_session_loss_percent=1.0)
LOSS = (
    candle(0, 100.0, "X", volume=BUY),
    candle(1, 100.0, "X"),
    candle(2, 50.0, "X"),
    candle(3, 50.0, "X", volume=BUY),
    candle(4, 50.0, "X"),
)


def trips(db: Path) -> list[KillSwitchTripped]:
    return [event for event in of_type(db, KillSwitchTripped) if isinstance(event, KillSwitchTripped)]


def tripped(db: Path, *, snapshots: bool = True) -> dict[str, int]:
    """The reason by which each strategy is stopped."""
    world = recovered(db, snapshots=snapshots).state
    return {runner.strategy.name: runner.account.tripped for runner in world.runners if runner.account.tripped}


def test_a_trip_survives_kill_9_with_its_reason_and_numbers(tmp_path: Path) -> None:
    db = tmp_path / "log.db"
    with running(tmp_path, *MARKET, until="KillSwitchTripped") as process:
        process.kill()
        process.wait()
    (first, *_) = trips(db)
    assert first.reason == "session_loss"
    assert first.base_usdt - first.equity_usdt >= first.base_usdt * first.threshold_percent / 100.0
    assert tripped(db)[first.scope] == tripped(db, snapshots=False)[first.scope] == SESSION_LOSS
    shutil.rmtree(tmp_path / "log.db.snapshots", ignore_errors=True)
    ok(tmp_path, *MARKET)
    assert trips(db)[0] == first
    assert [trip.scope for trip in trips(db)].count(first.scope) == 1
    entries = [
        event for event in of_type(db, OrderPlaced) if isinstance(event, OrderPlaced) and event.action == "entry"
    ]
    assert not any(event.strategy == first.scope and event.at_ms > first.at_ms for event in entries)


def test_the_way_it_was_tripped_is_the_same_as_without_the_kill(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    with running(killed, *MARKET, until="KillSwitchTripped") as process:
        process.kill()
        process.wait()
    ok(killed, *MARKET)
    ok(whole, *MARKET)
    assert trips(killed / "log.db") == trips(whole / "log.db")
    assert digest(killed / "log.db") == digest(whole / "log.db")


@pytest.mark.parametrize("keep_snapshots", [True, False])
@in_loop
async def test_a_reset_names_the_trip_and_a_stale_or_second_one_writes_nothing(
    tmp_path: Path, keep_snapshots: bool
) -> None:
    what = settings(tmp_path / "log.db", CAREFUL)
    await live(what, Given([listed("X")], LOSS))
    (trip_seq,) = [item.seq for item in recorded(what.db) if isinstance(item.event, KillSwitchTripped)]
    if not keep_snapshots:
        shutil.rmtree(tmp_path / "log.db.snapshots")
    async with open_engine(what, [listed("X")], ManualClock(), print) as again:
        assert again.loop.state.runners[0].account.tripped == SESSION_LOSS
        reset = KillSwitchReset(DAY_0_MS, "scripted", trip_seq, "anna", "looked at it")
        head = again.log.head
        for stale in (replace(reset, trip_seq=trip_seq - 1), replace(reset, scope="global")):
            with pytest.raises(CommandRefused):
                await again.loop.take([stale])
        assert again.log.head == head
        await again.loop.take([reset])
        assert again.loop.state.runners[0].account.tripped == 0
        with pytest.raises(CommandRefused, match="nothing to reset"):
            await again.loop.take([reset])
        assert again.log.head.seq == head.seq + 1
    (written,) = [item for item in recorded(what.db) if isinstance(item.event, KillSwitchReset)]
    assert (written.cause, written.event) == (trip_seq, reset)


@in_loop
async def test_after_the_reset_and_another_start_it_trades_again(tmp_path: Path) -> None:
    what = settings(tmp_path / "log.db", CAREFUL)
    await live(what, Given([listed("X")], LOSS))
    assert len(of_type(what.db, OrderPlaced)) == 1, "the second signal came behind the trip"
    (trip_seq,) = [item.seq for item in recorded(what.db) if isinstance(item.event, KillSwitchTripped)]
    async with open_engine(what, [listed("X")], ManualClock(), print) as again:
        await again.loop.take([KillSwitchReset(DAY_0_MS, "scripted", trip_seq, "anna", "looked at it")])
    await live(what, Given([listed("X")], [candle(5, 50.0, "X", volume=BUY), candle(6, 50.0, "X")]))
    assert len(of_type(what.db, OrderPlaced)) == 2
