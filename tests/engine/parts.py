"""An engine made of its real parts, without a process: a log on disk, a scripted feed, a manual clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.engine.ports.clock import ManualClock
from papertape.engine.ports.feed import RefusalLog, ResumePoint
from papertape.engine.runner_settings import RunnerSettings
from papertape.engine.startup import EngineSettings, open_engine
from tests.reducer.random_market import RandomTape, Recipe, market
from tests.reducer.runs import eager
from tests.support import NO_LIMITS, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.ports.feed import Feed
    from papertape.engine.startup import Engine
    from papertape.events.facts import ContractListed, FeedConnected, FeedFact

BUSY = Recipe(seed=5, symbols=3, candles=300, told_of=0.2, late_share=0.02, holes=2, warm_up=30)


class Given:
    """A feed that delivers what it was given, whatever the engine has seen: in batches of `a_batch` facts."""

    name = "given"

    def __init__(self, contracts: Sequence[ContractListed], facts: Iterable[FeedFact], a_batch: int = 7) -> None:
        self.refusals = RefusalLog()
        self._contracts, self._facts, self._a_batch = list(contracts), list(facts), a_batch

    def contracts(self) -> list[ContractListed]:
        return self._contracts

    async def facts(
        self,
        seen: Mapping[str, ResumePoint],  # noqa: ARG002
        anchor: FeedConnected | None,  # noqa: ARG002
    ) -> AsyncIterator[list[FeedFact]]:
        for first in range(0, len(self._facts), self._a_batch):
            yield self._facts[first : first + self._a_batch]


def settings(
    db: Path,
    risk: RiskSettings = NO_LIMITS,
    strategies: Mapping[str, Strategy] = STRATEGIES,
    runners: Mapping[str, RunnerSettings] | None = None,
    snapshot_every_events: int = 20_000,
) -> EngineSettings:
    """An engine on which `scripted` runs."""
    chosen = eager(["scripted"], risk) if runners is None else runners
    return EngineSettings(db, "test", strategies, chosen, snapshot_every_events=snapshot_every_events)


async def live(
    what: EngineSettings,
    feed: Feed,
    then: Callable[[Engine], object] = lambda _: None,
    clock: ManualClock | None = None,
) -> list[str]:
    """One life of an engine, from its start over the whole feed to its end; what it warned of."""
    warnings: list[str] = []
    async with open_engine(what, feed.contracts(), clock or ManualClock(), warnings.append) as running:
        await running.loop.run(feed)
        then(running)
    return warnings


def busy_tape(recipe: Recipe = BUSY) -> RandomTape:
    """A market in which a lot happens."""
    return market(recipe)


def busy(recipe: Recipe = BUSY) -> Given:
    """That market as a feed."""
    tape = busy_tape(recipe)
    return Given(tape.contracts, tape.events())
