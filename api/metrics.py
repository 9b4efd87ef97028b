"""Metrics for Prometheus, read from the views at each scrape."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.routes import GuardedRoute, Operation
from papertape.projections.site.readiness import readiness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import Metric
    from starlette.requests import Request

    from papertape.api.streams import Streams
    from papertape.projections.folds.portfolio import AccountView
    from papertape.projections.site.ports import EngineStatus, Site

STATES = ("active", "parked", "paused", "stopped")


class _Scrape(Collector):
    """Collects all metrics for one scrape."""

    def __init__(self, site: Site, streams: Streams, engine: EngineStatus | None, wrong_tokens: int) -> None:
        self._site, self._streams, self._engine, self._wrong_tokens = site, streams, engine, wrong_tokens

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families, without those of the views while they show only part of the log."""
        yield from self._log()
        if self._site.timeline.folding is None:
            yield from self._views()
            yield from self._strategies()
        yield from self._engine_status()
        yield from self._web()

    def _log(self) -> Iterator[Metric]:
        timeline = self._site.timeline
        views, outage = timeline.views, self._site.outage()
        ready = readiness(views, self._engine, timeline.head_seq, timeline.folding, outage).ready
        yield _gauge("ready", "1 while the engine trades or is idle on purpose", float(ready))
        yield _gauge("log_head_seq", "The newest event of the log", timeline.head_seq)
        yield _gauge("views_seq", "The event that these metrics are as of", views.seq)

    def _views(self) -> Iterator[Metric]:
        views = self._site.timeline.views
        feeding = views.portfolio.market_status
        yield _gauge("market_time_seconds", "Close of the newest candle, Unix time in seconds", views.at_ms / 1_000.0)
        yield _gauge("feed_connected", "1 while the feed delivers", float(views.connected))
        yield _gauge("anomalies", "Active anomalies", len(feeding.anomalies()))
        yield _gauge(
            "symbols_suspended", "Symbols in which no position may be opened", len(feeding.suspended_symbols())
        )
        tripped = views.portfolio.switches.global_trip is not None
        yield _gauge("global_kill_switch", "1 while the global kill switch is tripped", float(tripped))
        repairs = views.marks.repairs
        yield _counter("feed_losses", "Number of times the feed was lost", repairs.losses)
        yield _counter("candles_missing", "Candles missing in holes", repairs.candles_missing)
        yield _counter("candles_healed", "Missing candles that were fetched later", repairs.candles_healed)

    def _strategies(self) -> Iterator[Metric]:
        views = self._site.timeline.views
        accounts = views.portfolio.accounts()

        def family(name: str, text: str, value: Callable[[AccountView], float]) -> Metric:
            return _by("strategy", name, text, {account.strategy: value(account) for account in accounts})

        yield family("equity_usdt", "Equity", lambda account: account.equity_usdt)
        yield family("day_result_usdt", "Result since 00:00 UTC", lambda account: account.day_result_usdt)
        yield family("drawdown_percent", "Drawdown from the highest equity", lambda account: account.drawdown_percent)
        yield family("open_positions", "Open positions", lambda account: account.open_positions)
        yield family("fees_usdt", "Fees since the start", lambda account: account.fees_usdt)
        yield family("funding_usdt", "Funding, positive if received", lambda account: account.funding_usdt)
        yield family("trades", "Closed trades", lambda account: views.trades.count(account.strategy))
        state = GaugeMetricFamily(
            "papertape_state", "1 for the current state of a strategy", labels=["strategy", "state"]
        )
        for account in accounts:
            for name in STATES:
                state.add_metric([account.strategy, name], float(account.state == name))
        yield state

    def _engine_status(self) -> Iterator[Metric]:
        engine = self._engine
        yield _gauge("engine_up", "1 while an engine answers", float(engine is not None))
        if engine is None:
            return
        yield _gauge(
            "engine_start_time_seconds", "When the engine started, Unix time in seconds", engine.started_at_ms / 1_000.0
        )
        yield _gauge(
            "engine_recovery_seconds", "Duration of the recovery at the engine's start", engine.recovery_ms / 1_000.0
        )
        optional = {
            "commit_p99_seconds": ("The 99th percentile of the commit times", engine.commit_p99_ms, 1_000.0),
            "loop_lag_seconds": ("The largest delay of a due task in the event loop", engine.loop_lag_ms, 1_000.0),
            "disk_free_bytes": ("Free disk space for the log", engine.disk_free_bytes, 1.0),
            "log_bytes": ("Size of the log with its write-ahead file and its segments", engine.log_bytes, 1.0),
            "engine_tasks": ("asyncio tasks in the engine", engine.tasks, 1.0),
            "proof_time_seconds": (
                "When the newest verified backup was made, Unix time in seconds",
                engine.proved_at_ms,
                1_000.0,
            ),
            "read_back_seq": (
                "Every event up to this one was read back from the log and found intact",
                engine.read_back_seq,
                1.0,
            ),
            "alert_age_seconds": ("Age of the oldest unsent alert", engine.oldest_alert_age_s, 1.0),
            "backup_age_seconds": ("Age of the newest verified backup", engine.backup_age_s, 1.0),
        }
        yield _gauge(
            "backups_failed", "Destinations whose newest backup failed or was killed", len(engine.backup_failures)
        )
        yield _gauge("read_back_failed", "1 while the log cannot be read back", float(bool(engine.read_back_failure)))
        yield _gauge("alerts_parked", "1 while a channel refuses alerts", float(bool(engine.alerts_parked)))
        for name, (text, value, divisor) in optional.items():
            if value is not None:
                yield _gauge(name, text, value / divisor)

    def _web(self) -> Iterator[Metric]:
        streams = self._streams
        yield _gauge("web_tasks", "asyncio tasks in the page's process", len(asyncio.all_tasks()))
        yield _gauge("streams_open", "Open streams", streams.open)
        yield _counter("streams_refused", "Streams refused because all were taken", streams.refused)
        yield _counter("streams_dropped", "Streams dropped because the client did not read", streams.dropped)
        yield _counter("wrong_tokens", "Wrong tokens", self._wrong_tokens)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"papertape_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"papertape_{name}", text, value)


def _by(label: str, name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"papertape_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def route(site: Site, streams: Streams, wrong_tokens: Callable[[], int]) -> GuardedRoute:
    """Return the route that Prometheus scrapes; it requires the token like any read."""

    async def endpoint(_: Request) -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Scrape(site, streams, await site.engine.status(), wrong_tokens()))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    operation = Operation("Metrics for Prometheus", str, media_type="text/plain")
    return GuardedRoute("/metrics", endpoint, access=Access.READ, operation=operation)
