"""The services beside a running engine: alerts, the chat, the watchdog, the heartbeat. Each follows the log itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import asdict

from papertape.cli.config.summary import summary
from papertape.cli.environment.variables import SECRETS
from papertape.cli.explainer import make_explainer
from papertape.cli.service.backup_schedule import failure_words, scheduled_backups
from papertape.cli.service.chat_conditions import ChatConditions
from papertape.cli.service.event_journal import journal
from papertape.cli.service.funnel_process import FunnelProcesses
from papertape.cli.service.other_channels import OtherChannels, channel_names
from papertape.cli.service.owner_channel import FileChannel, OwnerChannel, TelegramChannel, alert_file, ping
from papertape.cli.service.unlogged_messages import UnloggedMessages, unlogged_path
from papertape.cli.wiring import warn
from papertape.engine.backup import Backup, newest_backup
from papertape.engine.feeds.live.feed import LiveFeed
from papertape.engine.loop_lag import LoopLagMonitor, stacks_file
from papertape.engine.process_health import ProcessHealthProbe
from papertape.engine.task_restarts import TaskRestarter
from papertape.events.beside import real_path
from papertape.events.copying import unsealed_bytes
from papertape.events.cursors import SqliteCursors
from papertape.events.errors import LogDamaged, LogReplaced, PapertapeError
from papertape.events.place import other_users
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest
from papertape.projections.alerts.heartbeat import heartbeat_text, heartbeat_view
from papertape.projections.alerts.texts import Stamp, fault_text
from papertape.projections.notify.addresses import read_addresses
from papertape.projections.persistence.fold_store import FoldStore
from papertape.projections.site.views import Views
from papertape.projections.telegram.chat_address import ChatAddress
from papertape.projections.telegram.delivery import Notifier
from papertape.projections.telegram.file_notifier import FileNotifier
from papertape.projections.telegram.rate_limit import MessageRateLimiter
from papertape.projections.telegram.secret import read_access, redact, variables_of
from papertape.projections.text.formats import utc
from papertape.projections.watchdog.checks import AnomalyKind, ProcessMeasurements
from papertape.projections.watchdog.heartbeat import HeartbeatSender
from papertape.projections.watchdog.settings import heartbeat_s
from papertape.projections.watchdog.watchdog import OUTSIDE_ERRORS, make_watchdog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from papertape.cli.config.sections import Config
    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.ports.feed import Feed
    from papertape.engine.startup import Engine
    from papertape.events.facts import Event
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.projections.telegram.bot import Bot
    from papertape.projections.telegram.chat_ports import ChatClient, ChatDestination
    from papertape.projections.telegram.client import TelegramClient
    from papertape.projections.telegram.secret import ChatCredentials
    from papertape.projections.telegram.statistics import DeliveryStatistics
    from papertape.projections.watchdog.heartbeat import Heartbeat
    from papertape.projections.watchdog.watchdog import Watchdog, WatchdogView

FAULT_REPORT_S_MAX: Final = 5.0
"""How long an engine that a fault has stopped tries to report it."""


class EngineServices:
    """The services of one engine, and what they share."""

    def __init__(self, running: Engine, config: Config, feed: Feed, db: Path, stack: AsyncExitStack) -> None:
        self._running, self._config, self._feed, self._db, self._stack = running, config, feed, real_path(db), stack
        self._variables = variables_of(os.environ, config.folder / ".env", SECRETS)
        self.market_ended = False
        self.tasks = TaskRestarter(running.bus, running.clock, warn, self._report)
        self._lag = LoopLagMonitor(asyncio.get_running_loop(), stacks_file(self._beside(".stacks"), self._now_text))
        self._notifier: Notifier | FileNotifier
        self._others: OtherChannels
        self._cursors: SqliteCursors | None = None
        self._watchdog: Watchdog | None = None
        self._heartbeat: HeartbeatSender | None = None
        self._bot: Bot | None = None
        self._owner: OwnerChannel | None = None
        self._unlogged = UnloggedMessages(unlogged_path(self._db), warn)
        self.health = ProcessHealthProbe(self._db.parent, running.loop.latencies, self._lag)
        # A simulated or recorded market can be had again and needs no backups.
        every = None if self._live() is None else config.backup  # Any other market can be replayed.
        self._backups = scheduled_backups(self._db, every, config.file, running.bus, running.clock, warn)

    def _now_text(self) -> str:
        return f"{utc(self._running.clock.now_ms())} UTC"

    def _beside(self, suffix: str) -> Path:
        return self._db.with_name(self._db.name + suffix)

    def _reader(self) -> SqliteLogReader:
        reader = self._running.log.reader()
        self._stack.callback(reader.close)
        return reader

    def _fold_store(self, name: str, settings: object) -> FoldStore:
        """Return the store of a service's folds between two runs: its own folder beside the log."""
        folder = self._beside(".folds") / name
        return FoldStore(folder, self._reader(), self._running.clock.now_ms, warn, settings)

    async def _report(self, events: Sequence[Event]) -> None:
        """Write events to the log, unless the engine is ending."""
        if not self._running.ending:
            await self._running.loop.take(events)

    # ------------------------------------------------------------ the services

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return all services by name, restarted if they fail. Raise ConfigError for an invalid token or interval."""
        self._lag.start()
        self._stack.callback(self._lag.stop)
        timeframes_ms, settings = self._timeframes_ms(), self._config.watchdog
        self._watchdog = watchdog = make_watchdog(
            self._reader(),
            self._running.bus,
            self._running.clock,
            timeframes_ms,
            self._measure,
            self._repairs(),
            self._report,
            settings,
            self._fold_store("watchdog", (timeframes_ms, settings)),
        )
        credentials, notes = read_access(self._variables), self._notes()
        services: dict[str, Callable[[], Awaitable[None]]] = {"watchdog": watchdog.run}
        if credentials is None:
            self._without_telegram(notes)
        else:
            self._with_telegram(credentials, watchdog, notes)
        addresses = read_addresses(self._variables)
        names = channel_names(addresses, self._beside, self._shared_cursors)
        self._others = OtherChannels(addresses, names, partial(self._chat_notifier, notes), warn)
        if self._bot is not None:
            services["chat"] = self._bot.run
        url = self._config.telegram.dead_mans_switch_url
        self._heartbeat = heartbeat = HeartbeatSender(
            watchdog.following,
            watchdog.vitals,
            watchdog.portfolio,
            self._running.clock,
            self._beat,
            heartbeat_s(settings, self._variables),
            (lambda: ping(url)) if url else None,
            lambda: self.market_ended,
        )
        services |= {"alerts": self._notifier.run, "heartbeat": heartbeat.run, **self._others.services()}
        if self._config.logs.folder:
            services["journal"] = lambda: journal(self._running)
        if self._backups is not None:
            services["backup"] = self._backups.run
        return {name: partial(self.tasks.run_with_restarts, name, run) for name, run in services.items()}

    def _timeframes_ms(self) -> dict[str, int]:
        runners = self._running.loop.state.runners
        return {runner.strategy.name: runner.strategy.timeframe_ms for runner in runners}

    def _notes(self) -> dict[int, str]:
        """Return notes about this start that the log cannot contain, by the seq of its event."""
        recovered = self._running.recovered
        note = f"{recovered.replayed_events:,} events replayed in {recovered.took_ms:,.0f} ms"
        self._unlogged.change(lambda before: before.up_to(recovered.seq).with_note(recovered.seq + 1, note))
        return {recovered.seq + 1: note}

    def _shared_cursors(self) -> SqliteCursors:
        if self._cursors is None:
            self._cursors = SqliteCursors(self._beside(".cursors"))
            self._stack.callback(self._cursors.close)
        return self._cursors

    def _chat_notifier(
        self,
        notes: Mapping[int, str],
        client: ChatClient,
        address: ChatDestination,
        *,
        name: str = "telegram",
        title: str = "Telegram",
        limiter: MessageRateLimiter | None = None,
    ) -> Notifier:
        """Return the notifier of a chat or channel, with its own cursors and folds."""
        return Notifier(
            self._reader(), self._running.bus, self._shared_cursors(), lambda: Alerts(self._config.alerts),
            client, address, self._running.clock, warn,
            digest=Digest, limiter=limiter, name=name, title=title,
            begin_after_seq=self._running.recovered.seq, notes=notes,
            store=self._fold_store("alerts" if name == "telegram" else name, self._config.alerts),
        )  # fmt: skip

    def _without_telegram(self, notes: Mapping[int, str]) -> None:
        """Send all messages to a small file beside the log."""
        write_line = alert_file(self._beside(".alerts.log"), self._stack)
        self._owner = FileChannel(write_line)
        self._notifier = FileNotifier(
            self._reader(),
            self._running.bus,
            Alerts(self._config.alerts),
            write_line,
            begin_after_seq=self._running.recovered.seq,
            notes=notes,
            store=self._fold_store("alerts", self._config.alerts),
        )

    def _client(self, credentials: ChatCredentials) -> TelegramClient:
        from papertape.projections.telegram.client import TelegramClient  # noqa: PLC0415 - slow to import, like all of the chat.

        client = TelegramClient(credentials.token, self._config.telegram.api_url)
        self._stack.push_async_callback(client.close)
        return client

    def _with_telegram(self, credentials: ChatCredentials, watchdog: Watchdog, notes: Mapping[int, str]) -> None:
        """Send messages to the owner's chat, and answer there."""
        from papertape.projections.telegram.answers import RuntimeInfo  # noqa: PLC0415 - the chat is slow to import.
        from papertape.projections.telegram.bot import Bot  # noqa: PLC0415 - likewise.
        from papertape.projections.telegram.poll import ChatAllowlist  # noqa: PLC0415 - likewise.

        client, pace = self._client(credentials), MessageRateLimiter(self._running.clock)
        cursors = self._shared_cursors()
        address = ChatAddress(credentials.chat_id, cursors, warn)
        self._owner = TelegramChannel(client, address, cursors, pace)
        self._notifier = self._chat_notifier(notes, client, address, limiter=pace)
        strategies = self._running.recovered.state.strategies
        conditions = ChatConditions(self._db, self._running.log.reader, strategies)
        self._stack.callback(conditions.close)
        funnels = FunnelProcesses(self._db, self._config.file)
        self._stack.push_async_callback(funnels.close)
        self._bot = Bot(
            self._client(credentials),  # Its own client, because a poll occupies a connection.
            ChatAllowlist(credentials.chat_id),
            self._running.commands,
            self._reader(),
            self._running.bus,
            cursors,
            self._running.clock,
            warn,
            runtime=RuntimeInfo(
                version=lambda: version("papertape"),
                config=lambda: summary(self._config, self._db.name),
                watchdog=lambda: watchdog.view,
                delivery=self._notifier.statistics,
                conditions=conditions,
                explain=make_explainer(strategies),
                health=self._health_lines,
                funnels=funnels,
            ),
            views=Views(self._timeframes_ms()),
            limiter=pace,
            store=self._fold_store("chat", self._timeframes_ms()),
            address=address,
        )

    # ------------------------------------------------------------ messages that no event causes

    async def _beat(self, beat: Heartbeat) -> None:
        assert self._watchdog is not None
        assert self._owner is not None
        view = heartbeat_view(
            self._watchdog.portfolio.view(),
            at_ms=beat.at_ms,
            evaluations=beat.evaluations,
            candle_age_ms=beat.last_candle_age_ms if beat.last_candle_at_ms else None,
        )
        html = heartbeat_text(view)
        self._unlogged.change(lambda before: before.with_beat(view.seq, view.at_ms, html))
        await self._owner.beat(html)

    async def report_fault(self, error: PapertapeError) -> None:
        """Report the error that stopped the engine. The log accepts nothing more, so the message is sent directly.

        If it reaches nobody, the next start reports that the previous run ended without a stop.
        """
        loudness = self._config.alerts.fault
        if self._watchdog is None or self._owner is None or loudness == "off":
            return
        try:
            async with asyncio.timeout(FAULT_REPORT_S_MAX):
                with suppress(PapertapeError):  # Of a damaged log, report what could be read.
                    await self._watchdog.following.catch_up()
                stamp = Stamp(self._running.log.head.seq, self._running.clock.now_ms())
                why = redact(f"{type(error).__name__}: {error}")
                whole, positions = not isinstance(error, LogDamaged | LogReplaced), self._watchdog.portfolio.positions()
                html, silent = fault_text(stamp, why, positions, is_log_whole=whole), loudness == "silent"
                self._unlogged.change(lambda before: before.with_fault(stamp.seq, stamp.at_ms, html, silent=silent))
                sends = self._owner.say(html, silent=silent), self._others.say(html)
                failed = (await asyncio.gather(*sends, return_exceptions=True))[0]
                if failed is not None:
                    raise failed
        except OUTSIDE_ERRORS as failed:
            warn(f"the fault could not be reported to the owner: {failed}")

    def _health_lines(self) -> list[str]:
        """Return the lines of /health about the heartbeat."""
        return [] if self._heartbeat is None else self._heartbeat.view.lines()

    # ------------------------------------------------------------ for a reload

    def add_strategies(self, strategies: Mapping[str, Strategy]) -> None:
        """Learn the timeframes of strategies that a reload is about to start."""
        for name, strategy in strategies.items():
            if self._watchdog is not None:
                self._watchdog.vitals.timeframes_ms.setdefault(name, strategy.timeframe_ms)
            if self._bot is not None:
                self._bot.views.add_strategy(name, strategy.timeframe_ms)

    def adopt(self, config: Config) -> None:
        """Show another configuration from now on."""
        self._config = config

    # ------------------------------------------------------------ for the status

    @property
    def watchdog_view(self) -> WatchdogView | None:
        """What the watchdog saw and did; None before it has started."""
        return self._watchdog.view if self._watchdog is not None else None

    @property
    def delivery(self) -> DeliveryStatistics:
        """The counts of sent and waiting alerts, and why they wait."""
        return self._others.combined(self._notifier.statistics())

    def newest_backup(self) -> Backup | None:
        """Return the newest proved backup in the folder, whoever made it."""
        folder = self._db.parent / self._config.backup.folder
        return newest_backup(folder, self._db.name, self._running.clock.now_ms())

    @property
    def backup_age_s(self) -> float | None:
        """The age of the newest proved backup; None without a schedule or in the engine's first hour."""
        return None if self._backups is None else self._backups.age_s()

    def backup_failures(self) -> dict[str, str]:
        """Return why the newest backups failed, by destination, whoever made them."""
        return failure_words(self._db, self._running.clock.now_ms())

    # ------------------------------------------------------------ for the watchdog

    async def _measure(self) -> ProcessMeasurements:
        health = await self.health.measure()
        alerts, log = self._notifier.statistics(), self._running.log
        blocked = await log.blocked_wal_bytes()
        return ProcessMeasurements(
            **asdict(health),
            oldest_alert_age_s=self.delivery.oldest_unsent_ms / 1_000.0,
            projection_lag_events={"alerts": alerts.lag_events, **self._others.lags(), **self._chat_lag()},
            dead_tasks=tuple(sorted(self.tasks.dead)),
            backup_age_s=self.backup_age_s,
            backup_failures=await asyncio.to_thread(self.backup_failures),
            clock_skew_ms=self._skew_ms(),
            wal_blocked_bytes=blocked,
            log_users=await asyncio.to_thread(other_users, log.path) if blocked else (),
            read_back_failure=self._running.integrity.failure,
            log_bytes=await asyncio.to_thread(unsealed_bytes, self._db),
            market_ended=self.market_ended,
        )

    def _skew_ms(self) -> float | None:
        """Return the clock skew that the feed measured; None for a feed that is not live."""
        live = self._live()
        return None if live is None else live.clock_skew_ms

    def _chat_lag(self) -> dict[str, int]:
        if self._bot is None:
            return {}
        return {"chat": max(0, self._running.bus.head_seq - self._bot.statistics().seq)}

    def _repairs(self) -> Mapping[str, Callable[[str], Awaitable[str]]]:
        """Return the anomalies that the watchdog can repair: those of a live feed's connections."""
        live = self._live()
        if live is None:
            return {}
        return {AnomalyKind.WS_DISCONNECTED: live.reconnect, AnomalyKind.DATA_STALE: live.resubscribe}

    def _live(self) -> LiveFeed | None:
        """Return the feed if it is live."""
        return self._feed if isinstance(self._feed, LiveFeed) else None


@asynccontextmanager
async def start_services(running: Engine, config: Config, feed: Feed, db: Path) -> AsyncIterator[EngineServices]:
    """Yield the services of an engine, report an error that stops it, and release their resources at the end."""
    async with AsyncExitStack() as stack:
        services = EngineServices(running, config, feed, db, stack)
        try:
            yield services
        except PapertapeError as error:
            await services.report_fault(error)
            raise
