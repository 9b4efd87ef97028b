"""What lives beside a running engine: alerts, the chat, the watchdog, the heartbeat. Each follows the log itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import asdict

from papertape.cli.explainer import make_explainer
from papertape.cli.service.backup_schedule import BackupSchedule, backup_command
from papertape.cli.service.chat_conditions import ChatConditions
from papertape.cli.service.event_journal import journal
from papertape.cli.service.owner_channel import FileChannel, OwnerChannel, TelegramChannel, file_of_alerts, ping
from papertape.cli.service.unlogged_messages import UnloggedMessages, unlogged_path
from papertape.cli.wiring import warn
from papertape.engine.backup import Backup, newest_backup
from papertape.engine.feeds.bitget.settings import BITGET
from papertape.engine.loop_lag import LoopLagMonitor, stacks_file
from papertape.engine.process_health import ProcessHealthProbe
from papertape.engine.task_restarts import TaskRestarter
from papertape.events.beside import real_path
from papertape.events.copying import log_bytes
from papertape.events.cursors import SqliteCursors
from papertape.events.errors import LogDamaged, LogReplaced, PapertapeError
from papertape.events.place import other_users
from papertape.events.snapshots import SnapshotStore
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import Digest
from papertape.projections.alerts.heartbeat import heartbeat_text, heartbeat_view
from papertape.projections.alerts.texts import Stamp, fault_text
from papertape.projections.persistence.fold_store import FoldStore
from papertape.projections.site.views import Views
from papertape.projections.telegram.address import ChatAddress
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
    from papertape.engine.feeds.bitget.feed import BitgetFeed
    from papertape.engine.ports.feed import Feed
    from papertape.engine.startup import Engine
    from papertape.events.facts import Event
    from papertape.events.sqlite_log import SqliteLogReader
    from papertape.projections.telegram.bot import Bot
    from papertape.projections.telegram.client import TelegramClient
    from papertape.projections.telegram.delivery import Notifier
    from papertape.projections.telegram.secret import ChatCredentials
    from papertape.projections.telegram.statistics import DeliveryStatistics
    from papertape.projections.watchdog.heartbeat import Heartbeat
    from papertape.projections.watchdog.watchdog import Watchdog, WatchdogView

LAST_WORDS_S: Final = 5.0
"""An engine that a fault stopped tries for so long to say so."""


class EngineServices:
    """One engine's companions, and what they share."""

    def __init__(self, running: Engine, config: Config, feed: Feed, db: Path, stack: AsyncExitStack) -> None:
        self._running, self._config, self._feed, self._db, self._stack = running, config, feed, real_path(db), stack
        self._variables = variables_of(os.environ, config.folder / ".env")
        self.market_ended = False
        self.companions = TaskRestarter(running.bus, running.clock, warn, self._report)
        self._lag = LoopLagMonitor(asyncio.get_running_loop(), stacks_file(self._beside(".stacks"), self._now_text))
        self._notifier: Notifier | FileNotifier
        self._dog: Watchdog | None = None
        self._heart: HeartbeatSender | None = None
        self._bot: Bot | None = None
        self._telling: OwnerChannel | None = None
        self._told = UnloggedMessages(unlogged_path(self._db), warn)
        self.signs = ProcessHealthProbe(self._db.parent, running.loop.latencies, self._lag)
        self._backing = self._scheduled_backups()

    def _now_text(self) -> str:
        return f"{utc(self._running.clock.now_ms())} UTC"

    def _beside(self, suffix: str) -> Path:
        return self._db.with_name(self._db.name + suffix)

    def _reader(self) -> SqliteLogReader:
        reader = self._running.log.reader()
        self._stack.callback(reader.close)
        return reader

    def _keeping(self, name: str, made_with: object) -> FoldStore:
        """Where a follower's folds are kept between two runs: a folder of its own beside the log."""
        store = SnapshotStore(self._beside(".folds") / name, warn)
        return FoldStore(store, self._reader(), self._running.clock.now_ms, warn, made_with)

    def _scheduled_backups(self) -> BackupSchedule | None:
        """Backups of a market that cannot be had again; none of a simulated or recorded one."""
        settings = self._config.backup
        if self._live() is None or not settings.every_hours:
            return None
        folder = self._db.parent / settings.folder
        command = backup_command(self._db, folder, self._config.file)
        return BackupSchedule(
            self._db, folder, settings.every_hours, command, self._running.bus, self._running.clock, warn
        )

    async def _report(self, events: Sequence[Event]) -> None:
        """Into the log, while the engine takes anything."""
        if not self._running.ending:
            await self._running.loop.take(events)

    # ------------------------------------------------------------ who attends

    def watchers(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Everybody, by name, each kept alive. Raises ConfigError for a bad token, chat id or interval."""
        self._lag.start()
        self._stack.callback(self._lag.stop)
        timeframes_ms, settings = self._timeframes_ms(), self._config.watchdog
        self._dog = dog = make_watchdog(
            self._reader(),
            self._running.bus,
            self._running.clock,
            timeframes_ms,
            self._measure,
            self._repairs(),
            self._report,
            settings,
            self._keeping("watchdog", (timeframes_ms, settings)),
        )
        found = read_access(self._variables)
        made: dict[str, Callable[[], Awaitable[None]]] = {"watchdog": dog.run}
        if found is None:
            self._without_telegram()
        else:
            self._with_telegram(found, dog)
        if self._bot is not None:
            made["chat"] = self._bot.run
        url = self._config.telegram.dead_mans_switch_url
        self._heart = heart = HeartbeatSender(
            dog.following,
            dog.vitals,
            dog.portfolio,
            self._running.clock,
            self._beat,
            heartbeat_s(settings, self._variables),
            (lambda: ping(url)) if url else None,
            lambda: self.market_ended,
        )
        made |= {"alerts": self._notifier.run, "heartbeat": heart.run}
        if self._config.logs.folder:
            made["journal"] = lambda: journal(self._running)
        if self._backing is not None:
            made["backup"] = self._backing.run
        return {name: partial(self.companions.run_with_restarts, name, run) for name, run in made.items()}

    def _timeframes_ms(self) -> dict[str, int]:
        runners = self._running.loop.state.runners
        return {runner.strategy.name: runner.strategy.timeframe_ms for runner in runners}

    def _notes(self) -> dict[int, str]:
        """What the log cannot know of this start, by the seq of its event."""
        found = self._running.recovered
        note = f"{found.replayed_events:,} events replayed in {found.took_ms:,.0f} ms"
        self._told.change(lambda before: before.up_to(found.seq).with_note(found.seq + 1, note))
        return {found.seq + 1: note}

    def _without_telegram(self) -> None:
        """Without a token all messages go to a small file beside the log."""
        tell = file_of_alerts(self._beside(".alerts.log"), self._stack)
        self._telling = FileChannel(tell)
        self._notifier = FileNotifier(
            self._reader(),
            self._running.bus,
            Alerts(self._config.alerts),
            tell,
            begin_after_seq=self._running.recovered.seq,
            notes=self._notes(),
            store=self._keeping("alerts", self._config.alerts),
        )

    def _client(self, found: ChatCredentials) -> TelegramClient:
        from papertape.projections.telegram.client import TelegramClient  # noqa: PLC0415 - slow to import, as all of the chat.

        client = TelegramClient(found.token, self._config.telegram.api_url)
        self._stack.push_async_callback(client.close)
        return client

    def _with_telegram(self, found: ChatCredentials, dog: Watchdog) -> None:
        """The notifier of the owner's chat, and who answers there."""
        from papertape.cli.render.config import summary  # noqa: PLC0415 - the chat is slow to import.
        from papertape.projections.telegram.answers import RuntimeInfo  # noqa: PLC0415 - likewise
        from papertape.projections.telegram.bot import Bot  # noqa: PLC0415 - likewise
        from papertape.projections.telegram.delivery import Notifier  # noqa: PLC0415 - likewise
        from papertape.projections.telegram.poll import ChatAllowlist  # noqa: PLC0415 - likewise

        client, pace = self._client(found), MessageRateLimiter(self._running.clock)
        cursors = SqliteCursors(self._beside(".cursors"))
        self._stack.callback(cursors.close)
        address = ChatAddress(found.chat_id, cursors, warn)
        self._telling = TelegramChannel(client, address, cursors, pace)
        self._notifier = Notifier(
            self._reader(),
            self._running.bus,
            cursors,
            lambda: Alerts(self._config.alerts),
            client,
            address,
            self._running.clock,
            warn,
            digest=Digest,
            limiter=pace,
            begin_after_seq=self._running.recovered.seq,
            notes=self._notes(),
            store=self._keeping("alerts", self._config.alerts),
        )
        strategies = self._running.recovered.state.strategies
        conditions = ChatConditions(self._db, self._running.log.reader, strategies)
        self._stack.callback(conditions.close)
        self._bot = Bot(
            self._client(found),  # Its own: a poll keeps a connection.
            ChatAllowlist(found.chat_id),
            self._running.commands,
            self._reader(),
            self._running.bus,
            cursors,
            self._running.clock,
            warn,
            runtime=RuntimeInfo(
                version=lambda: version("papertape"),
                config=lambda: summary(self._config, self._db.name),
                watchdog=lambda: dog.view,
                delivery=self._notifier.statistics,
                conditions=conditions,
                explain=make_explainer(strategies),
                health=self._health,
            ),
            views=Views(self._timeframes_ms()),
            limiter=pace,
            store=self._keeping("chat", self._timeframes_ms()),
            address=address,
        )

    # ------------------------------------------------------------ what no event stands for

    async def _beat(self, beat: Heartbeat) -> None:
        assert self._dog is not None
        assert self._telling is not None
        view = heartbeat_view(
            self._dog.portfolio.view(),
            at_ms=beat.at_ms,
            evaluations=beat.evaluations,
            candle_age_ms=beat.last_candle_age_ms if beat.last_candle_at_ms else None,
        )
        html = heartbeat_text(view)
        self._told.change(lambda before: before.with_beat(view.seq, view.at_ms, html))
        await self._telling.beat(html)

    async def fault(self, error: PapertapeError) -> None:
        """Say that this stopped the engine. The log takes nothing more, so it goes out by itself, while there is time.

        Where nobody hears it the next start tells that the run before ended without a stop.
        """
        loudness = self._config.alerts.fault
        if self._dog is None or self._telling is None or loudness == "off":
            return
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                with suppress(PapertapeError):  # A damaged log is reported with what is known about it.
                    await self._dog.following.catch_up()
                stamp = Stamp(self._running.log.head.seq, self._running.clock.now_ms())
                why = redact(f"{type(error).__name__}: {error}")
                whole, positions = not isinstance(error, LogDamaged | LogReplaced), self._dog.portfolio.positions()
                html, silent = fault_text(stamp, why, positions, is_log_whole=whole), loudness == "silent"
                self._told.change(lambda before: before.with_fault(stamp.seq, stamp.at_ms, html, silent=silent))
                await self._telling.say(html, silent=silent)
        except OUTSIDE_ERRORS as failed:
            warn(f"nobody could be told of the fault: {failed}")

    def _health(self) -> list[str]:
        """What /health shows of the signs of life."""
        if self._heart is None:
            return []
        view = self._heart.view
        failed = [f"{view.failed_sends:,} heartbeats did not arrive"] if view.failed_sends else []
        unheard = [f"the dead man's switch did not hear {view.failed_pings:,} times"] if view.failed_pings else []
        return [f"heartbeats {view.beats:,}", *failed, *unheard]

    # ------------------------------------------------------------ what others see of them

    @property
    def dog_view(self) -> WatchdogView | None:
        """What the watchdog saw and did; None before there is one."""
        return self._dog.view if self._dog is not None else None

    @property
    def delivery(self) -> DeliveryStatistics:
        """The counts of sent and waiting alerts, and why they wait."""
        return self._notifier.statistics()

    @property
    def oldest_alert_age_s(self) -> float:
        """How long the alert that waits the longest has been waiting; 0 where none waits."""
        return self._notifier.statistics().oldest_unsent_ms / 1_000.0

    def newest_backup(self) -> Backup | None:
        """The newest proved backup, whoever made it; looks into its folder."""
        folder = self._db.parent / self._config.backup.folder
        return newest_backup(folder, self._db.name, self._running.clock.now_ms())

    @property
    def backup_age_s(self) -> float | None:
        """How old the newest proved backup is; None where none is made, or the engine is too young to tell."""
        return None if self._backing is None else self._backing.age_s()

    # ------------------------------------------------------------ what the watchdog needs

    async def _measure(self) -> ProcessMeasurements:
        signs = await self.signs.measure()
        told, log = self._notifier.statistics(), self._running.log
        blocked = await log.blocked_wal_bytes()
        return ProcessMeasurements(
            **asdict(signs),
            oldest_alert_age_s=self.oldest_alert_age_s,
            projection_lag_events={"alerts": told.lag_events, **self._chat_lag()},
            dead_tasks=tuple(sorted(self.companions.dead)),
            backup_age_s=self.backup_age_s,
            clock_skew_ms=self._skew_ms(),
            wal_blocked_bytes=blocked,
            log_users=await asyncio.to_thread(other_users, log.path) if blocked else (),
            read_back_failure=self._running.integrity.failure,
            log_bytes=await asyncio.to_thread(log_bytes, self._db),
            market_ended=self.market_ended,
        )

    def _skew_ms(self) -> float | None:
        """The clock skew that the feed reports; None if it reports none."""
        live = self._live()
        return None if live is None else live.clock_skew_ms

    def _chat_lag(self) -> dict[str, int]:
        if self._bot is None:
            return {}
        return {"chat": max(0, self._running.bus.head_seq - self._bot.statistics().seq)}

    def _repairs(self) -> Mapping[str, Callable[[str], Awaitable[str]]]:
        """What can be mended by hand: the live feed's connections."""
        live = self._live()
        return (
            {}
            if live is None
            else {AnomalyKind.WS_DISCONNECTED: live.reconnect, AnomalyKind.DATA_STALE: live.resubscribe}
        )

    def _live(self) -> BitgetFeed | None:
        """The live feed, where it is one."""
        if self._feed.name != BITGET:
            return None
        from papertape.engine.feeds.bitget.feed import BitgetFeed  # noqa: PLC0415 - its clients are slow to import.

        assert isinstance(self._feed, BitgetFeed)
        return self._feed


@asynccontextmanager
async def attendance(running: Engine, config: Config, feed: Feed, db: Path) -> AsyncIterator[EngineServices]:
    """The companions of an engine; what they hold is let go of at the end."""
    async with AsyncExitStack() as stack:
        attended = EngineServices(running, config, feed, db, stack)
        try:
            yield attended
        except PapertapeError as error:
            await attended.fault(error)
            raise
