"""A reload ends in the state that a restart under the new configuration reaches, or changes nothing at all."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.sections import strategies_of
from papertape.cli.run_options import RunOptions, config_with_options
from papertape.cli.service.config_reload import ConfigReloader
from papertape.cli.wiring import make_engine_settings, make_feed, watched_symbols
from papertape.engine.loop import last_seen
from papertape.engine.ports.clock import ManualClock
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.startup import Engine, open_engine
from papertape.engine.verify import verify
from papertape.events.commands import Reload
from papertape.events.errors import CommandRefused
from papertape.events.facts import (
    ConfigurationReloaded,
    ContractListed,
    RunnerConfigured,
    RunnerPaused,
    RunnerResumed,
    SymbolSuspended,
)
from papertape.events.sqlite_log import SqliteLogReader
from tests.engine.logs import of_type, recorded
from tests.engine.test_configuration import VANISHING
from tests.events.loop import in_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from papertape.engine.reducer.state import EngineState
    from papertape.events.commands import Accepted

BEFORE = """
[engine]
db = "log.db"
[feed.sim]
symbols = ["BTCUSDT", "ETHUSDT"]
days = 1
warm_up_days = 1
[strategies]
enabled = ["momentum", "vwap_rsi"]
folders = ["own"]
[strategies.momentum]
breakout_lookback = 20
"""
MOMENTUM = "[strategies.momentum]\n"
CHANGES = {
    "a parameter": ("breakout_lookback = 20", "breakout_lookback = 30"),
    "a symbol's parameter": (MOMENTUM, "[strategies.momentum.symbols.ETHUSDT]\natr_multiplier_sl = 3.0\n" + MOMENTUM),
    "a limit": ("[engine]", "[risk]\nleverage = 2\nmax_daily_loss_percent = 1.5\n[engine]"),
    "one strategy's limit": (MOMENTUM, "[strategies.momentum.risk]\nmax_concurrent_positions = 1\n" + MOMENTUM),
    "the global limit": ("[engine]", "[risk]\nglobal_max_loss_percent = 3\nglobal_window_hours = 12\n[engine]"),
    "a new strategy": ('"vwap_rsi"]', '"vwap_rsi", "funding"]'),
    "an own strategy": ('"vwap_rsi"]', '"vwap_rsi", "vanishing"]'),
    "a strategy less": (', "vwap_rsi"]', "]"),
    "a new symbol": ('"ETHUSDT"]', '"ETHUSDT", "SOLUSDT"]'),
    "a symbol less": ('"BTCUSDT", ', ""),
    "a group": ("[engine]", '[groups]\nETHUSDT = "majors"\n[engine]'),
    "a strategy's symbols": (MOMENTUM, '[strategies.vwap_rsi]\nonly_symbols = ["ETHUSDT"]\n' + MOMENTUM),
}  # fmt: skip
CONFIGURATION = (ContractListed, RunnerConfigured, RunnerPaused, RunnerResumed, ConfigurationReloaded)


class PowerCut(Exception):
    """The engine's process is gone."""


def options_of(folder: Path) -> RunOptions:
    """The options of a run under the file in a folder."""
    return RunOptions(folder / "papertape.toml", None, [], [], [], None, None, until_end=True, seed=None, sets=[])


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[tuple[Engine, ConfigReloader]]:
    """An engine as `run` builds it from the file in a folder, without the services beside it."""
    options, clock = options_of(folder), ManualClock(1_760_000_000_000)
    config = config_with_options(options)
    feed, strategies, db = make_feed(config, clock), strategies_of(config), config.database
    settings = make_engine_settings(config, db, 60_000, lambda _: None, strategies)
    opened = open_engine(settings, feed.contracts(), clock, lambda _: None, watched_symbols(config))
    with suppress(PowerCut):
        async with opened as running:
            yield running, ConfigReloader(options, config, db, running, feed, strategies, None)


async def play(running: Engine, folder: Path, until: Callable[[EngineState], bool] = lambda _: False) -> None:
    """Play the configured market on until something holds after a batch, or until it ends."""
    feed = make_feed(config_with_options(options_of(folder)), running.clock)
    async for batch in feed.facts(last_seen(running.loop.state), running.loop.state.anchor):
        await running.loop.take(batch)
        if until(running.loop.state):
            return


async def reload(running: Engine, reloader: ConfigReloader, why: str = "better") -> Accepted:
    """Reload as the control socket does: one command of the queue."""
    running.commands.reload = reloader.reload
    serving = asyncio.ensure_future(running.commands.serve())
    try:
        return await running.commands.submit(Reload("anna", why))
    finally:
        serving.cancel()


