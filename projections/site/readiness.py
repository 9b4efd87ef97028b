"""Whether the engine is trading: every reason why not, and why it may rightly be idle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from papertape.projections.watchdog.checks import AnomalyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.projections.site.ports import EngineStatus, Progress
    from papertape.projections.site.views import Views

BEHIND_EVENTS_MAX: Final = 10_000
"""Views that are further behind the log are out of date."""
DISK_BYTES_MIN: Final = 16 << 20
"""With less free space, a commit may fail at any moment."""
MARKET_ENDED: Final = "the market ended"
BACKTEST_ENDED: Final = "the backtest ended"
BRANCH_ENDED: Final = "the what-if branch ended"
FINISHED: Final = frozenset({BACKTEST_ENDED, BRANCH_ENDED})
"""How logs end on which no engine will ever run."""
ENDED: Final = FINISHED | {MARKET_ENDED}
STALE: Final = frozenset({AnomalyKind.DATA_STALE, AnomalyKind.NO_PROGRESS})

Code = Literal[
    "no_engine", "stopped_by_fault", "stopping", "recovering", "feed_lost", "feed_stale", "log_not_writable", "no_log"
]


class NotReadyReason(Struct, frozen=True):
    """Why it does not trade: a code for machines and a text for people."""

    code: Code
    text: str


class ReadyView(Struct, frozen=True):
    """Whether it trades or is rightly idle, for the reason in `idle`; else the reasons why not."""

    ready: bool
    idle: str
    reasons: tuple[NotReadyReason, ...]


def readiness(
    views: Views, engine: EngineStatus | None, head_seq: int, folding: Progress | None = None, outage: str = ""
) -> ReadyView:
    """Return whether the engine is trading.

    `engine` is None if no engine answers on this log, `head_seq` is the end of the log, `folding` is the progress of
    the first fold while the views cover only a part of the log, and `outage` is the supervisor's reason why the engine
    is down.
    """
    if engine is None and outage:
        return _not_ready("stopped_by_fault", outage)
    if folding is not None:
        return _not_ready("recovering", f"reading the log: {folding.seq:,}/{folding.goal_seq:,}")
    if engine is None:
        return _without_engine(views, head_seq)
    if engine.replaying:
        text = f"the engine is replaying its log: {engine.recovered_seq:,}/{engine.head_seq:,}"
        return _not_ready("recovering", text)
    reasons = [*_behind(views, head_seq, BEHIND_EVENTS_MAX), *_process(engine)]
    idle = MARKET_ENDED if engine.market_ended else _stopped_reason(views)
    if not engine.market_ended:
        reasons += _feed(views, engine)
    return ReadyView(not reasons, idle, tuple(reasons))


def _not_ready(code: Code, text: str) -> ReadyView:
    return ReadyView(ready=False, idle="", reasons=(NotReadyReason(code, text),))


def _without_engine(views: Views, head_seq: int) -> ReadyView:
    """Judge a log that no engine writes: the end of the log says how the last engine ended."""
    reasons, idle = list(_behind(views, head_seq, 0)), _end_reason(views)
    if not reasons and not idle:
        reasons.append(_absent(views))
    return ReadyView(not reasons, idle, tuple(reasons))


def _behind(views: Views, head_seq: int, events_max: int) -> Iterator[NotReadyReason]:
    if head_seq - views.seq > events_max:
        yield NotReadyReason("recovering", f"reading the log: {views.seq:,}/{head_seq:,}")


def _end_reason(views: Views) -> str:
    """Return why no engine needs to run any more; empty if one should run."""
    stopped = views.stopped
    return stopped.reason if stopped is not None and stopped.reason in ENDED else ""


def _absent(views: Views) -> NotReadyReason:
    if views.started is None:
        return NotReadyReason("no_log", "no engine has ever started on this log")
    if views.stopped is None:
        return NotReadyReason(
            "stopped_by_fault",
            f"no engine answers, and the last one did not record its stop; the log ends at {views.seq:,}",
        )
    return NotReadyReason("no_engine", f"the engine was stopped: {views.stopped.reason}")


def _process(engine: EngineStatus) -> Iterator[NotReadyReason]:
    if engine.ending:
        yield NotReadyReason("stopping", "the engine is ending")
    free = engine.disk_free_bytes
    if free is not None and free < DISK_BYTES_MIN:
        yield NotReadyReason("log_not_writable", f"only {free:,} bytes are free on the log's disk")


def _feed(views: Views, engine: EngineStatus) -> Iterator[NotReadyReason]:
    feed = views.portfolio.market_status.feed
    if feed is None or not views.connected:
        why = feed.why if feed is not None and feed.why else "it has not connected since the start"
        yield NotReadyReason("feed_lost", f"the feed does not deliver: {why}")
    for trouble in engine.watchdog.troubles if engine.watchdog is not None else ():
        if trouble.kind in STALE and not trouble.covered:
            yield NotReadyReason("feed_stale", f"{trouble.subject}: {trouble.detail}")


def _stopped_reason(views: Views) -> str:
    """Return why no strategy may trade; empty if one may."""
    accounts = views.portfolio.accounts()
    if not accounts or any(account.state == "active" for account in accounts):
        return ""
    trip = views.portfolio.switches.global_trip
    return f"the global kill switch is tripped: {trip.why}" if trip is not None else "no strategy may open a position"
