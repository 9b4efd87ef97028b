"""A small process that sends alerts to addresses until it is killed: cursor file, number of alerts, addresses."""

from __future__ import annotations

import asyncio
import sys

from papertape.engine.ports.clock import SystemClock
from papertape.events.cursors import SqliteCursors
from papertape.projections.notify.addresses import VARIABLE, read_addresses
from papertape.projections.notify.channel import FixedDestination, NotifyChannel
from papertape.projections.telegram.delivery import Notifier
from tests.build import news
from tests.telegram.rig import Plain, Tape
from tests.telegram.sender_process import Hurry


async def main(file: str, alerts: str, *urls: str) -> None:
    clock, cursors = SystemClock(), SqliteCursors(file)
    tape = Tape(clock)
    tape.add(*[news("alert") for _ in range(int(alerts))])
    tape.bus.close()
    for one in read_addresses({VARIABLE: " ".join(urls)}):
        await Notifier(
            tape, tape.bus, cursors, Plain, NotifyChannel(one), FixedDestination(), clock, print,
            name=one.former_name, title=one.title, limiter=Hurry(clock), begin_after_seq=0,
        ).run()  # fmt: skip
    cursors.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
