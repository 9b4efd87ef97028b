"""Reload the configuration of a running engine: read the file again, find what changed, and put it into force."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from papertape.cli.config.differences import differences
from papertape.cli.config.sections import live_settings, strategies_of
from papertape.cli.run_options import config_with_options
from papertape.cli.wiring import make_engine_settings, make_feed, warm_up_ms, warn, watched_symbols
from papertape.engine.feeds.files.derived_contract import DEFAULT_GROUP
from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.loop import last_seen
from papertape.engine.reconfiguration import Reconfiguration, refusal, reload_events
from papertape.engine.reducer.parking import PAUSED_BY_CONFIGURATION
from papertape.events.errors import CommandRefused, PapertapeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.cli.run_options import RunOptions
    from papertape.cli.service.engine_services import EngineServices
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.ports.feed import Feed
    from papertape.engine.reducer.state import EngineState
    from papertape.engine.startup import Engine, EngineSettings
    from papertape.events.commands import Accepted, Reload
    from papertape.events.facts import ContractListed, Event

PREPARE_S_MAX: Final = 20.0
"""The longest wait for the exchange's answer about new symbols."""
UNDER_WAY: Final = "the configuration is being reloaded already"
NO_ANSWER: Final = "the exchange did not answer in time about the new symbols"


class _NewConfiguration(Struct, frozen=True):
    """A configuration that was read again, its settings, and what differs in words."""

    config: Config
    settings: EngineSettings
    changes: tuple[str, ...]


