"""One strategy's file under several names, each with parameters, an account and references of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.loader import read_config
from papertape.cli.config.overrides import apply_sets, load_config, tree_of
from papertape.cli.config.sections import config_digest, runner_settings, strategies_of
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.reducer.state import new_state
from papertape.events.errors import ConfigError
from papertape.events.facts import OrderPlaced, RunnerConfigured
from papertape.events.upcast import RunnerConfigured1, without_names
from tests.build import FIVE_MINUTES_MS
from tests.engine.processes import ok
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import begin
from tests.support import STRATEGIES, feed

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config

pytestmark = pytest.mark.system

TWO = """
[strategies]
enabled = ["momentum", "momentum_fast"]
[strategies.momentum]
trend_adx_threshold = 5.0
exit_adx_threshold = 12.0
volume_confirmation_multiplier = 0.6
[strategies.momentum_fast]
of = "momentum"
breakout_lookback = 4
trend_adx_threshold = 5.0
exit_adx_threshold = 12.0
volume_confirmation_multiplier = 0.6
[strategies.momentum_fast.risk]
capital_usdt = 2000.0
"""
LOOKS_AT = '''"""Look at another symbol."""
from msgspec import Struct

NAME = "looks_at"
SERIES = ("5m",)
REFERENCES = {"leader": "BTCUSDT"}


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class Reading(Struct):
    """None."""


def enter(view, params, answer):
    """Never."""
    return 0
'''


def config(folder: Path, text: str) -> Config:
    """The configuration of a file."""
    path = folder / "papertape.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def test_an_instance_runs_the_file_with_its_own_parameters_and_capital(tmp_path: Path) -> None:
    read = config(tmp_path, TWO)
    strategies = strategies_of(read)
    fast = strategies["momentum_fast"]
    assert (fast.name, fast.of, fast.hooks) == ("momentum_fast", "momentum", strategies["momentum"].hooks)
    settings = runner_settings(read, strategies)
    assert settings["momentum_fast"].parameters["breakout_lookback"] == 4
    assert "breakout_lookback" not in settings["momentum"].parameters
    assert settings["momentum_fast"].risk.capital_usdt == 2_000.0


def test_both_trade_side_by_side_and_the_log_explains_itself(tmp_path: Path) -> None:
    read, tape = config(tmp_path, TWO), market(Recipe(3, 2, 400, FIVE_MINUTES_MS))
    strategies = strategies_of(read)
    run = begin(tape.contracts, runner_settings(read, strategies), strategies)
    feed(run.world, run.log, tape.events())
    orders = [event.strategy for event in run.events() if isinstance(event, OrderPlaced)]
    assert set(orders) == {"momentum", "momentum_fast"}
    configured = {event.strategy: event.of for event in run.events() if isinstance(event, RunnerConfigured)}
    assert configured == {"momentum": "", "momentum_fast": "momentum"}
    followed = new_state(STRATEGIES)
    fold(followed, run.log)
    assert state_digest(followed) == state_digest(run.world), "without the configuration that names the instance"


def test_set_reaches_an_instance(tmp_path: Path) -> None:
    read = apply_sets(config(tmp_path, TWO), ["momentum_fast.breakout_lookback=7"])
    assert read.strategies.by_name["momentum_fast"].parameters["breakout_lookback"] == 7
    assert read.strategies.by_name["momentum_fast"].of == "momentum"
    again = apply_sets(read, ["momentum_fast.breakout_lookback=4"])
    assert config_digest(again) == config_digest(config(tmp_path, TWO))
    assert tree_of(again)["strategies"]["momentum"].keys().isdisjoint({"of", "references"})


def test_the_command_line_introduces_an_instance(tmp_path: Path) -> None:
    config(tmp_path, TWO)
    assert "momentum_fast (of momentum) " in ok(tmp_path, "strategies")
    assert "momentum_fast  of momentum, breakout_lookback = 4" in ok(tmp_path, "config", "check")
    sets = ("--set", "feed.sim.days=1", "feed.sim.warm_up_days=0")
    ok(tmp_path, "run", "--speed", "max", "--until-end", "--db", "log.db", *sets)
    assert "momentum_fast (of momentum): the same file" in ok(tmp_path, "arena", "--db", "log.db")


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('[strategies.fast]\nof = "momentun"', r":2: strategies\.fast\.of = \"momentun\" is an unknown strategy; did"),
        ('[strategies.fast]\nof = ["momentum"]', "strategies.fast.of"),
        ('[strategies.funding]\nof = "momentum"', "funding has a file of its own; choose another name"),
        ('[strategies.risk]\nof = "momentum"', "'risk' cannot be a strategy's name"),
        ('[strategies."a b"]\nof = "momentum"', "'a b' cannot be a strategy's name"),
        ('[strategies.momentum]\nof = ""', "momentum has a file of its own"),
        ('[strategies.fast]\nof = "momentum"\nlookback = 3', "strategies.fast.lookback"),
        ('[strategies.a]\nof = "momentum"\n[strategies.b]\nof = "a"', "strategies.b.of"),
    ],
)
def test_a_section_that_cannot_be_an_instance_is_refused_by_name(tmp_path: Path, section: str, says: str) -> None:
    path = tmp_path / "papertape.toml"
    path.write_text(section, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        load_config(path)


def test_the_section_of_a_strategy_chooses_its_references(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "looks_at.py").write_text(LOOKS_AT, encoding="utf-8")
    head = '[feed.sim]\nsymbols = ["ETHUSDT", "BTCUSDT", "SOLUSDT"]\n[strategies]\nfolders = ["own"]\n'
    own = '[strategies.looks_at]\nleader = "SOLUSDT"\n[strategies.second]\nof = "looks_at"\nleader = "ETHUSDT"\n'
    read = config(tmp_path, head + own)
    chosen = {name: dict(one.references) for name, one in strategies_of(read).items() if one.references}
    assert chosen == {"looks_at": {"leader": "SOLUSDT"}, "second": {"leader": "ETHUSDT"}}
    changed = apply_sets(read, ["second.leader=BTCUSDT"])
    assert dict(strategies_of(changed)["second"].references) == {"leader": "BTCUSDT"}
    path = tmp_path / "wrong.toml"
    path.write_text(head + own.replace("SOLUSDT", "DOGEUSDT"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r'strategies\.looks_at\.leader = "DOGEUSDT" is an unknown symbol'):
        load_config(path)


def test_a_configuration_of_an_earlier_version_is_of_no_other_strategy() -> None:
    risk: dict[str, int | float] = {}
    new = without_names(RunnerConfigured1(5, "momentum", ("X",), {"a": 1}, {}, risk, "abc"))
    assert (new.strategy, new.of, new.references, new.series) == ("momentum", "", {}, ())
