"""The first minute of `make run`: what its settings show in that market time.

The market is a function of its seed, so it is run at full speed and asked when things happen; how long a start takes
is taken off with a margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.overrides import load_config
from papertape.events.facts import (
    CandleClosed,
    FeedLost,
    GapFilled,
    KillSwitchTripped,
    PositionOpened,
    RunnerConfigured,
    Timing,
)
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from tests.cli.test_up import DEMO
from tests.engine.logs import recorded
from tests.engine.processes import ok

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.facts import Event
    from papertape.events.log import Recorded

pytestmark = pytest.mark.system

START_S_MAX = 8.0
"""Until the market runs, on a machine that is busy with something else."""
TRADE_S_MAX, ALL_S_MAX = 15.0, 60.0


def first_day(folder: Path, *arguments: str) -> list[Recorded]:
    """Return the events of the first day of the demo's market."""
    sets = ("--set", "feed.sim.days=1")
    ok(folder, "run", "--config", str(DEMO), "--db", "log.db", "--speed", "max", "--until-end", *arguments, *sets)
    return recorded(folder / "log.db")


def shown_s(story: list[Recorded], kind: type[Event], **fields: object) -> float:
    """Return the seconds from `make run` until an event is first shown."""
    begun_ms = min(
        one.event.at_ms - one.event.timeframe_ms
        for one in story
        if isinstance(one.event, CandleClosed) and one.event.timing is not Timing.WARM_UP
    )
    found = (one.event for one in story if isinstance(one.event, kind))
    at_ms = next(one.at_ms for one in found if all(getattr(one, name) == value for name, value in fields.items()))
    return START_S_MAX + (at_ms - begun_ms) / 1_000.0 / load_config(DEMO).feed.speed


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> list[Recorded]:
    """What happens in the demo, as it comes."""
    return first_day(tmp_path_factory.mktemp("demo"))


def test_a_trade_comes_within_fifteen_seconds(story: list[Recorded]) -> None:
    assert shown_s(story, PositionOpened) < TRADE_S_MAX


def test_an_outage_is_seen_and_healed_within_a_minute(story: list[Recorded]) -> None:
    assert shown_s(story, FeedLost) < shown_s(story, GapFilled) < ALL_S_MAX


def test_one_kill_switch_trips_within_a_minute_and_says_why(story: list[Recorded]) -> None:
    assert shown_s(story, KillSwitchTripped) < ALL_S_MAX
    (trip,) = [one.event for one in story if isinstance(one.event, KillSwitchTripped)]
    assert (trip.scope, trip.reason, trip.threshold_percent) == ("vwap_rsi", "session_loss", 1.0)


def test_four_strategies_have_traded_and_are_ranked_within_a_minute(story: list[Recorded]) -> None:
    for name in ("vwap_rsi", "momentum", "funding", "liquidation"):
        assert shown_s(story, PositionOpened, strategy=name) < ALL_S_MAX
    portfolio, trades = Portfolio(), Trades()
    fold([portfolio, trades], story)
    rows = Arena(portfolio, trades).rows()
    assert [row.rank for row in rows] == [1, 2, 3, 4]
    assert all(row.trades and len(set(row.sparkline)) > 1 for row in rows)


def test_only_one_strategy_has_a_limit_of_its_own(story: list[Recorded]) -> None:
    limits = [one.event.risk["max_session_loss_percent"] for one in story if isinstance(one.event, RunnerConfigured)]
    assert sorted(limits) == [1.0, 5.0, 5.0, 5.0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 7, 11])
def test_other_markets_show_a_trade_and_a_healed_outage_as_soon(tmp_path: Path, seed: int) -> None:
    """The kill switch is the seed's own matter: a market in which the strategy wins trips none."""
    other = first_day(tmp_path, "--seed", str(seed))
    assert shown_s(other, PositionOpened) < TRADE_S_MAX
    assert shown_s(other, FeedLost) < shown_s(other, GapFilled) < ALL_S_MAX
