"""Where the configuration comes from: options, variables, files, XDG folders; and what `config show` says about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from papertape.cli.config.config_variables import (
    OF_DEPLOYMENT,
    find_key,
    keys_of,
    prefixed_variables,
    refuse_unknown,
    variable_of,
)
from papertape.cli.config.loader import schema
from papertape.cli.config.overrides import load_config
from papertape.cli.config.places import find_places, xdg_folder
from papertape.cli.config.sections import Config, strategies_of
from papertape.events.errors import ConfigError
from tests.engine.processes import ok, papertape
from tests.support import REPOSITORY

KNOWN = schema(strategies_of(Config()))


def shown(folder: Path, *arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
    settings = json.loads(ok(folder, "config", "show", "--json", *arguments, **variables))["settings"]
    return {one["key"]: one for one in settings}


def test_every_key_has_a_variable_that_finds_it() -> None:
    keys = dict(keys_of(KNOWN))
    assert len(keys) > 150
    assert {path: find_key(variable_of(path), KNOWN) for path in keys} == {
        path: (path, key) for path, key in keys.items()
    }


def test_a_variable_of_a_symbol_finds_its_parameter() -> None:
    found = find_key("PAPERTAPE_STRATEGIES__MOMENTUM__SYMBOLS__BTCUSDT__SL_PERCENT", KNOWN)
    assert found is not None and found[0] == ("strategies", "momentum", "symbols", "BTCUSDT", "sl_percent")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PAPERTAPE_WEB__PROT", "PAPERTAPE_WEB__PORT"),
        ("PAPERTAPE_WEB_PORT", "PAPERTAPE_WEB__PORT"),
        ("PAPERTAPE_WEBPORT", "PAPERTAPE_WEB__PORT"),
        ("PAPERTAPE_FEED_KNID", "PAPERTAPE_FEED__KIND"),
        ("PAPERTAPE_TOKN", "PAPERTAPE_TOKEN"),
        ("PAPERTAPE_DATA_DRI", "PAPERTAPE_DATA_DIR"),
        ("PAPERTAPE_STRATEGIES__MOMENTM__SL_PERCENT", "PAPERTAPE_STRATEGIES__MOMENTUM__SL_PERCENT"),
        ("papertape_web__port", "PAPERTAPE_WEB__PORT"),
        ("papertape_web_port", "PAPERTAPE_WEB__PORT"),
        ("Papertape_Token", "PAPERTAPE_TOKEN"),
        ("papertape_port", "PAPERTAPE_PORT"),
    ],
)
def test_an_unknown_variable_beside_a_known_one_is_refused_by_name(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is an unknown variable; did you mean {meant}\\?$"):
        refuse_unknown([name, "PAPERTAPE_SHARED"], KNOWN)


@pytest.mark.parametrize("place", ["environment", ".env"])
@pytest.mark.parametrize("name", ["papertape_web__port", "papertape_token"])
def test_a_name_in_lower_case_is_refused_wherever_it_is_set(tmp_path: Path, name: str, place: str) -> None:
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}=1\n")
    found = prefixed_variables({name: "1"} if place == "environment" else {}, tmp_path / ".env")
    with pytest.raises(ConfigError, match=f"^{name} is an unknown variable; did you mean {name.upper()}\\?$"):
        refuse_unknown(found, KNOWN)


def test_the_variables_of_deployment_are_taken_for_no_key() -> None:
    texts = [(REPOSITORY / name).read_text(encoding="utf-8") for name in (".env.example", "compose.yaml")]
    names = {word.strip("${}#=:-,") for text in texts for word in text.replace("=", " ").replace(":", " ").split()}
    refuse_unknown([name for name in names if name.startswith("PAPERTAPE_")], KNOWN)
    refuse_unknown(OF_DEPLOYMENT, KNOWN)


def test_an_option_wins_over_a_variable_over_env_over_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text("[risk]\nleverage = 2\n\n[web]\nport = 1001\nstreams_max = 7\n")
    (tmp_path / ".env").write_text("PAPERTAPE_WEB__PORT=1002\nPAPERTAPE_RISK__LEVERAGE=4\n")
    found = shown(tmp_path, "--set", "web.port=1004", PAPERTAPE_WEB__PORT="1003")
    port, leverage, streams, host = (found[key] for key in ("web.port", "risk.leverage", "web.streams_max", "web.host"))
    assert (port["value"], port["source"], port["place"]) == (1004, "option", "--set web.port=1004")
    assert (leverage["value"], leverage["source"]) == (4.0, "environment")
    assert leverage["place"] == "PAPERTAPE_RISK__LEVERAGE in .env"
    assert (streams["value"], streams["place"]) == (7, "papertape.toml:6")
    assert (host["source"], host["place"], host["is_default"]) == ("default", "", True)
    assert shown(tmp_path, PAPERTAPE_WEB__PORT="1003")["web.port"]["place"] == "PAPERTAPE_WEB__PORT"


def test_a_wrong_value_of_a_variable_is_refused_with_its_range_by_every_command(tmp_path: Path) -> None:
    for command in (("arena",), ("config", "check"), ("run", "--feed", "sim")):
        done = papertape(tmp_path, *command, PAPERTAPE_WEB__PORT="70000")
        assert done.returncode == 4
        assert done.stderr.startswith("error: PAPERTAPE_WEB__PORT: web.port = 70000: must be 0 to 65535")
    assert list(tmp_path.iterdir()) == []


def test_what_config_show_prints_is_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text("[strategies.momentum.risk]\nleverage = 2\n\n[groups]\nBTCUSDT = 'a'\n")
    text = ok(tmp_path, "config", "show", "--set", "momentum.sl_percent=0.5")
    (tmp_path / "shown.toml").write_text(text)
    again = load_config(tmp_path / "shown.toml")
    assert again.strategies.by_name["momentum"].risk == {"leverage": 2.0}
    assert again.strategies.by_name["momentum"].parameters == {"sl_percent": 0.5}
    assert again.groups == {"BTCUSDT": "a"}
    changed = ok(tmp_path, "config", "show", "--changed")
    assert "web" not in changed.replace("web.port", "")
    assert "leverage = 2" in changed


@pytest.mark.parametrize("name", ["PAPERTAPE_CONFIG", "PAPERTAPE_DATA_DIR"])
def test_a_place_in_env_would_have_no_effect_and_is_refused(name: str, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{name}=/elsewhere\n")
    with pytest.raises(ConfigError, match=f"{name} in .*has no effect: set it in the environment"):
        prefixed_variables({}, env_file)
    assert prefixed_variables({name: "/here"}, env_file)[name] == ("/here", name)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    token = "u" * 43
    (tmp_path / ".env").write_text(f"PAPERTAPE_TOKEN={token}\n")
    url = "https://hc-ping.com/secret-path"
    for form in ((), ("--json",)):
        text = ok(tmp_path, "config", "show", *form, PAPERTAPE_TELEGRAM__DEAD_MANS_SWITCH_URL=url)
        assert token not in text
        assert url not in text
        assert "(hidden)" in text
        assert "set in .env" in text


# ---------------------------------------------------------------- places


def test_without_a_file_here_the_folders_are_those_of_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_DATA_HOME": str(tmp_path / "d"), "HOME": "/h"}
    data = str(tmp_path / "d" / "papertape")
    assert find_places(None, xdg) == (None, data)
    shared = tmp_path / "c" / "papertape" / "papertape.toml"
    shared.parent.mkdir(parents=True)
    shared.touch()
    assert find_places(None, xdg) == (shared, data)
    assert find_places(None, {**xdg, "PAPERTAPE_DATA_DIR": "mine"}) == (shared, "mine")
    assert find_places(None, {**xdg, "PAPERTAPE_CONFIG": "other.toml"}) == (Path("other.toml"), "")
    (tmp_path / "papertape.toml").touch()
    assert find_places(None, xdg) == (Path("papertape.toml"), "")
    assert find_places(Path("named.toml"), xdg) == (Path("named.toml"), "")


def test_a_relative_xdg_folder_does_not_count() -> None:
    assert xdg_folder("XDG_DATA_HOME", {"XDG_DATA_HOME": "here", "HOME": "/h"}) == Path("/h/.local/share/papertape")


def test_a_data_folder_takes_the_place_of_data() -> None:
    config = Config(file="/etc/papertape.toml")
    assert config.database == Path("/etc/data/papertape.db")
    moved = Config(file="/etc/papertape.toml", data_folder="/srv")
    assert moved.database == Path("/srv/papertape.db")
    assert moved.data_path("logs") == Path("/srv/logs")
    assert moved.data_path("/var/log") == Path("/var/log")


def test_a_run_with_a_data_folder_writes_nowhere_else(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    market = ("--feed", "sim", "--speed", "max", "--until-end", "--set", "feed.sim.days=1", "feed.sim.symbols=BTCUSDT")
    ok(here, "run", *market, "--data-dir", str(tmp_path / "data"), "--json")
    assert list(here.iterdir()) == []
    assert "vwap_rsi" in ok(here, "arena", "--data-dir", str(tmp_path / "data"))
