"""What goes wrong in a schedule: drawn by seed, overlapping, each healing when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.events.errors import PapertapeError
from papertape.events.failpoints import FAILPOINTS, NOTIFIER_FAILPOINTS, SEAL_FAILPOINTS
from papertape.events.signals import Signal, SignalBatch
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.telegram.faults import TelegramFault
from tests.simulation.loop import process
from tests.simulation.sites import CHAT, EXCHANGE

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.machine import Machine

EVERY_S: Final = 45.0
"""The mean time between two faults."""
SECONDS: Final = (2.0, 15.0, 60.0, 200.0, 500.0)
"""How long a fault lasts, about: one of these, by chance."""
CLOCK_MS: Final = (-4_000_000, -400_000, -45_000, -3_000, 1_500, 30_000, 240_000, 4_000_000)
"""The last one makes alerts look as if they had waited for more than an hour, so that a digest replaces them."""
SKEW_MS: Final = (-9_000, -2_500, 700, 2_500, 9_000)
LAG_MS: Final = (4_000, 20_000, 70_000)
SLOW_S: Final = (0.3, 3.0, 12.0)
SLOW_DISK_S: Final = (0.05, 0.8, 6.0)
SIGNALS_A_BURST: Final = 30
REPEATS_MAX: Final = 3
CONFIRM: Final = "Confirm"
AT_ONCE: Final = (
    BitgetFault.CLOSE, BitgetFault.ABORT, BitgetFault.SILENT, BitgetFault.STALLED, BitgetFault.GIANT,
)  # fmt: skip
LASTING: Final = (
    BitgetFault.NO_PONG, BitgetFault.SILENT_SYMBOL, BitgetFault.REFUSED_SUBSCRIBE, BitgetFault.FALSE_ACK,
    BitgetFault.DUPLICATE, BitgetFault.OUT_OF_ORDER, BitgetFault.STALE_SNAPSHOT, BitgetFault.TWO_ROWS,
    BitgetFault.SKIPPED_BAR, BitgetFault.CORRECTED, BitgetFault.GARBAGE, BitgetFault.BUSY, BitgetFault.SERVER_ERROR,
    BitgetFault.HTML_OK, BitgetFault.HTML_BAD_GATEWAY, BitgetFault.REST_RESET, BitgetFault.HANGING,
    BitgetFault.CUT_BODY, BitgetFault.EMPTY_DATA, BitgetFault.REFUSED_CONNECTION, BitgetFault.MAINTENANCE,
)  # fmt: skip
CHAT_FAULTS: Final = (
    TelegramFault.BUSY, TelegramFault.SERVER_ERROR, TelegramFault.BAD_GATEWAY, TelegramFault.GARBAGE,
    TelegramFault.RESET_BEFORE, TelegramFault.RESET_AFTER, TelegramFault.TIMEOUT_AFTER, TelegramFault.HANGING,
    TelegramFault.SLOW, TelegramFault.DUPLICATE_UPDATES,
)  # fmt: skip
COMMANDS: Final = (
    "/kill global", "/kill scripted", "/reset global", "/reset scripted", "/reset second", "/reset second",
    "/pause second", "/resume all", "/resume second", "/close all",
)  # fmt: skip

Heal = Callable[[], None]


class Fault(Struct, frozen=True):
    """One kind of fault. `begin` does it and returns how it is healed, or None where there is nothing to heal."""

    name: str
    weight: int
    begin: Callable[[Machine, Random, float], Awaitable[Heal | None]]


def _as_before(owner: object, name: str, value: object) -> Heal:
    """Set an attribute; return what sets it back."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    return lambda: setattr(owner, name, before)


# ---------------------------------------------------------------- exchange and network


async def _stream(machine: Machine, chance: Random, _seconds: float) -> None:
    fault = chance.choice(AT_ONCE)
    machine.note(f"exchange: {fault}")
    machine.exchange.faults.on(fault)


