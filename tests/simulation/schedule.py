"""One schedule: a machine, an exchange and a chat from one seed, faults for a while, then calm, then the checks."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.config.live_sections import BitgetSection
from papertape.cli.config.log_sections import LogsSection
from papertape.cli.config.sections import (
    BackupSection,
    Config,
    EngineSection,
    FeedSection,
    StrategiesSection,
    StrategySection,
    TelegramSection,
    strategies_of,
)
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.sandbox.bitget.faults import BitgetFaultInjector
from papertape.sandbox.bitget.venue import ExchangeBehaviour
from papertape.sandbox.telegram.twin import CHAT_ID, TOKEN
from tests.simulation.checks import check, is_well
from tests.simulation.faults import Mischief
from tests.simulation.loop import SimulatedLoop, SimulationStalled, run
from tests.simulation.machine import Machine, SimulatedClock
from tests.simulation.seams import Seam, installed
from tests.simulation.sites import CHAT, EXCHANGE, ScriptedMarket, SimulatedExchange
from tests.support import SCRIPTED_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from papertape.engine.kernel.strategy import Strategy
    from tests.simulation.broken import Broken

START_MS: Final = 20_600 * DAY_MS + 6 * HOUR_MS + 20_300
MINUTES: Final = (10.0, 15.0, 20.0, 30.0)
CALM_MINUTES_MAX: Final = 45
COUNT_EVERY_S: Final = 60.0
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
BEHAVIOUR: Final = ExchangeBehaviour(update_ms=60_000, ticker_ms=30_000, snapshot_rows=5)
"""Few frames a minute; what counts is shown all the same."""
MEMORY: Final = Path("/dev/shm")


class Outcome(Struct):
    """What a schedule has shown. `log_digest` is the hash that chains all rows of its log, `sealed` counts segments."""

    seed: int
    wrong: list[str]
    log_digest: str
    events: int
    virtual_s: float
    starts: int
    kills: int
    sealed: int
    lines: list[tuple[float, str]]
    steps: int = 0


@cache
def _base() -> tuple[Config, dict[str, Strategy]]:
    """Return the configuration of all schedules, and its strategies, which are loaded once."""
    bitget = BitgetSection(
        symbols=SYMBOLS, rest_url=f"http://{EXCHANGE}", ws_url=f"ws://{EXCHANGE}/v2/ws/public",
        warm_up_days=5 * MINUTE_MS / DAY_MS, silence_s=60.0,
    )  # fmt: skip
    by_name = {
        "scripted": StrategySection(parameters={"stop_percent": 0.4, "target_percent": 0.6}),
        "second": StrategySection(of="scripted", parameters={"stop_percent": 0.2, "target_percent": 1.0}),
    }
    config = Config(
        engine=EngineSection(snapshot_every_events=100),
        feed=FeedSection(kind="bitget", speed=1.0, bitget=bitget),
        risk=RiskSettings(max_session_loss_percent=0.6, max_daily_loss_percent=3.0, global_max_loss_percent=1.5),
        strategies=StrategiesSection(("scripted", "second"), (str(SCRIPTED_FOLDER),), by_name),
        telegram=TelegramSection(api_url=f"http://{CHAT}"),
        backup=BackupSection(every_hours=0.0),
        logs=LogsSection(folder=""),
    )
    return config, strategies_of(config)


def run_schedule(seed: int, more: Callable[[], list[Seam]] = list) -> Outcome:
    """Run the schedule of a seed. `more` puts further names in place, to break a promise on purpose."""
    folder = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="papertape-simulation-", dir=folder) as path:
        return _run_in(Path(path), seed, more)


def _run_in(folder: Path, seed: int, more: Callable[[], list[Seam]]) -> Outcome:
    config, strategies = _base()
    config = replace(config, file=str(folder / "papertape.toml"), engine=replace(config.engine, db="log.db"))
    (folder / ".env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\nTELEGRAM_CHAT_ID={CHAT_ID}\n", encoding="utf-8")
    loop = SimulatedLoop(Random(f"{seed} timers"))
    market = ScriptedMarket(SYMBOLS, seed)

    def exchange(clock: SimulatedClock) -> SimulatedExchange:
        return SimulatedExchange(market, clock, faults=BitgetFaultInjector(seed), behaviour=BEHAVIOUR)

    machine = Machine(loop, Random(f"{seed} machine"), config, strategies, START_MS, exchange)
    wrong: list[str] = []
    gc.disable()
    try:
        with installed(machine, more):
            try:
                run(loop, _play(machine, seed, wrong))
            except SimulationStalled as stalled:
                wrong.append(f"stalled: {stalled}")
            except AssertionError as broken:
                wrong.append(f"asserted: {broken}")
        found, digest, events = check(machine)
    finally:
        gc.enable()
    lines = list(machine.lines)
    return Outcome(
        seed,
        wrong + found,
        digest,
        events,
        loop.time(),
        machine.starts,
        machine.kills,
        machine.sealed,
        lines,
        loop.steps,
    )


def find_broken(broken: Broken, seeds: Iterable[int]) -> Outcome | None:
    """Return the first schedule that shows a promise broken on purpose, if any does."""
    outcomes = (run_schedule(seed, broken.seams) for seed in seeds)
    return next((one for one in outcomes if any(text.startswith(broken.shows) for text in one.wrong)), None)


async def _play(machine: Machine, seed: int, wrong: list[str]) -> None:
    """Let faults happen for a while, heal them, wait until everything is well again, and stop the engine."""
    chance = Random(f"{seed} faults")
    mischief, supervisor = Mischief(machine, chance), machine.supervisor()
    async with machine.exchange:
        keeping = asyncio.ensure_future(supervisor.keep())
        counting = asyncio.ensure_future(_count(machine))
        await mischief.run(60.0 * chance.choice(MINUTES))
        await mischief.heal()
        for _ in range(CALM_MINUTES_MAX):
            await asyncio.sleep(60.0)
            if is_well(machine):
                break
        else:
            wrong.append(f"not well again {CALM_MINUTES_MAX} minutes after everything was healed")
        counting.cancel()
        machine.note("the engine is asked to stop")
        supervisor.stop()
        await asyncio.wait([keeping], timeout=60.0)
        if not keeping.done():
            wrong.append("the engine does not stop")
        elif code := keeping.result():
            wrong.append(f"the supervisor ends with {code}")


async def _count(machine: Machine) -> None:
    while True:
        await asyncio.sleep(COUNT_EVERY_S)
        machine.measure()
