"""A small process that sends alerts to a stand-in until it is killed: URL, token, cursor file, number of alerts."""

from __future__ import annotations

import asyncio
import sys

from papertape.engine.ports.clock import SystemClock
from papertape.events.cursors import SqliteCursors
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.client import TelegramClient
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.secret import BotToken
from papertape.sandbox.telegram.twin import CHAT_ID
from tests.build import news
from tests.telegram.rig import Plain, Tape


class Hurry(MessageRateLimiter):
    """No limits: the more messages, the more chances to kill."""

    def wait_s(self, *, urgent: bool = False, answers: bool = False) -> float:  # noqa: ARG002
        return 0.0


async def main(api_url: str, token: str, file: str, alerts: str) -> None:
    clock = SystemClock()
    tape = Tape(clock)
    tape.add(*[news("alert") for _ in range(int(alerts))])
    tape.bus.close()
    cursors = SqliteCursors(file)
    client = TelegramClient(BotToken(token), api_url)
    notifier = Notifier(
        tape,
        tape.bus,
        cursors,
        Plain,
        client,
        ChatAddress(CHAT_ID, cursors),
        clock,
        print,
        limiter=Hurry(clock),
        begin_after_seq=0,
    )
    await notifier.run()
    await client.close()
    cursors.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
