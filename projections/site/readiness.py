"""Does it really trade: every reason why not, and when it rightly does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from papertape.projections.watchdog.checks import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.projections.site.ports import EngineStatus, Progress
    from papertape.projections.site.views import Views

BEHIND_EVENTS_MAX: Final = 10_000
"""Views that are further behind the log say how it stood, not how it stands."""
DISK_BYTES_MIN: Final = 16 << 20
"""With less a commit may fail at any moment."""
MARKET_ENDED: Final = "the market ended"
BACKTEST_ENDED: Final = "the backtest ended"
ENDED: Final = frozenset({MARKET_ENDED, BACKTEST_ENDED})
STALE: Final = frozenset({AnomalyKind.DATA_STALE, AnomalyKind.NO_PROGRESS})

Code = Literal[
    "no_engine", "stopped_by_fault", "stopping", "recovering", "feed_lost", "feed_stale", "log_not_writable", "no_log"
]


class NotReadyReason(Struct, frozen=True):
    """Why it does not trade: a code for machines, and the same in words."""

    code: Code
    text: str


class ReadyView(Struct, frozen=True):
    """`ready`: it trades, or rightly does nothing, which `idle` then says in words. Else the reasons why not."""

    ready: bool
    idle: str
    reasons: tuple[NotReadyReason, ...]


def readiness(
    views: Views, engine: EngineStatus | None, head_seq: int, folding: Progress | None = None, outage: str = ""
) -> ReadyView:
    """Return whether the engine is trading.

    `engine` is None where no engine answers on this log, `head_seq` is where the log ends, `folding` is the progress
    of the first fold while the views show only a part of the log, `outage` is why the engine is down, as its keeper
    says it.
    """
    if engine is None and outage:
        return ReadyView(ready=False, idle="", reasons=(NotReadyReason("stopped_by_fault", outage),))
    if folding is not None:
        text = f"reading the log: {folding.seq:,}/{folding.goal_seq:,}"
        return ReadyView(ready=False, idle="", reasons=(NotReadyReason("recovering", text),))
    if engine is None:
        return _without_engine(views, head_seq)
    if engine.replaying:
        text = f"the engine replays its log: {engine.recovered_seq:,}/{engine.head_seq:,}"
        return ReadyView(ready=False, idle="", reasons=(NotReadyReason("recovering", text),))
    reasons = [*_behind(views, head_seq, BEHIND_EVENTS_MAX), *_process(engine)]
    idle = MARKET_ENDED if engine.market_ended else _held(views)
    if not engine.market_ended:
        reasons += _feed(views, engine)
    return ReadyView(not reasons, idle, tuple(reasons))


def _without_engine(views: Views, head_seq: int) -> ReadyView:
    """Nobody writes: how the last one ended stands at the very end of the log."""
    reasons, over = list(_behind(views, head_seq, 0)), _over(views)
    if not reasons and not over:
        reasons.append(_absent(views))
    return ReadyView(not reasons, over, tuple(reasons))


def _behind(views: Views, head_seq: int, events_max: int) -> Iterator[NotReadyReason]:
    if head_seq - views.seq > events_max:
        yield NotReadyReason("recovering", f"reading the log: {views.seq:,}/{head_seq:,}")


def _over(views: Views) -> str:
    """Why nobody has to run any more; empty where somebody should."""
    stopped = views.stopped
    return stopped.reason if stopped is not None and stopped.reason in ENDED else ""


def _absent(views: Views) -> NotReadyReason:
    if views.started is None:
        return NotReadyReason("no_log", "no engine has ever started on this log")
    if views.stopped is None:
        return NotReadyReason(
            "stopped_by_fault", f"no engine answers, and none said that it stopped; the log ends at {views.seq:,}"
        )
    return NotReadyReason("no_engine", f"the engine was stopped: {views.stopped.reason}")


def _process(engine: EngineStatus) -> Iterator[NotReadyReason]:
    if engine.ending:
        yield NotReadyReason("stopping", "the engine is ending")
    free = engine.disk_free_bytes
    if free is not None and free < DISK_BYTES_MIN:
        yield NotReadyReason("log_not_writable", f"{free:,} bytes are free where the log is")


def _feed(views: Views, engine: EngineStatus) -> Iterator[NotReadyReason]:
    feed = views.portfolio.feeding.feed
    if feed is None or not views.connected:
        why = feed.why if feed is not None and feed.why else "it has not connected since the start"
        yield NotReadyReason("feed_lost", f"the feed does not deliver: {why}")
    for trouble in engine.watchdog.troubles if engine.watchdog is not None else ():
        if trouble.kind in STALE and not trouble.covered:
            yield NotReadyReason("feed_stale", f"{trouble.subject}: {trouble.detail}")


def _held(views: Views) -> str:
    """Who stopped everything on purpose; empty where somebody may trade."""
    accounts = views.portfolio.accounts()
    if not accounts or any(account.state == "active" for account in accounts):
        return ""
    trip = views.portfolio.switches.global_trip
    return f"the global kill switch is tripped: {trip.why}" if trip is not None else "no strategy may open anything"