def write(folder: Path, *changes: tuple[str, str]) -> None:
    """Write the configuration with changes."""
    text = BEFORE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    folder.mkdir(exist_ok=True)
    (folder / "own").mkdir(exist_ok=True)
    (folder / "papertape.toml").write_text(text)


def in_position(state: EngineState) -> bool:
    """Whether momentum holds a position in BTC and nobody one in ETH, late enough to have traded before."""
    held = [
        (runner.strategy.name, index)
        for runner in state.runners
        for index in (0, 1)
        if runner.desks[index].position.side
    ]
    return held == [("momentum", 0)] and state.markets[0].close_time_ms > 1_735_700_000_000


def copy_log(folder: Path, to: Path) -> None:
    """Copy the log as a power cut would leave it."""
    to.mkdir()
    for file in folder.glob("log.db*"):
        (shutil.copytree if file.is_dir() else shutil.copy)(file, to / file.name)


@pytest.mark.system
@pytest.mark.parametrize("change", CHANGES)
@in_loop
async def test_a_reload_ends_where_a_restart_would(tmp_path: Path, change: str) -> None:
    reloaded, restarted = tmp_path / "reloaded", tmp_path / "restarted"
    write(reloaded)
    async with engine(reloaded) as (running, reloader):
        await play(running, reloaded, in_position)
        copy_log(reloaded, restarted)
        for folder in (reloaded, restarted):
            write(folder, CHANGES[change])
            (folder / "own" / "vanishing.py").write_text(VANISHING)
        accepted = await reload(running, reloader)
        digest, head = state_digest(running.loop.state), running.log.head
        assert accepted.last_seq == head.seq
        assert accepted.changes
        raise PowerCut
    async with engine(restarted) as (running, _):
        assert state_digest(running.loop.state) == digest
        await play(running, restarted)
        at_the_end = state_digest(running.loop.state)
    # A kill -9 right after the reload: the next start has nothing left to change, and goes the same way.
    async with engine(reloaded) as (running, _):
        assert running.digest_at_start == digest
        assert running.log.head.seq == head.seq + 1
        await play(running, reloaded)
        assert state_digest(running.loop.state) == at_the_end
    with closing(SqliteLogReader(reloaded / "log.db")) as reader:
        assert verify(reader, None, strategies_of(config_with_options(options_of(reloaded)))).difference is None


REFUSED = {
    "another speed": ("[feed.sim]", "[feed]\nspeed = 5\n[feed.sim]", r"feed.speed: 0 -> 5"),
    "another market": ("[feed.sim]", '[feed]\nkind = "bitget"\n[feed.sim]', r'feed.kind: "sim" -> "bitget"'),
    "another log": ('"log.db"', '"other.db"', r'engine.db: "log.db" -> "other.db"'),
    "another port": ("[engine]", "[web]\nport = 9000\n[engine]", r"web.port: 8700 -> 9000"),
    "an alert": ("[engine]", '[alerts]\nentry = "off"\n[engine]', r'alerts.entry: "on" -> "off"'),
    "another capital": ("[engine]", "[risk]\ncapital_usdt = 5\n[engine]", r"the log began with 10,000.00 USDT"),
    "an unknown key": ("breakout_lookback", "breakout_lokback", r"toml:\d+: .* did you mean breakout_lookback"),
    "an invalid value": ("breakout_lookback = 20", "breakout_lookback = -1", r"must be"),
    "no TOML": ("[engine]", "[engine", r"not TOML"),
    "an unknown symbol of a strategy": (MOMENTUM, '[strategies.momentum]\nonly_symbols = ["XUSDT"]\n', r"XUSDT"),
    "a broken file": ("[engine]", "[engine]", r"strategies.broken: broken.py:1: SyntaxError"),
    "an edited file": ("[engine]", "[engine]", r"strategies.vanishing: its file was edited"),
    "a symbol of a strategy with a position": (
        MOMENTUM, '[strategies.momentum]\nonly_symbols = ["ETHUSDT"]\n', r"momentum holds a position in BTCUSDT",
    ),
    "nothing": ("[engine]", "[engine]", r"nothing to do: the configuration is the one that runs"),
}  # fmt: skip