async def _pages(machine: Machine, chance: Random, seconds: float) -> None:
    fault = chance.choice(LASTING)
    symbol = chance.choice((None, *machine.config.feed.bitget.symbols))
    if fault in (BitgetFault.REFUSED_CONNECTION, BitgetFault.MAINTENANCE):
        symbol = None
    machine.note(f"exchange: {fault} {symbol or ''} for {seconds:.0f} s")
    machine.exchange.faults.on(fault, symbol=symbol, for_s=seconds)


async def _late_pages(machine: Machine, chance: Random, seconds: float) -> Heal:
    lag_ms = chance.choice(LAG_MS)
    machine.note(f"exchange: candles are in the pages {lag_ms} ms late, for {seconds:.0f} s")
    venue = machine.exchange._venue
    return _as_before(venue, "behaviour", replace(venue.behaviour, rest_delay_ms=lag_ms))


async def _skew(machine: Machine, chance: Random, _seconds: float) -> None:
    skew_ms = chance.choice(SKEW_MS)
    machine.note(f"exchange: its clock is off by {skew_ms} ms")
    machine.was_skewed = True
    machine.exchange.faults.on(BitgetFault.SKEW, value=skew_ms)


async def _cut(machine: Machine, chance: Random, seconds: float) -> Heal:
    host = chance.choice((EXCHANGE, CHAT))
    machine.note(f"network: nothing reaches the {host} for {seconds:.0f} s")
    return _as_before(machine.network.ways[host], "is_cut", True)


async def _slow(machine: Machine, chance: Random, seconds: float) -> Heal:
    host, slow_s = chance.choice((EXCHANGE, CHAT)), chance.choice(SLOW_S)
    machine.note(f"network: everything takes {slow_s} s to the {host}, for {seconds:.0f} s")
    return _as_before(machine.network.ways[host], "slow_s", slow_s)


async def _half_open(machine: Machine, _chance: Random, _seconds: float) -> None:
    machine.note("network: the streams stand half open")
    machine.network.go_silent()


# ---------------------------------------------------------------- chat and its owner


async def _chat(machine: Machine, chance: Random, seconds: float) -> None:
    fault = chance.choice(CHAT_FAULTS)
    machine.note(f"chat: {fault} for {seconds:.0f} s")
    machine.chat.faults.on(fault, for_s=seconds)


async def _command(machine: Machine, chance: Random, _seconds: float) -> None:
    """Write a command, and press its button some times."""
    text = f"{chance.choice(COMMANDS)} because"
    machine.note(f"owner: {text}")
    known = len(machine.chat.messages)
    for _ in range(chance.randint(1, REPEATS_MAX)):
        machine.chat.say(text)
    await asyncio.sleep(chance.uniform(4.0, 20.0))
    buttons = [one for message in machine.chat.messages[known:] for one in message.buttons]
    for button in buttons:
        if button.text == CONFIRM:
            for _ in range(chance.randint(1, REPEATS_MAX)):
                machine.chat.press(button)


async def _signals(machine: Machine, chance: Random, _seconds: float) -> None:
    """Send a burst of signals, some of them twice."""
    life = machine.life
    if life is None or life.engine is None:
        return
    machine.note("signals: a burst")
    symbol = machine.config.feed.bitget.symbols[0]
    first = chance.randrange(10_000)
    sent = [
        Signal(symbol=symbol, name="mood", value=float(number), source="burst", id=str(number))
        for number in (first + chance.randrange(SIGNALS_A_BURST) for _ in range(SIGNALS_A_BURST))
    ]
    asking = [machine.in_process(life, life.engine.commands.receive(SignalBatch((one,)))) for one in sent]
    for done in await asyncio.gather(*asking, return_exceptions=True):
        assert done is None or not isinstance(done, Exception) or isinstance(done, PapertapeError), done


# ---------------------------------------------------------------- the machine


async def _clock(machine: Machine, chance: Random, seconds: float) -> Heal:
    by_ms = chance.choice(CLOCK_MS)
    machine.note(f"clock: set by {by_ms} ms for {seconds:.0f} s")
    return _as_before(machine.clock, "ahead_ms", by_ms)


async def _full_disk(machine: Machine, _chance: Random, seconds: float) -> Heal:
    machine.note(f"disk: full for {seconds:.0f} s")
    return _as_before(machine.disk, "is_full", True)


