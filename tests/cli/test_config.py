"""The configuration: how it is read, and how every mistake is reported."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.config.loader import schema
from papertape.cli.config.overrides import apply_sets, load_config
from papertape.cli.config.schema import ConfigKey, ConfigTable, range_text
from papertape.cli.config.sections import (
    Config,
    bitget_settings,
    config_digest,
    enabled_names,
    file_settings,
    runner_settings,
    sim_settings,
    strategies_of,
)
from papertape.events.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "papertape.toml"
WRITTEN_BY_PROMOTE = ("study", "promise")


def read(folder: Path, text: str) -> Config:
    path = folder / "my.toml"
    path.write_text(text)
    return load_config(path)


MISTAKES = {
    "out of range": (
        "[risk]\n\nleverage = 500",
        3, "risk.leverage = 500", "must be 1 to 125 x (default 3)",
    ),
    "at an open end": (
        "[strategies.momentum]\ntp_percent = 0",
        2, "strategies.momentum.tp_percent = 0", "must be above 0 to 50 %",
    ),
    "of a symbol": (
        "[strategies.momentum.symbols.BTCUSDT]\nbreakout_lookback = 2049",
        2, "strategies.momentum.symbols.BTCUSDT.breakout_lookback = 2049", "must be 1 to 2048 candles",
    ),
    "a fraction for a whole number": (
        "strategies.momentum.breakout_lookback = 2.5",
        1, "strategies.momentum.breakout_lookback = 2.5", "must be a whole number, 1 to 2048 candles",
    ),
    "a text for a number": ("[risk]\nleverage = 'x'", 2, 'risk.leverage = "x"', "must be a number, 1 to 125 x"),
    "a truth for a number": ("[feed]\nspeed = true", 2, "feed.speed = true", "must be a number, 0 to 1000000 x"),
    "a number for a text": ("[engine]\ndb = 3", 2, "engine.db = 3", "must be a string that is not empty"),
    "a number for a table": ("risk = 3", 1, "risk = 3", "must be a table"),
    "not a number": ("[risk]\nleverage = nan", 2, "risk.leverage = nan", "must be a finite number, 1 to 125 x"),
    "infinite": ("[feed]\nspeed = inf", 2, "feed.speed = inf", "must be a finite number, 0 to 1000000 x"),
    "unknown section": ("[rsk]\n", 1, "rsk", "is an unknown section; did you mean risk? Choose from: engine, feed"),
    "unknown key": (
        "[feed.sim]\nsede = 7",
        2, "feed.sim.sede", "is an unknown key; did you mean seed? Choose from: seed",
    ),
    "unknown strategy": ("[strategies.momentm]", 1, "strategies.momentm", "did you mean momentum?"),
    "unknown enabled": (
        "[strategies]\nenabled = [\n 'momentum',\n 'fundin',\n]",
        4, 'strategies.enabled[1] = "fundin"', "did you mean funding?",
    ),
    "unknown parameter": (
        "[strategies.momentum]\ntp_percnt = 1",
        2, "strategies.momentum.tp_percnt", "is an unknown parameter; did you mean tp_percent?",
    ),
    "unwatched symbol": (
        "[strategies.momentum]\nonly_symbols = ['BTCUSD']",
        2, 'strategies.momentum.only_symbols[0] = "BTCUSD"', "did you mean BTCUSDT?",
    ),
    "unwatched symbol of a table": (
        "[strategies.momentum.symbols.XRPUSDT]\ntp_percent = 1",
        1, "strategies.momentum.symbols.XRPUSDT", "is an unknown symbol",
    ),
    "small letters": (
        "[feed.sim]\nsymbols = ['btcusdt']",
        2, 'feed.sim.symbols[0] = "btcusdt"', "must be capital letters and digits, like BTCUSDT",
    ),
    "twice in a list": ("[feed.sim]\nsymbols = ['A', 'A']", 2, 'feed.sim.symbols[1] = "A"', "is a duplicate"),
    "empty list": ("[strategies]\nenabled = []", 2, "strategies.enabled = []", "must not be empty"),
    "no choice": ("[feed]\nkind = 'live'", 2, 'feed.kind = "live"', 'must be "bitget" or "ccxt" or "file"'),
    "no date": ("[feed.sim]\nstart = '2025-13-01'", 2, 'feed.sim.start = "2025-13-01"', "a date like 2025-01-01"),
    "too early": ("[feed.sim]\nstart = 1970-01-01", 2, "feed.sim.start = 1970-01-01", "from 1971 to 2099"),
    "end before start": (
        "[feed.file]\nstart = 2025-02-01\nend = 2025-01-01",
        3, 'feed.file.end = "2025-01-01"', 'must be later than start, "2025-02-01"',
    ),
    "no files": ("[feed]\nkind = 'file'", 1, "feed.file.candles = []", "must name at least one file"),
    "a file of no symbol": (
        "[feed]\nkind = 'file'\n[feed.file]\ncandles = ['x.csv']",
        4, 'feed.file.candles = ["x.csv"]', "the name does not say the symbol",
    ),
    "no folder": ("[strategies]\nfolders = ['mine']", 2, 'strategies.folders = ["mine"]', "is not a folder"),
    "a key twice": ("[risk]\nleverage = 2\nleverage = 3", 3, "duplicate key risk.leverage", "first set in line 2"),
    "a table twice": ("[risk]\n[feed]\n[risk]", 3, "duplicate key risk", "first set in line 1"),
    "no TOML": ("\n[risk]\nleverage = 3 4", 3, "not TOML", "leverage = 3 4"),
    "an open list": ("\n[feed.sim]\nsymbols = ['A',\n\n'B'\n", 3, "not TOML", "Unclosed array"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_what_is_valid(name: str, tmp_path: Path) -> None:
    text, line, path, reason = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'my.toml'}:{line}: {path}")
    assert reason in str(caught.value)


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "[risk]\nleverage = 0\n[feed]\nspeed = -1\nspead = 1\n")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "4", "5"]


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this configuration file does not exist"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"a = 1\n\xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes\.toml:2: not UTF-8 text"):
        load_config(tmp_path / "bytes.toml")


def test_the_example_file_says_the_defaults() -> None:
    example = load_config(EXAMPLE)
    assert replace(example, file="") == Config()
    assert config_digest(example) == config_digest(Config())


def test_the_example_file_holds_every_key() -> None:
    tree = tomllib.loads(EXAMPLE.read_text())
    missing = [path for path, _ in _keys(schema(strategies_of(Config()))) if not _holds(tree, path)]
    assert [path for path in missing if path[-1] not in WRITTEN_BY_PROMOTE] == []


def test_the_example_file_says_every_valid_range() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for path, key in _keys(schema(strategies_of(Config()))):
        if key.kind in ("number", "whole number"):
            bounds = range_text(key).removesuffix(key.unit).strip()
            stated = [line for line in lines if line.startswith(f"{path[-1]} ")]
            assert any(f"; {bounds}" in line for line in stated), f"{'.'.join(path)}: the example does not say {bounds}"


def _keys(table: ConfigTable, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ConfigKey]]:
    for name, node in table.keys.items():
        if path[:1] == ("strategies",) and name == "risk":
            continue  # A strategy's own risk has the keys of [risk], which stand there.
        if isinstance(node, ConfigKey):
            yield (*path, name), node
        else:
            yield from _keys(node, (*path, name))


def _holds(tree: object, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True


def test_a_written_default_is_no_change_and_a_changed_value_is(tmp_path: Path) -> None:
    same = read(tmp_path, "[strategies.momentum]\nbreakout_lookback = 20\n[risk]\nleverage = 3")
    other = read(tmp_path, "[strategies.momentum]\nbreakout_lookback = 21")
    assert config_digest(same) == config_digest(Config()) != config_digest(other)


def test_runners_get_their_parameters_symbols_and_risk(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[risk]\nleverage = 5\n[strategies]\nenabled = ['funding', 'momentum']\n"
        "[strategies.momentum]\ntp_percent = 1\nonly_symbols = ['BTCUSDT']\n"
        "[strategies.momentum.symbols.BTCUSDT]\nbreakout_lookback = 30\n",
    )
    settings = runner_settings(config, strategies_of(config))
    assert list(settings) == ["funding", "momentum"] == list(enabled_names(config) or ())
    momentum = settings["momentum"]
    assert (momentum.parameters, momentum.symbols) == ({"tp_percent": 1.0}, ("BTCUSDT",))
    assert momentum.symbol_parameters == {"BTCUSDT": {"breakout_lookback": 30}}
    assert momentum.risk.leverage == 5.0


def test_a_strategy_may_risk_something_of_its_own(tmp_path: Path) -> None:
    config = read(tmp_path, "[risk]\nleverage = 5\n[strategies.momentum.risk]\nmax_session_loss_percent = 1\n")
    settings = runner_settings(config, strategies_of(config))
    assert settings["momentum"].risk == replace(config.risk, max_session_loss_percent=1.0)
    assert settings["funding"].risk == config.risk
    assert apply_sets(Config(), ["momentum.risk.max_session_loss_percent=1", "risk.leverage=5"]).strategies == (
        config.strategies
    )


def test_the_limits_of_all_together_are_no_strategys_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"my\.toml:2: strategies\.momentum\.risk\.global_max_loss_percent is an unk"):
        read(tmp_path, "[strategies.momentum.risk]\nglobal_max_loss_percent = 1\n")


def test_outages_are_as_frequent_as_the_file_says(tmp_path: Path) -> None:
    assert sim_settings(read(tmp_path, "feed.sim.outage_every_hours = 6")).outage_every_hours == 6
    with pytest.raises(
        ConfigError, match=r"my\.toml:1: feed\.sim\.outage_every_hours = 1: must be 0 for no outages, or 2"
    ):
        read(tmp_path, "feed.sim.outage_every_hours = 1")


def test_all_strategies_run_when_none_is_named() -> None:
    strategies = strategies_of(Config())
    assert enabled_names(Config()) is None
    assert list(runner_settings(Config(), strategies)) == list(strategies)


def test_a_strategy_of_ones_own_is_found_beside_the_file_and_configured(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "always.py").write_text(OWN_STRATEGY)
    config = read(tmp_path, "[strategies]\nfolders = ['mine']\nenabled = ['always']\n[strategies.always]\nnerve = 0.5")
    assert runner_settings(config, strategies_of(config))["always"].parameters == {"nerve": 0.5}
    with pytest.raises(ConfigError, match=r"my\.toml:4: strategies\.always\.nerve = 2: must be 0 to 1"):
        read(tmp_path, "[strategies]\nfolders = ['mine']\n[strategies.always]\nnerve = 2")


OWN_STRATEGY = """
from typing import Annotated
from msgspec import Meta, Struct