@pytest.mark.system
@pytest.mark.parametrize("change", REFUSED)
@in_loop
async def test_a_change_that_cannot_be_adopted_is_refused_by_name_and_changes_nothing(
    tmp_path: Path, change: str
) -> None:
    before, after, text = REFUSED[change]
    own = ('"vwap_rsi"]', '"vwap_rsi", "vanishing"]')
    write(tmp_path, own)
    (tmp_path / "own" / "vanishing.py").write_text(VANISHING)
    async with engine(tmp_path) as (running, reloader):
        await play(running, tmp_path, in_position)
        digest, head = state_digest(running.loop.state), running.log.head
        # A valid change beside the invalid one is not applied either.
        beside = [(MOMENTUM, "[strategies.momentum]\ntrend_adx_threshold = 21\n")] if change != "nothing" else []
        write(tmp_path, own, (before, after), *beside)
        if change == "a broken file":
            (tmp_path / "own" / "broken.py").write_text("def\n")
        if change == "an edited file":
            (tmp_path / "own" / "vanishing.py").write_text(VANISHING + "\n")
        with pytest.raises(CommandRefused, match=text) as refused:
            await reload(running, reloader)
        assert change == "nothing" or "nothing was changed" in str(refused.value)
        assert (state_digest(running.loop.state), running.log.head) == (digest, head)
        # The engine goes on, and a valid configuration is still accepted.
        (tmp_path / "own" / "broken.py").unlink(missing_ok=True)
        (tmp_path / "own" / "vanishing.py").write_text(VANISHING)
        write(tmp_path, own, ("breakout_lookback = 20", "breakout_lookback = 30"))
        await reload(running, reloader)
        await play(running, tmp_path, lambda _: True)


@in_loop
async def test_a_reload_says_what_changed_and_who_asked(tmp_path: Path) -> None:
    write(tmp_path)
    async with engine(tmp_path) as (running, reloader):
        await play(running, tmp_path, in_position)
        write(tmp_path, CHANGES["a new symbol"], CHANGES["a strategy less"], CHANGES["a limit"], CHANGES["a parameter"])
        accepted = await reload(running, reloader, "calmer")
    assert accepted.changes == (
        "feed.sim.symbols: SOLUSDT added",
        "risk.leverage: 3 -> 2",
        "risk.max_daily_loss_percent: 10 -> 1.5",
        "strategies.momentum.breakout_lookback: 20 -> 30",
        "strategies.vwap_rsi: opens no more positions",
    )
    (event,) = of_type(tmp_path / "log.db", ConfigurationReloaded)
    assert isinstance(event, ConfigurationReloaded)
    assert (event.who, event.why, event.changes) == ("anna", "calmer", accepted.changes)
    kinds = [type(item.event) for item in recorded(tmp_path / "log.db") if item.seq >= accepted.first_seq]
    assert kinds[: len(kinds) - 1] == [ConfigurationReloaded, ContractListed, RunnerConfigured, RunnerPaused]


@in_loop
async def test_a_removed_symbol_is_watched_until_its_position_closes_and_not_entered_again(tmp_path: Path) -> None:
    write(tmp_path)
    async with engine(tmp_path) as (running, reloader):
        await play(running, tmp_path, in_position)
        opened_ms = running.loop.state.markets[0].close_time_ms
        write(tmp_path, CHANGES["a symbol less"])
        accepted = await reload(running, reloader)
        assert accepted.changes[0] == "feed.sim.symbols: BTCUSDT removed"
        await play(running, tmp_path)
        assert all(runner.desks[0].position.side == 0 for runner in running.loop.state.runners)
    events = [item.event for item in recorded(tmp_path / "log.db") if item.seq > accepted.last_seq]
    assert isinstance(events[0], SymbolSuspended)
    about = [event for event in events if getattr(event, "symbol", "") == "BTCUSDT"]
    names = [type(event).__name__ for event in about if hasattr(event, "strategy")]
    assert "PositionOpened" not in names
    assert "PositionClosed" in names
    assert max(event.at_ms for event in about) > opened_ms


@pytest.mark.system
@in_loop
async def test_snapshots_after_a_reload_are_those_that_the_next_start_uses(tmp_path: Path) -> None:
    write(tmp_path)
    async with engine(tmp_path) as (running, reloader):
        await play(running, tmp_path, in_position)
        write(tmp_path, CHANGES["an own strategy"])
        (tmp_path / "own" / "vanishing.py").write_text(VANISHING)
        await reload(running, reloader)
        await running.loop.snapshot()
        seq = running.log.head.seq
        raise PowerCut
    async with engine(tmp_path) as (running, _):
        assert running.recovered.snapshot_seq == seq
        assert running.recovered.replayed_events == 0
