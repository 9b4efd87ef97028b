"""Without a token, alerts become lines."""

from __future__ import annotations

import asyncio

from papertape.projections.telegram.file_notifier import FileNotifier
from tests.build import news, noise, trip
from tests.sandbox.served_twin import START_MS
from tests.sandbox.virtual_time import VirtualClock, run
from tests.telegram.rig import Plain, Tape


def test_every_alert_is_one_line_without_tags() -> None:
    async def main(clock: VirtualClock) -> None:
        tape = Tape(clock)
        told: list[str] = []
        tape.add(news("old"))
        quiet = FileNotifier(tape, tape.bus, Plain(), told.append)
        task = asyncio.ensure_future(quiet.run())
        await asyncio.sleep(1)
        tape.add(news("a < b\nand more"), noise(), trip())
        await asyncio.sleep(1)
        assert told == ["2 a < b · and more", "4 manual"]
        assert (quiet.statistics().sent, quiet.statistics().lag_events) == (2, 0)
        tape.bus.close()
        await task

    run(main, START_MS)


def test_it_begins_after_the_given_seq() -> None:
    async def main(clock: VirtualClock) -> None:
        tape = Tape(clock)
        told: list[str] = []
        tape.add(news("old"), news("start"))
        tape.bus.close()
        await FileNotifier(tape, tape.bus, Plain(), told.append, begin_after_seq=1).run()
        assert told == ["2 start"]

    run(main, START_MS)