async def _slow_disk(machine: Machine, chance: Random, seconds: float) -> Heal:
    slow_s = chance.choice(SLOW_DISK_S)
    machine.note(f"disk: {slow_s} s slower for {seconds:.0f} s")
    return _as_before(machine.disk, "slow_s", slow_s)


async def _bad_commit(machine: Machine, _chance: Random, _seconds: float) -> None:
    machine.note("disk: the next commit fails, its outcome unknown")
    machine.disk.bad_commits = 1


async def _bad_write(machine: Machine, _chance: Random, _seconds: float) -> None:
    machine.note("disk: the next write of a small file fails")
    machine.disk.bad_writes = 1


async def _kill(machine: Machine, _chance: Random, _seconds: float) -> None:
    if machine.life is not None:
        machine.kill(machine.life)


async def _failpoint(machine: Machine, chance: Random, _seconds: float) -> None:
    name, reaches = chance.choice((*FAILPOINTS, *NOTIFIER_FAILPOINTS, *SEAL_FAILPOINTS)), chance.randint(1, 3)
    machine.note(f"a kill waits at {name}, the {reaches}. time")
    machine.arm(name, reaches)


async def _hang(machine: Machine, _chance: Random, seconds: float) -> Heal | None:
    life = machine.life
    if life is None:
        return None
    machine.note(f"the engine does not answer for {seconds:.0f} s")
    return _as_before(life, "answers", False)


FAULTS: Final = (
    Fault("stream", 5, _stream),
    Fault("pages", 8, _pages),
    Fault("late pages", 2, _late_pages),
    Fault("skew", 1, _skew),
    Fault("cut", 3, _cut),
    Fault("slow", 2, _slow),
    Fault("half open", 2, _half_open),
    Fault("chat", 4, _chat),
    Fault("command", 6, _command),
    Fault("signals", 1, _signals),
    Fault("clock", 2, _clock),
    Fault("full disk", 1, _full_disk),
    Fault("slow disk", 2, _slow_disk),
    Fault("bad commit", 2, _bad_commit),
    Fault("bad write", 2, _bad_write),
    Fault("kill", 3, _kill),
    Fault("failpoint", 5, _failpoint),
    Fault("hang", 1, _hang),
)


class Mischief:
    """Begins the faults of a schedule one after the other; `heal` ends all that still last."""

    def __init__(self, machine: Machine, chance: Random) -> None:
        self._machine, self._chance = machine, chance
        self._lasting: list[Heal] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, until_s: float) -> None:
        """Draw faults until a time of the loop."""
        loop, chance = self._machine.loop, self._chance
        assert process.get() == 0, "faults come from outside"
        while True:
            await asyncio.sleep(chance.expovariate(1.0 / EVERY_S))
            if loop.time() >= until_s:
                return
            (fault,) = chance.choices(FAULTS, [one.weight for one in FAULTS])
            seconds = chance.choice(SECONDS) * chance.uniform(0.5, 1.5)
            task = loop.create_task(self._do(fault, seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, fault: Fault, seconds: float) -> None:
        heal = await fault.begin(self._machine, self._chance, seconds)
        if heal is None:
            return
        self._lasting.append(heal)
        await asyncio.sleep(seconds)
        if heal in self._lasting:
            self._lasting.remove(heal)
            heal()
            self._machine.note(f"healed: {fault.name}")

    async def heal(self) -> None:
        """End every fault, in an order by chance."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        self._chance.shuffle(self._lasting)
        for heal in self._lasting:
            heal()
        machine = self._machine
        machine.exchange.faults.clear()
        machine.exchange._venue.skew_ms = 0
        machine.chat.faults.active.clear()
        machine.clock.ahead_ms, machine.disk.is_full, machine.disk.slow_s = 0, False, 0.0
        machine.disk.bad_commits = machine.disk.bad_writes = 0
        machine.disarm()
        for way in machine.network.ways.values():
            way.is_cut, way.slow_s = False, 0.0
        machine.note("everything is healed")
