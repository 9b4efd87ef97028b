"""The configuration is compared with the log: only differences become events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.runner_settings import RunnerSettings
from papertape.events.errors import ConfigError
from papertape.events.facts import ContractListed, Event, RunnerConfigured, RunnerPaused, RunnerResumed, StrategyFailed
from tests.build import FIVE_MINUTES_MS, listed
from tests.engine.logs import recorded
from tests.engine.parts import Given, live, settings
from tests.engine.processes import ok, papertape
from tests.events.loop import in_loop
from tests.reducer.runs import TWO
from tests.support import NO_LIMITS, STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy

CALM = RunnerSettings(risk=NO_LIMITS)
BOTH = {"scripted": CALM, "second": CALM}
SAID = (ContractListed, RunnerConfigured, RunnerPaused, RunnerResumed, StrategyFailed)
RUN = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "log.db",
    "--set", "feed.sim.days=1", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT",
)  # fmt: skip
VANISHING = '''"""Never enters."""
from msgspec import Struct
NAME, SERIES = "vanishing", ("1m",)
class Parameters(Struct, frozen=True):
    width: float = 1.0
class Reading(Struct):
    width: float = 0.0
def enter(view, params, answer):
    return 0
'''


async def said(
    db: Path,
    runners: dict[str, RunnerSettings],
    contracts: tuple[ContractListed, ...] = (listed("X"),),
    strategies: dict[str, Strategy] = TWO,
) -> list[Event]:
    """What a start under this configuration writes about it."""
    before = len(recorded(db)) if db.exists() else 0  # noqa: ASYNC240 - nothing else runs in this loop
    await live(settings(db, strategies=strategies, runners=runners), Given(contracts, []))
    return [item.event for item in recorded(db)[before:] if isinstance(item.event, SAID)]


@in_loop
async def test_the_first_start_says_everything_and_the_next_one_nothing(tmp_path: Path) -> None:
    first = await said(tmp_path / "log.db", BOTH)
    assert [type(event) for event in first] == [ContractListed, RunnerConfigured, RunnerConfigured]
    assert await said(tmp_path / "log.db", BOTH) == []


@in_loop
async def test_a_changed_parameter_is_one_runner_configured(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    wider = {**BOTH, "second": RunnerSettings({"stop_percent": 2.0}, risk=NO_LIMITS)}
    (event,) = await said(tmp_path / "log.db", wider)
    assert isinstance(event, RunnerConfigured)
    assert (event.strategy, event.parameters["stop_percent"]) == ("second", 2.0)
    assert await said(tmp_path / "log.db", wider) == []


@in_loop
async def test_another_capital_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    before = recorded(tmp_path / "log.db")
    richer = {**BOTH, "second": RunnerSettings(risk=replace(NO_LIMITS, capital_usdt=20_000.0))}
    with pytest.raises(ConfigError, match=r"second: the log began with 10,000.00 USDT; capital_usdt = 20,000.00"):
        await said(tmp_path / "log.db", richer)
    assert recorded(tmp_path / "log.db") == before


@in_loop
async def test_another_base_timeframe_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    before = recorded(tmp_path / "log.db")
    with pytest.raises(ConfigError, match="the candles are of 5 min, the log holds 1 min"):
        await said(tmp_path / "log.db", BOTH, (listed("X", timeframe_ms=FIVE_MINUTES_MS),))
    assert recorded(tmp_path / "log.db") == before


@in_loop
async def test_a_strategy_that_is_not_named_any_more_is_paused_and_goes_on_when_it_is(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    (paused,) = await said(tmp_path / "log.db", {"scripted": CALM})
    assert isinstance(paused, RunnerPaused)
    assert (paused.strategy, paused.who) == ("second", "configuration")
    assert await said(tmp_path / "log.db", {"scripted": CALM}) == []
    (resumed,) = await said(tmp_path / "log.db", BOTH)
    assert isinstance(resumed, RunnerResumed)
    assert (resumed.strategy, resumed.who) == ("second", "configuration")


@in_loop
async def test_a_pause_by_hand_is_not_ended_by_the_configuration(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    what = settings(tmp_path / "log.db", strategies=TWO, runners=BOTH)
    await live(what, Given([listed("X")], [RunnerPaused(1, "second", "anna", "holidays")]))  # type: ignore[list-item]
    assert await said(tmp_path / "log.db", {"scripted": CALM}) == []
    assert await said(tmp_path / "log.db", BOTH) == []


@in_loop
async def test_a_new_symbol_is_listed_behind_the_others_and_traded_by_all(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    found = await said(tmp_path / "log.db", BOTH, (listed("X"), listed("Y")))
    assert [type(event) for event in found] == [ContractListed, RunnerConfigured, RunnerConfigured]
    assert all(event.symbols == ("X", "Y") for event in found if isinstance(event, RunnerConfigured))


@in_loop
async def test_a_changed_contract_is_listed_again(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    (event,) = await said(tmp_path / "log.db", BOTH, (listed("X", tick=(1, 100)),))
    assert isinstance(event, ContractListed)
    assert (event.tick_numerator, event.tick_denominator) == (1, 100)


@in_loop
async def test_a_strategy_of_the_log_that_is_not_there_any_more_is_parked_once(tmp_path: Path) -> None:
    await said(tmp_path / "log.db", BOTH)
    found = await said(tmp_path / "log.db", {"scripted": CALM}, strategies=STRATEGIES)
    assert found == [StrategyFailed(listed("X").at_ms, "second", "", "", "its file is missing")]
    assert await said(tmp_path / "log.db", {"scripted": CALM}, strategies=STRATEGIES) == []


def test_the_program_ends_with_4_and_says_which(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "vanishing.py").write_text(VANISHING)
    with_own = (*RUN, "strategies.folders=own")
    ok(tmp_path, *with_own)
    richer = papertape(tmp_path, *with_own, "risk.capital_usdt=5000")
    assert (richer.returncode, richer.stderr.count("\n")) == (4, 1)
    assert "the log began with 10,000.00 USDT" in richer.stderr
    typo = papertape(tmp_path, *with_own, "risk.capitol_usdt=5000")
    assert typo.returncode == 4
    assert "capitol_usdt" in typo.stderr
    (own / "vanishing.py").unlink()
    gone = papertape(tmp_path, *with_own)
    assert gone.returncode == 0, gone.stderr
    (failed,) = [item.event for item in recorded(tmp_path / "log.db") if isinstance(item.event, StrategyFailed)]
    assert (failed.strategy, failed.error) == ("vanishing", "its file is missing")
