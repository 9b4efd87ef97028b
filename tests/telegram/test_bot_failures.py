"""A bug in one command is reported to the user and the local log, and every other command continues."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from papertape.events.commands import Accepted, Command
from papertape.events.errors import LogError
from papertape.projections.site.ports import ConditionsView
from papertape.projections.telegram.answers import RuntimeInfo
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.reply_queue import ReplyQueue
from papertape.sandbox.telegram.faults import TelegramFault
from tests.telegram.bot_rig import Rig, rigged


def broken() -> str:
    """What has a bug in it."""
    raise TypeError("`Config` has no field `database`")


async def broken_later(seq: int, symbol: str) -> Sequence[ConditionsView]:
    """The same, of an answer that takes longer."""
    raise ZeroDivisionError(f"{symbol} as of {seq}")


class BrokenDesk:
    """Takes commands and has a bug."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.count = 0

    async def submit(self, command: Command) -> Accepted:
        """Fail, in the middle of its work."""
        assert command
        self.count += 1
        await asyncio.sleep(0)
        raise self.error


@pytest.mark.parametrize(("said", "error"), [("/config", "TypeError"), ("/whynot gala", "ZeroDivisionError")])
def test_a_bug_in_an_answer_is_reported_and_the_chat_continues(said: str, error: str) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(runtime=RuntimeInfo(config=broken, conditions=broken_later)) as bot:
            for number in range(1, 4):
                assert f"internal error: {error}" in (await rig.ask(said)).text
                assert (await rig.ask("/version")).text.startswith("papertape")
                assert bot.statistics().failed == number
            assert sum(error in line for line in rig.told) == 3
            assert "(possible" not in "".join(rig.twin.texts)

    rigged(use)


def test_a_bug_in_a_press_is_reported_and_not_retried() -> None:
    async def use(rig: Rig) -> None:
        desk = BrokenDesk(TypeError("a bug"))
        async with rig.running(commands=desk) as bot:
            await rig.ask("/kill")
            rig.twin.press(rig.twin.button("Confirm"))
            await rig.until(lambda: "internal error: TypeError" in rig.twin.texts[-1])
            await asyncio.sleep(120.0)
            assert (desk.count, bot.statistics().failed) == (1, 1)
            assert (await rig.ask("/status")).text

    rigged(use)


def test_a_named_error_is_a_refusal_and_no_bug() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(commands=BrokenDesk(LogError("the disk is full"))) as bot:
            await rig.ask("/kill")
            assert "refused: the disk is full" in await rig.pressed("Confirm")
            assert bot.statistics().failed == 0

    rigged(use)


def test_a_bug_during_an_outage_is_reported_afterwards() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running(runtime=RuntimeInfo(config=broken)):
            rig.twin.faults.on(TelegramFault.SERVER_ERROR, method="sendMessage", times=2)
            assert "internal error" in (await rig.ask("/config")).text

    rigged(use)


def test_a_failed_job_is_dropped_and_the_next_ones_run() -> None:
    async def use(rig: Rig) -> None:
        outbox = ReplyQueue(MessageRateLimiter(rig.clock), rig.clock, rig.told.append)
        running = asyncio.ensure_future(outbox.run())
        done: list[str] = []

        async def fail() -> None:
            broken()

        async def work() -> None:
            done.append("done")

        for put in (outbox.put, outbox.put_slow):
            for errand in (fail, work):
                assert put(errand)
        await rig.until(lambda: len(done) == 2)
        await outbox.drain()
        assert not running.done()
        assert [line for line in rig.told if "TypeError" not in line] == []
        running.cancel()

    rigged(use)
