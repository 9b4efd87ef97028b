"""A notifier that resumes from stored folds sends the same as one that folds everything: all of it, once, in order."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from papertape.projections.alerts.derive import Alerts
from papertape.projections.persistence.fold_store import KEEP_MS_MIN, FoldStore
from papertape.projections.telegram.file_notifier import FileNotifier
from papertape.sandbox.telegram.faults import TelegramFault
from tests.alerts.example_day import CASES
from tests.build import recorded
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run
from tests.telegram.rig import Rig, Tape, rigged

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.facts import Event
    from papertape.events.log import Recorded

ENDS: dict[str, int] = {"daily": 0, "kill_switch": -1, "liquidation": -5, "feed_back": -30}
STORY: list[Event] = [event for name, begin in ENDS.items() for event in CASES[name][begin:]]
EVENTS_MIN = 5


class Read(list[int]):
    """A tape that remembers from where it was read."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def read(self, after_seq: int, limit: int = 1_000) -> list[Recorded]:
        self.append(after_seq)
        return self._tape.read(after_seq, limit)


def keeping(folder: Path, tape: Tape, clock: VirtualClock) -> FoldStore:
    return FoldStore(folder, tape, clock.now_ms, print, events_min=EVENTS_MIN)


def whole() -> list[str]:
    """The story told by a fold that saw all of it, by event."""
    alerts, told = Alerts(), []
    for one in recorded(STORY):
        alerts.apply(one)
        if (alert := alerts.alert_of(one)) is not None:
            told.append(alert.key)
    return told


def seq_of(text: str) -> int:
    """The seq at the foot of a message."""
    return int(re.findall(r"#(\d+)", text)[-1])


async def told_in_lives(rig: Rig, folder: Path, lives: int, *, dead_in: int = -1) -> list[int]:
    """Tell the story in so many lives of a notifier; from where each read first. In one of them nobody answers."""
    began = []
    share = -(-len(STORY) // lives)
    for life in range(lives):
        source = Read(rig.tape)
        keeper = keeping(folder, rig.tape, rig.clock)
        if life == dead_in:
            rig.twin.faults.on(TelegramFault.SERVER_ERROR)
        async with rig.running(reader=source, alerts=Alerts, store=keeper):
            for event in STORY[life * share : (life + 1) * share]:
                rig.tape.add(event)
                await asyncio.sleep(KEEP_MS_MIN / 1_000.0)
            await asyncio.sleep(300.0)
        rig.twin.faults.clear()
        began.append(min(source, default=0))
    return began


@pytest.mark.parametrize("lives", [1, 2, 7])
def test_every_alert_is_sent_once_and_in_order_over_many_restarts(tmp_path: Path, lives: int) -> None:
    async def use(rig: Rig) -> None:
        began = await told_in_lives(rig, tmp_path, lives)
        assert [seq_of(text) for text in rig.twin.texts] == [int(key.partition(":")[0]) for key in whole()]
        assert not any("possible repeat" in text for text in rig.twin.texts)
        assert began == sorted(began)
        assert (lives == 1) is (began[-1] == 0), "a later life begins where an earlier one was kept"

    rigged(use)


def test_alerts_unsent_in_one_run_are_sent_in_the_next(tmp_path: Path) -> None:
    async def use(rig: Rig) -> None:
        began = await told_in_lives(rig, tmp_path, 5, dead_in=2)
        told = sorted(seq_of(text) for text in rig.twin.texts)  # A kill switch came before what had waited.
        assert told == [int(key.partition(":")[0]) for key in whole()]
        assert 0 < began[2] <= began[3], "what is kept does not run ahead of what was sent"

    rigged(use)


def test_the_file_notifier_resumes_after_a_restart_too(tmp_path: Path) -> None:
    async def main(clock: VirtualClock) -> list[str]:
        told: list[str] = []
        tape = Tape(clock)
        for half in (STORY[: len(STORY) // 2], STORY[len(STORY) // 2 :]):
            begin_seq = len(tape.events)
            tape.bus = type(tape.bus)(begin_seq)
            keeper = keeping(tmp_path, tape, clock)
            source = Read(tape)
            quiet = FileNotifier(source, tape.bus, Alerts(), told.append, begin_after_seq=begin_seq, store=keeper)
            tape.add(*half)
            tape.bus.close()
            await quiet.run()
            assert min(source) == begin_seq
        return told

    assert len(run(main, START_MS)) == len(whole())
