"""A reload of a real engine: over its socket, killed right after it, with an alert once and a page that shows it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from papertape.events.facts import ConfigurationReloaded, EngineStarted, RunnerConfigured, RunnerPaused
from tests.cli.test_process_supervisor import wait_for
from tests.cli.test_up_page import address, get
from tests.engine.logs import recorded
from tests.engine.processes import ok, papertape, running
from tests.engine.test_configuration import VANISHING
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

BEFORE = """
[engine]
db = "log.db"
[feed]
speed = 600
[feed.sim]
symbols = ["BTCUSDT"]
days = 1
warm_up_days = 0
outage_every_hours = 0
[strategies]
enabled = ["momentum", "vwap_rsi"]
"""


def alerts(folder: Path) -> str:
    """The alerts of an engine without a chat, once the reload was told."""
    path, limit_s = folder / "log.db.alerts.log", time.monotonic() + PATIENCE_S
    while time.monotonic() < limit_s and "configuration reloaded" not in (path.read_text() if path.exists() else ""):
        time.sleep(0.1)
    return path.read_text()


def test_a_running_engine_is_reloaded_killed_and_goes_on_under_the_new_configuration(tmp_path: Path) -> None:
    config = tmp_path / "papertape.toml"
    config.write_text(BEFORE)
    with running(tmp_path, "run", "--json", until="FeedConnected"):
        config.write_text(BEFORE + "[web]\nport = 9000\n")
        refused = papertape(tmp_path, "reload")
        assert refused.returncode != 0
        assert "web.port: 8700 -> 9000\nnothing was changed" in refused.stderr
        config.write_text(BEFORE.replace(', "vwap_rsi"', "") + "[risk]\nleverage = 2\n")
        said = ok(tmp_path, "reload", "--who", "anna", "--why", "calmer")
        told = alerts(tmp_path)
    assert said.splitlines()[:2] == ["risk.leverage: 3 -> 2", "strategies.vwap_rsi: opens no more positions"]
    assert "seq " in said
    assert told.count("configuration reloaded") == 1
    assert "PAUSED" not in told
    with running(tmp_path, "run", "--json", until="FeedConnected"):
        pass
    kinds = [type(item.event) for item in recorded(tmp_path / "log.db")]
    assert kinds.count(ConfigurationReloaded) == 1
    first = kinds.index(ConfigurationReloaded)
    assert kinds[first : first + 3] == [ConfigurationReloaded, RunnerConfigured, RunnerPaused]
    again = kinds.index(EngineStarted, first)
    assert not {ConfigurationReloaded, RunnerConfigured, RunnerPaused} & set(kinds[again:])
    assert json.loads(ok(tmp_path, "verify", "--json"))["difference"] is None


def test_a_reload_without_an_engine_says_that_the_next_start_applies_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(BEFORE)
    done = papertape(tmp_path, "reload")
    assert done.returncode == 2
    assert "the next start applies the configuration" in done.stderr


def test_the_page_reloads_shows_a_new_strategy_and_counts_funnels(tmp_path: Path) -> None:
    config, own = tmp_path / "papertape.toml", tmp_path / "own"
    own.mkdir()
    text = BEFORE.replace('"vwap_rsi"]', '"vwap_rsi"]\nfolders = ["own"]') + "[web]\nport = 0\n"
    config.write_text(text)
    with running(tmp_path, "up") as keeper:
        url = address(keeper)
        assert keeper.stdout is not None
        token = keeper.stdout.readline().split()[-1]
        wait_for(lambda: get(f"{url}/strategy/momentum").status_code == 200)
        (own / "vanishing.py").write_text(VANISHING)
        config.write_text(text.replace('"vwap_rsi"]', '"vanishing"]'))
        answer = httpx.post(
            f"{url}/api/v1/commands/reload",
            json={"actor": "anna", "reason": "another one"},
            headers={"authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        )
        assert answer.json()["changes"] == [
            "strategies.vanishing: runs from now on",
            "strategies.vwap_rsi: opens no more positions",
        ]
        wait_for(lambda: "Never enters." in get(f"{url}/strategy/vanishing").text)
        assert "configuration reloaded by anna" in get(f"{url}/events").text
        wait_for(lambda: "asked on" in get(f"{url}/funnel/momentum?days=1").text)
        assert get(f"{url}/funnel/momentum?days=0").status_code == 404
        assert get(f"{url}/funnel/nobody").status_code == 404
