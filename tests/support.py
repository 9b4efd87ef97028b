"""Shared by the tests of the engine: where the market data lies, the strategies, and short ways to make worlds."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings

from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.ports.clock import ManualClock
from papertape.engine.reducer.reducer import decide, is_new
from papertape.engine.reducer.state import EngineState, new_state
from papertape.engine.research.tape import Tape, tape_of
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import code_digest, load_strategies
from papertape.events.facts import (
    CandleClosed,
    ContractListed,
    Event,
    FundingRateSettled,
    OpenInterestObserved,
    SignalReceived,
)
from papertape.events.log import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("PAPERTAPE_SHARED", REPOSITORY.parent / "shared"))
DATA = SHARED / "data"
SCRIPTED_FOLDER = Path(__file__).parent / "kernel" / "scripted"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(),
    reason=f"there are no market files at {DATA}; PAPERTAPE_SHARED names the folder that holds `data`",
)

NO_LIMITS = RiskSettings(max_session_loss_percent=100.0, max_daily_loss_percent=100.0, global_max_loss_percent=100.0)
NO_COSTS = RiskSettings(taker_fee_percent=0.0, maker_fee_percent=0.0, slippage_percent=0.0)
STRATEGIES: dict[str, Strategy] = load_strategies([SCRIPTED_FOLDER])
"""The built-in strategies and `scripted`. One set for all tests, so that each is compiled once."""
DIGEST = code_digest(STRATEGIES.values())


PROVING = "PAPERTAPE_PROVE" in os.environ
"""Whether a property is tried on all its examples, as `make prove` does, or on a quarter of them."""


def examples(count: int) -> settings:
    """The profile of all properties: the same examples in every run, and a bounded number of them."""
    tried = count if PROVING else (count + 3) // 4
    return settings(
        derandomize=True, max_examples=tried, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


# ---------------------------------------------------------------- worlds


def configured_world(
    contracts: Sequence[ContractListed],
    runners: Mapping[str, RunnerSettings],
    strategies: Mapping[str, Strategy] = STRATEGIES,
) -> EngineState:
    """A world that took the configuration's events and nothing else."""
    world = new_state(strategies)
    for seq, event in enumerate(configuration(strategies, contracts, runners), start=1):
        decide(world, event, seq)
    return world


def take(world: EngineState, log: list[Recorded], event: Event) -> list[Event]:
    """Let a world react to an input, write both to the log; the consequences."""
    entries = decide(world, event, len(log) + 1)
    for entry in entries:
        log.append(Recorded(len(log) + 1, 0, entry.cause, entry.event))
    return [entry.event for entry in entries[1:]]


FEED_FACTS = (CandleClosed, FundingRateSettled, OpenInterestObserved, SignalReceived)


def feed(world: EngineState, log: list[Recorded], events: Iterable[Event]) -> None:
    """Let a world react to market facts, leaving out those that are no news, as the loop does."""
    for event in events:
        if not isinstance(event, FEED_FACTS) or is_new(world, event):
            take(world, log, event)


def state_of(world: EngineState) -> bytes:
    """Everything in a world that a log determines, to the last bit; the runners' scratch rows are left out."""
    runners = [
        [
            getattr(runner, name)
            for name in (
                "configured",
                "rules",
                "account",
                "params",
                "desks",
                "states",
                "signals",
                "active",
                "order_seq",
                "trip_seq",
            )
        ]
        for runner in world.runners
    ]
    names = [name for name in EngineState.__struct_fields__ if name not in ("strategies", "runners")]
    return msgspec.msgpack.encode([[getattr(world, name) for name in names], runners])


# ---------------------------------------------------------------- files


def path_of(name: str) -> Path:
    """A file of the shared market data."""
    return DATA / name


def file_tape(
    candles: Sequence[str],
    funding: Sequence[str] = (),
    open_interest: Sequence[str] = (),
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Tape:
    """A tape of shared files."""
    given = FileSettings(
        candles=tuple(map(path_of, candles)),
        funding=tuple(map(path_of, funding)),
        open_interest=tuple(map(path_of, open_interest)),
    )
    return tape_of(FileFeed(given, ManualClock()), start_ms, end_ms)


def indicator_table(name: str) -> dict[str, list[Any]]:
    """A reference table as columns; an empty cell is None."""
    path = DATA / "indicators" / name
    opener = gzip.open if name.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = [column for column in rows[0] if column != "date"]
    return {column: [float(row[column]) if row[column] else None for row in rows] for column in names}