class ConfigReloader:
    """Answers `Reload` for one engine. `strategies` is what the chat explains by; new ones are added to it.

    The `services` beside the engine, if there are any, learn of new strategies and of the new configuration.
    """

    def __init__(
        self,
        options: RunOptions,
        config: Config,
        db: Path,
        running: Engine,
        feed: Feed,
        strategies: dict[str, Strategy],
        services: EngineServices | None,
    ) -> None:
        self._options, self._config, self._db, self._running, self._feed = options, config, db, running, feed
        self._strategies, self._services = strategies, services
        self._task: asyncio.Task[Accepted] | None = None

    async def reload(self, command: Reload) -> Accepted:
        """Reload, and wait until it is committed. Cancelling the wait does not withdraw it.

        Raise CommandRefused, with every reason by name, if anything cannot be adopted; then nothing is changed.
        """
        if self._task is not None and not self._task.done():
            raise CommandRefused(UNDER_WAY)
        self._task = asyncio.ensure_future(self._reload(command))
        return await asyncio.shield(self._task)

    async def _reload(self, command: Reload) -> Accepted:
        try:
            new = await asyncio.to_thread(self._read)
            contracts = await self._contracts(new.config)
        except (PapertapeError, TimeoutError) as error:
            raise refusal(NO_ANSWER if isinstance(error, TimeoutError) else str(error)) from error
        wanted = Reconfiguration(new.settings, contracts, self._watched(new.config), new.changes)
        if self._services is not None:
            self._services.add_strategies(new.settings.strategies)

        def make(state: EngineState) -> list[Event]:
            events = reload_events(state, command, wanted, self._running.clock.now_ms())
            self._strategies.update(new.settings.strategies)
            state.strategies = new.settings.strategies
            return events

        accepted = await self._running.commands.enqueue(make)
        if watched_symbols(new.config) != watched_symbols(self._config) or new.config.groups != self._config.groups:
            self._change_feed(new.config)
        self._config = new.config
        if self._services is not None:
            self._services.adopt(new.config)
        return replace(accepted, changes=new.changes)

    # ------------------------------------------------------------ the configuration

    def _read(self) -> _NewConfiguration:
        """Read the configuration. Raise ConfigError or UsageError for an invalid one, CommandRefused for a restart."""
        config = config_with_options(self._options)
        self._refuse_faults(config)
        strategies = self._reread_strategies(strategies_of(config))
        found = differences(self._config, config, {**self._strategies, **strategies})
        restart = [line for one in found if not one.is_reloadable for line in one.lines]
        if restart:
            raise CommandRefused("\n".join(["only a restart applies these changes:", *restart]))
        settings = make_engine_settings(config, self._db, self._running.loop.state.base_ms, warn, strategies)
        lines = [line for one in found if one.path != ("strategies", "enabled") for line in one.lines]
        return _NewConfiguration(config, settings, (*lines, *self._strategy_lines(settings)))

    def _refuse_faults(self, config: Config) -> None:
        """Raise CommandRefused for strategies that cannot run and are not parked already."""
        parked = {runner.strategy.name for runner in self._running.loop.state.runners if runner.failure is not None}
        known = {*parked, *self._config.unusable}
        faults = [f"strategies.{name}: {reason}" for name, reason in config.unusable.items() if name not in known]
        if faults:
            raise CommandRefused("\n".join(faults))

    def _strategy_lines(self, settings: EngineSettings) -> list[str]:
        """Return a line for each strategy that begins or ceases to open positions."""
        paused = {runner.strategy.name: runner.account.paused for runner in self._running.loop.state.runners}
        begins = [
            name for name in settings.runners if paused.get(name, PAUSED_BY_CONFIGURATION) == PAUSED_BY_CONFIGURATION
        ]
        ceases = [name for name, why in paused.items() if why == 0 and name not in settings.runners]
        return [
            *(f"strategies.{name}: runs from now on" for name in begins),
            *(f"strategies.{name}: opens no more positions" for name in ceases),
        ]

    def _reread_strategies(self, read: Mapping[str, Strategy]) -> dict[str, Strategy]:
        """Return the strategies that were read again, with those that run as they are.

        Raise CommandRefused if the file of one that runs was edited: one process runs one version of it.
        """
        runners = {runner.strategy.name: runner for runner in self._running.loop.state.runners}
        running = {name: runner.strategy for name, runner in runners.items()}
        edited = [
            name
            for name, runner in runners.items()
            if runner.failure is None and name in read and read[name].source != runner.strategy.source
        ]
        if edited:
            lines = [f"strategies.{name}: its file was edited" for name in edited]
            raise CommandRefused("\n".join(["only a restart applies these changes:", *lines]))
        return {
            name: replace(running[name], references=strategy.references) if name in running else strategy
            for name, strategy in read.items()
        }

    # ------------------------------------------------------------ the market

    def _watched(self, config: Config) -> tuple[str, ...]:
        return watched_symbols(config) or tuple(self._running.loop.state.symbols)

    async def _contracts(self, config: Config) -> list[ContractListed]:
        """Return the contracts of the watched symbols, with their groups.

        Raise ConfigError for a symbol that does not exist, ExchangeError or TimeoutError if the exchange is silent.
        """
        state, watched = self._running.loop.state, self._watched(config)
        known = [contract for contract in state.listed if contract.symbol in watched]
        new = [symbol for symbol in watched if symbol not in state.symbols]
        async with asyncio.timeout(PREPARE_S_MAX):
            listed = [*known, *(await self._new_contracts(config, new) if new else ())]
        return [replace(one, group=config.groups.get(one.symbol, DEFAULT_GROUP)) for one in listed]

    async def _new_contracts(self, config: Config, symbols: list[str]) -> list[ContractListed]:
        if isinstance(self._feed, LiveFeed):
            return await self._feed.new_contracts(symbols)
        return [one for one in make_feed(config, self._running.clock).contracts() if one.symbol in symbols]

    def _change_feed(self, config: Config) -> None:
        """Have the feed deliver the symbols of a configuration from the next candle on."""
        loop = self._running.loop
        if isinstance(self._feed, LiveFeed):
            self._feed.change_symbols(live_settings(config, warm_up_ms(config)), last_seen(loop.state))
        elif watched_symbols(config):
            self._feed = make_feed(config, self._running.clock)
            loop.replace_feed(self._feed)
