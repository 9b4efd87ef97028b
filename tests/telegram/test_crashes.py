"""kill -9 around sending: no alert is lost, every repeat is marked, the order is kept."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from papertape.engine.ports.clock import SystemClock
from papertape.events.cursors import SqliteCursors
from papertape.events.facts import Event
from papertape.events.failpoints import NOTIFIER_FAILPOINTS, VARIABLE
from papertape.projections.telegram.text import REPEAT_MARK
from papertape.sandbox.telegram.limits import UNLIMITED
from papertape.sandbox.telegram.twin import TelegramTwin
from tests.build import news, noise, trip
from tests.engine.processes import ROOT
from tests.patience import PATIENCE_S
from tests.telegram.rig import HOUR_S, Rig, rigged

pytestmark = pytest.mark.system

CRASHES = 120
CRASHES_PROVEN = 1_000
KILLS = 12
KILLS_PROVEN = 1_000
ALERTS_A_KILL = 10


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize(
    ("count", "seed"), [(CRASHES, 1), pytest.param(CRASHES_PROVEN, 2, marks=pytest.mark.slow, id="proven")]
)
def test_crashes_around_sending_lose_nothing_and_mark_every_repeat(tmp_path: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)

    async def use(rig: Rig) -> None:
        crashes = 0
        while crashes < count:
            rig.tape.add(*[_something(chance) for _ in range(2)])
            rig.cursors = SqliteCursors(tmp_path / "cursors.db")
            if crashes % 2:
                await _crash_at_a_failpoint(rig, chance)
            else:
                await _crash_anywhere(rig, chance)
            rig.cursors.close()
            crashes += 1
        rig.cursors = SqliteCursors(tmp_path / "cursors.db")
        async with rig.running() as notifier:
            await _drained(rig, notifier)
        rig.cursors.close()
        _assert_sound(rig.twin.texts, rig, count)

    rigged(use)


def _something(chance: random.Random) -> Event:
    """One in five is so long that it comes in parts, none of which looks like another one."""
    name = chance.getrandbits(64)
    long = "\n".join(f"L{name}.{line} {'x' * 80}" for line in range(60))
    return chance.choice((news("a"), news("b"), noise(), trip(), news(long)))


async def _drained(rig: Rig, notifier: object) -> None:
    for _ in range(200_000):
        await asyncio.sleep(1)
        if notifier.statistics().lag_events == 0:  # type: ignore[attr-defined]
            return
    raise AssertionError(rig.told)


async def _crash_at_a_failpoint(rig: Rig, chance: random.Random) -> None:
    """Die at the nth reach of one of them; where nothing is left to send, of nothing."""
    name, reaches = chance.choice(NOTIFIER_FAILPOINTS), chance.randint(1, 3)

    def reach(at: str) -> None:
        nonlocal reaches
        reaches -= at == name
        if not reaches:
            raise Crash

    try:
        async with asyncio.timeout(20), rig.running(failpoint=reach) as notifier:
            while notifier.statistics().lag_events or not notifier.statistics().sent:
                await asyncio.sleep(0.5)
                if asyncio.current_task() and not reaches:
                    break
    except (Crash, TimeoutError):
        pass


async def _crash_anywhere(rig: Rig, chance: random.Random) -> None:
    """Be gone after so many turns of the loop, wherever that is: in a request, before it, after it."""
    async with rig.running():
        for _ in range(chance.randint(1, 60)):
            await asyncio.sleep(0)


def _assert_sound(texts: list[str], rig: Rig, crashes: int) -> None:
    clean = [text.replace(f"\n{REPEAT_MARK}", "") for text in texts]
    marks = sum(REPEAT_MARK in text for text in texts)
    assert crashes / 20 <= marks <= crashes, "the crashes hit nothing, or more was in doubt than a crash can make"
    seen: set[str] = set()
    kept: list[str] = []
    for text, one in zip(texts, clean, strict=True):
        assert one not in seen or text != one, f"a repeat without a mark: {text[:80]}"
        if one not in seen:
            kept.append(one)
        seen.add(one)
    # A part of a long alert begins with its line; the first one names the seq.
    firsts = [int(text.split()[0]) for text in kept if text.split()[0].isdecimal()]
    expected = [one.seq for one in rig.tape.events if type(one.event) is not type(noise())]
    urgent = {one.seq for one in rig.tape.events if type(one.event) is type(trip())}
    assert sorted(firsts) == expected, "alerts are missing"
    assert [seq for seq in firsts if seq in urgent] == [seq for seq in expected if seq in urgent]
    assert [seq for seq in firsts if seq not in urgent] == [seq for seq in expected if seq not in urgent]


def test_a_crash_in_the_window_is_followed_by_exactly_one_marked_repeat() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news("a"), news("b"))

        def reach(at: str) -> None:
            if at == "after_alert":
                raise Crash

        try:
            async with rig.running(failpoint=reach):
                await asyncio.sleep(5)
        except Crash:
            pass
        async with rig.running():
            await rig.sent(3)
        assert rig.twin.texts == ["1 a", f"1 a\n{REPEAT_MARK}", "2 b"]

    rigged(use)


def test_a_crash_after_the_digest_repeats_the_digest_only() -> None:
    async def use(rig: Rig) -> None:
        rig.tape.add(news("a"), news("b"))
        await asyncio.sleep(2 * HOUR_S)

        def reach(at: str) -> None:
            if at == "after_alert":
                raise Crash

        try:
            async with rig.running(failpoint=reach):
                await asyncio.sleep(5)
        except Crash:
            pass
        async with rig.running() as notifier:
            await rig.sent(2)
            await asyncio.sleep(60)
            assert notifier.statistics().lag_events == 0
        async with rig.running() as notifier:
            await asyncio.sleep(60)
            assert notifier.statistics().sent == 0, "what the digest stands for is over"
        assert len(rig.twin.texts) == 2
        assert rig.twin.texts[1] == f"{rig.twin.texts[0]}\n{REPEAT_MARK}"

    rigged(use)


# ---------------------------------------------------------------- real processes


@pytest.mark.parametrize(
    "kills",
    [KILLS, pytest.param(KILLS_PROVEN, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)], id="proven")],
)
def test_real_processes_killed_at_failpoints_and_anywhere(tmp_path: Path, kills: int) -> None:
    """Every other kill comes at a failpoint, the others while messages arrive; then one run ends well."""
    asyncio.run(_killed(tmp_path, kills))


async def _killed(folder: Path, kills: int) -> None:
    chance, alerts = random.Random(7), kills * ALERTS_A_KILL
    async with TelegramTwin(SystemClock(), limits=UNLIMITED) as twin:
        for number in range(kills // 2):
            again, place = divmod(number, len(NOTIFIER_FAILPOINTS))
            failpoint = f"{NOTIFIER_FAILPOINTS[place]}:{1 + again % 2}"
            assert await _process(folder, twin, alerts, failpoint=failpoint) == -signal.SIGKILL
            assert await _process(folder, twin, alerts, messages=chance.randint(1, 8)) == -signal.SIGKILL
        assert await _process(folder, twin, alerts) == 0
        texts = twin.texts
    clean = [text.replace(f"\n{REPEAT_MARK}", "") for text in texts]
    assert [*dict.fromkeys(clean)] == [f"{seq} alert" for seq in range(1, alerts + 1)], "missing or out of order"
    marks = sum(REPEAT_MARK in text for text in texts)
    assert len(clean) - alerts <= marks <= kills, "more was in doubt than a crash can make"
    unmarked = [text for text in texts if REPEAT_MARK not in text]
    assert len(unmarked) == len(set(unmarked)), "a repeat without a mark"


async def _process(folder: Path, twin: TelegramTwin, alerts: int, *, failpoint: str = "", messages: int = 0) -> int:
    """Run one to its end, or until so many more messages have come; its exit code."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.telegram.sender_process",
        twin.api_url,
        twin.token,
        str(folder / "cursors.db"),
        str(alerts),
        cwd=ROOT,
        env={**os.environ, VARIABLE: failpoint},
    )
    enough = len(twin.messages) + messages
    async with asyncio.timeout(PATIENCE_S):
        while messages and len(twin.messages) < enough:  # noqa: ASYNC110 - it waits for another process.
            await asyncio.sleep(0.001)
        if messages:
            program.kill()
        return await program.wait()
