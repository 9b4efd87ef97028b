"""The notifier with the real alerts and the real log: derived alerts arrive, also after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from papertape.events.cursors import SqliteCursors
from papertape.events.facts import AnomalyCleared, AnomalyRaised, EngineStarted, EngineStopped, KillSwitchTripped
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from papertape.projections.alerts.derive import Alerts
from tests.sandbox.served_twin import START_MS
from tests.telegram.rig import HOUR_S, Rig, rigged


async def _append(rig: Rig, log: MemoryEventLog, *entries: Entry) -> None:
    await log.append(log.head.seq, entries)
    rig.tape.bus.publish(log.head.seq)


def test_real_alerts_arrive_in_order_and_the_rest_after_a_restart(tmp_path: Path) -> None:
    async def use(rig: Rig) -> None:
        log = MemoryEventLog(clock_ms=rig.clock.now_ms)
        rig.cursors = SqliteCursors(tmp_path / "cursors.db")
        start = EngineStarted(START_MS, "0.1.0", "a" * 64, "b" * 64)
        stale = AnomalyRaised(START_MS, "data_stale", "<GALA&USDT>", "no candle <5 min> & more")
        trip = KillSwitchTripped(START_MS, "global", "global_loss", 1_000.0, 1_000.0, 850.0, 15.0)
        await _append(rig, log, Entry(start), Entry(stale), Entry(trip))
        async with rig.running(reader=log.reader(), alerts=Alerts):
            await rig.sent(3)
        await _append(rig, log, Entry(AnomalyCleared(START_MS + 5, "data_stale", "<GALA&USDT>", "back")))
        async with rig.running(reader=log.reader(), alerts=Alerts):
            await rig.sent(4)
            await _append(rig, log, Entry(EngineStopped(START_MS + 9, "told to")))
            await rig.sent(5)
        await asyncio.sleep(2 * HOUR_S)
        rig.cursors.close()
        assert ["#3" in rig.twin.texts[0], "#1" in rig.twin.texts[1]] == [True, True], rig.twin.texts
        assert "<GALA&USDT>" in rig.twin.texts[2]
        assert "<GALA&USDT>" in rig.twin.texts[3]
        assert {message.parse_mode for message in rig.twin.messages} == {"HTML"}
        assert rig.told == []

    rigged(use)