NAME = "always"
SERIES = ("1m",)

class Parameters(Struct, frozen=True):
    nerve: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0

class Reading(Struct):
    close: float = 0.0

def enter(view, params, answer):
    return 1
"""


def test_the_simulated_market_gets_its_settings(tmp_path: Path) -> None:
    config = read(
        tmp_path, "[feed]\nspeed = 60\n[feed.sim]\nstart = 2025-01-02T01:00:00Z\ndays = 3\n[groups]\nBTCUSDT = 'a'"
    )
    settings = sim_settings(config)
    assert (settings.start_ms, settings.days, settings.speed) == (1_735_779_600_000, 3, 60.0)
    assert settings.groups == {"BTCUSDT": "a"}


def test_paths_are_seen_from_the_folder_of_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[engine]\ndb = 'a.db'\n[feed]\nkind = 'file'\n"
        "[feed.file]\ncandles = ['x_BTCUSDT_1m.csv', 'ETHUSDT=y.csv']\ntimeframe = '5m'\nend = '2025-01-01'",
    )
    settings = file_settings(config)
    assert config.database == tmp_path / "a.db"
    assert settings.candles == (f"{tmp_path}/x_BTCUSDT_1m.csv", f"ETHUSDT={tmp_path}/y.csv")
    assert (settings.timeframe_ms, settings.start_ms, settings.end_ms) == (300_000, None, 1_735_689_600_000)


def test_set_changes_single_keys_with_or_without_the_section() -> None:
    config = apply_sets(
        Config(),
        ["momentum.breakout_lookback=30", "strategies.funding.tp_percent=1", "risk.max_session_loss_percent=100",
         "momentum.symbols.BTCUSDT.tp_percent=2", "feed.sim.symbols=BTCUSDT,ETHUSDT", "feed.sim.start=2025-02-01"],
    )  # fmt: skip
    said = config.strategies.by_name
    assert said["momentum"].parameters == {"breakout_lookback": 30}
    assert said["momentum"].symbols == {"BTCUSDT": {"tp_percent": 2.0}}
    assert said["funding"].parameters == {"tp_percent": 1.0}
    assert config.risk.max_session_loss_percent == 100.0
    assert (config.feed.sim.symbols, config.feed.sim.start) == (("BTCUSDT", "ETHUSDT"), "2025-02-01")


def test_changes_that_only_fit_together_are_checked_together() -> None:
    config = apply_sets(Config(), ["feed.kind=file", "feed.file.candles=BTCUSDT=x.csv"])
    assert config.feed.kind == "file"


BAD_SETS = {
    "momentum.breakout_lookback=2.5": (
        'strategies.momentum.breakout_lookback = "2.5": must be a whole number, 1 to 2048'
    ),
    "momentum.breakout_lookback=9000": "strategies.momentum.breakout_lookback = 9000: must be 1 to 2048 candles",
    "risk.leverage=nan": "risk.leverage = nan: must be a finite number",
    "momntum.tp_percent=1": "momntum.tp_percent is an unknown key; did you mean momentum?",
    "momentum.tp=1": "strategies.momentum.tp is an unknown parameter",
    "risk=1": "risk is a table, not a key",
    "risk.leverage.x=1": "risk.leverage.x has no keys",
    "momentum.only_symbols=XRPUSDT": 'only_symbols[0] = "XRPUSDT" is an unknown symbol',
}


@pytest.mark.parametrize("change", BAD_SETS)
def test_a_bad_set_is_named_as_it_was_written(change: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_sets(Config(), [change])
    assert str(caught.value).startswith(f"--set {change}: ")
    assert BAD_SETS[change] in str(caught.value)


@pytest.mark.parametrize("change", ["leverage", "=3", "risk leverage=3", ""])
def test_a_set_that_is_not_key_equals_value_is_a_usage_error(change: str) -> None:
    with pytest.raises(UsageError, match="must be KEY=VALUE"):
        apply_sets(Config(), [change])


def test_the_live_market_is_configured_like_every_other(tmp_path: Path) -> None:
    live = read(tmp_path, "[feed]\nkind = 'bitget'\n[feed.bitget]\nsymbols = ['DOGEUSDT']\nsettle_s = 1")
    made = bitget_settings(live, warm_up_ms=60_000)
    assert (made.symbols, made.settle_s, made.warm_up_ms, made.speed) == (("DOGEUSDT",), 1.0, 60_000, 1.0)
    with pytest.raises(ConfigError, match="BTCUSDT"):
        read(
            tmp_path,
            "[feed]\nkind='bitget'\n[feed.bitget]\nsymbols=['DOGEUSDT']\n[strategies.momentum.symbols.BTCUSDT]\nsl_percent=1.0",
        )


@pytest.mark.parametrize(
    "start", ["20250102", "1735776000", "1735776000000", "2025-01-02", "'20250102'", "'1735776000'"]
)
def test_a_day_is_the_same_day_however_it_is_written(start: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"[feed.file]\nstart = {start}").feed.file.start == "2025-01-02"


@pytest.mark.parametrize("start", ["202501", "17357760000", "true", "1735776000.0", "20250102.5", "1735776001"])
def test_a_number_that_is_no_moment_is_refused(start: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a date like 2025-01-01 or 20250101, .* in whole minutes"):
        read(tmp_path, f"[feed.file]\nstart = {start}")
