"""The texts of alerts: one idea per line; strategy, symbol, side and sign first; seq and time last.

The numbers come from the view Structs that JSON and the dashboard show, formatted by `projections.text.formats`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.alerts.lines import (
    ENTRIES_ALLOWED,
    FAULT,
    FEED_BACK,
    FEED_LOST,
    NO_ENTRIES_UNTIL_RESET,
    NO_TRIPS,
    OVER,
    PAUSED,
    RELOADED,
    RESET,
    RESUMED,
    STARTED,
    STATE_MARKS,
    STOPPED,
    SUSPENDED,
    TRADABLE,
    TRIPPED,
    WRONG,
    count_text,
    loss_words,
    numbered_part,
    positions_part,
    scope_title,
    span,
    still_open_lines,
    trip_line,
)
from papertape.projections.alerts.markup import code, footer, message, name, text
from papertape.projections.text.formats import (
    day_words,
    duration,
    gain,
    money,
    percent,
)
from papertape.projections.text.reasons import failure_words, reason_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import (
        AnomalyCleared,
        AnomalyPersists,
        AnomalyRaised,
        ConfigurationReloaded,
        EngineStarted,
        KillSwitchReset,
        KillSwitchTripped,
        RunnerPaused,
        RunnerResumed,
        StrategyFailed,
    )
    from papertape.projections.alerts.feed_outage import FeedOutage, FeedRecovery
    from papertape.projections.folds.kill_switches import TripView
    from papertape.projections.folds.market_status import AnomalyView
    from papertape.projections.folds.portfolio import PortfolioView, PositionView

DIGEST_CHARS = 8
NONE_ACTIVE = "no active strategy left: no new positions"


class Stamp(Struct, frozen=True):
    """The event of the log that a text reports, and its time."""

    seq: int
    at_ms: int


def stamped(stamp: Stamp, head: str, details: Sequence[str]) -> str:
    """Return a message that ends with its event and time."""
    return message(head, details, footer(stamp.seq, stamp.at_ms))


# ---------------------------------------------------------------- risk


def trip_text(
    stamp: Stamp, trip: KillSwitchTripped, positions: Sequence[PositionView], *, none_active: bool = False
) -> str:
    """Return the text for a trip; `positions` stay open. `none_active`: it stopped the last active strategy."""
    everything = trip.scope == GLOBAL_SCOPE
    lost = "" if trip.reason == "manual" else f" {text(gain(trip.equity_usdt - trip.base_usdt))} USDT"
    details = [
        *_trip_reason(trip),
        f"equity {text(money(trip.equity_usdt))} of {text(money(trip.base_usdt))}",
        f"peak {text(money(trip.peak_usdt))}",
        *([] if everything or not none_active else [f"<b>{NONE_ACTIVE}</b>"]),
        *still_open_lines(positions),
        "",
        f"{NO_ENTRIES_UNTIL_RESET}:",
        code(f"/reset {trip.scope} REASON"),
    ]
    return stamped(stamp, f"{TRIPPED} <b>{scope_title(trip.scope)} STOPPED{lost}</b>", details)


def _trip_reason(trip: KillSwitchTripped) -> list[str]:
    if trip.reason == "manual":
        by = f"tripped by {name(trip.who)}" if trip.who else "tripped manually"
        return [f"{by}: {text(trip.why)}" if trip.why else by]
    return [f"{text(loss_words(trip))} (limit {text(percent(trip.threshold_percent))})"]


def reset_text(stamp: Stamp, reset: KillSwitchReset, trip: TripView | None, held: TripView | None) -> str:
    """Return the text for a reset of `trip`; `held` is another trip that still stops the scope."""
    details = [f"by {name(reset.who)}: {text(reset.why)}"]
    if trip is not None:
        # A trip before the first candle has no market time.
        stood = f" for {text(duration(stamp.at_ms - trip.tripped_at_ms))}" if trip.tripped_at_ms else ""
        details.append(f"was stopped{stood}: {text(loss_words(trip))}")
    details.append(ENTRIES_ALLOWED if held is None else f"still stopped by {trip_line(held)}")
    return stamped(stamp, f"{RESET} <b>{scope_title(reset.scope)} RESET</b>", details)


def pause_text(stamp: Stamp, paused: RunnerPaused, positions: Sequence[PositionView], *, none_active: bool) -> str:
    """Return the text for a pause; `positions` stay open."""
    details = [f"by {name(paused.who)}: {text(paused.why)}"]
    details += [f"<b>{NONE_ACTIVE}</b>"] if none_active else []
    return stamped(stamp, f"{PAUSED} <b>{name(paused.strategy)} PAUSED</b>", [*details, *still_open_lines(positions)])


def failed_text(stamp: Stamp, failed: StrategyFailed, positions: Sequence[PositionView], *, none_active: bool) -> str:
    """Return the text for a strategy that failed; `positions` stay open with their stops and targets."""
    details = [text(failure_words(failed))]
    details += [f"<b>{NONE_ACTIVE}</b>"] if none_active else []
    details += [*still_open_lines(positions), "", "parked until its file is fixed and it is resumed:"]
    details += [code(f"/resume {failed.strategy} REASON")]
    return stamped(stamp, f"{WRONG} <b>{name(failed.strategy)} FAILED</b>", details)


def resume_text(stamp: Stamp, resumed: RunnerResumed, held: TripView | None) -> str:
    """Return the text for the end of a pause; `held` is a trip that still stops the strategy."""
    details = [f"by {name(resumed.who)}: {text(resumed.why)}"]
    details += [f"still stopped by {trip_line(held)}"] if held is not None else []
    return stamped(stamp, f"{RESUMED} <b>{name(resumed.strategy)} RESUMED</b>", details)


# ---------------------------------------------------------------- operation


def start_text(stamp: Stamp, started: EngineStarted, portfolio: PortfolioView, note: str = "", *, crashed: bool) -> str:
    """Return the text for an engine start and what it restored. `note` is what the log cannot know; see `with_note`."""
    code_digest, config = started.code_digest[:DIGEST_CHARS], started.config_digest[:DIGEST_CHARS]
    details = [f"config {code(config)} · code {code(code_digest)}"]
    details += [f"{WRONG} <b>the previous run did not shut down cleanly</b>"] if crashed else []
    head = f"{STARTED} <b>papertape {name(started.version)} started</b>"
    return with_note(stamped(stamp, head, [*details, *_restored_lines(portfolio)]), note)


def with_note(start_html: str, note: str) -> str:
    """Insert a line that the log cannot know, such as the duration of the replay, into the text of a start."""
    head, config, rest = start_html.split("\n", 2)
    return "\n".join([head, config, text(note), rest]) if note else start_html


def _restored_lines(portfolio: PortfolioView) -> list[str]:
    if not portfolio.accounts:
        return ["new log, nothing to restore"]
    equity, result = text(money(portfolio.equity_usdt)), text(gain(portfolio.day_result_usdt))
    active = sum(account.state == "active" for account in portfolio.accounts)
    paused = [account for account in portfolio.accounts if account.state in ("parked", "paused")]
    return [
        f"{active} of {len(portfolio.accounts)} strategies active",
        f"equity {equity} · {day_words(portfolio.at_ms, 0)} {result}",
        *(positions_part("positions restored", portfolio.positions) or ["no positions to restore"]),
        *(numbered_part("kill switches tripped", list(map(trip_line, portfolio.trips))) or [NO_TRIPS]),
        *[f"{STATE_MARKS[account.state]} {name(account.strategy)}: {text(account.why)}" for account in paused],
    ]


def reload_text(stamp: Stamp, reloaded: ConfigurationReloaded) -> str:
    """Return the text for a configuration that was applied while the engine runs."""
    details = [
        f"by {name(reloaded.who)}: {text(reloaded.why)}",
        *numbered_part("changes", list(map(text, reloaded.changes))),
    ]
    return stamped(stamp, f"{RELOADED} <b>configuration reloaded</b>", details)


def stop_text(stamp: Stamp, reason: str, positions: Sequence[PositionView]) -> str:
    """Return the text for an intended stop of the engine."""
    missed = ["", "stops and targets hit meanwhile are processed at the next start"] if positions else []
    details = [text(reason), *still_open_lines(positions), *missed]
    return stamped(stamp, f"{STOPPED} <b>papertape stopped</b>", details)


def fault_text(stamp: Stamp, reason: str, positions: Sequence[PositionView] = (), *, is_log_whole: bool = True) -> str:
    """Return the alert that a fault stopped the engine; the process that outlives the engine sends it.

    `is_log_whole`: the log itself is intact up to the stamp's seq.
    """
    intact = ["the log is intact up to the event below"] if is_log_whole else []
    details = [text(reason), *intact, *still_open_lines(positions)]
    return stamped(stamp, f"{FAULT} <b>papertape STOPPED BY A FAULT</b>", details)


# ---------------------------------------------------------------- the market


def feed_lost_text(stamp: Stamp, lost: FeedOutage, positions: Sequence[PositionView]) -> str:
    """Return the text for a lost feed; `positions` are unwatched meanwhile."""
    details = [text(lost.why)]
    if lost.back_for_ms:
        details.append(f"it had been back for only {text(duration(lost.back_for_ms))}")
        details.append("next message when it is stable again")
    return stamped(stamp, f"{FEED_LOST} <b>feed {name(lost.feed)} LOST</b>", [*details, *still_open_lines(positions)])


def feed_back_text(stamp: Stamp, back: FeedRecovery) -> str:
    """Return the text for a feed that is back, or an engine that has caught up after an absence."""
    away = text(duration(max(back.until_ms - back.from_ms, 0)))
    head = f"caught up after {away}" if back.absence else f"feed {name(back.feed)} back after {away}"
    fetched = f"{count_text(back.candles, 'candle')} of {count_text(back.symbols, 'symbol')} backfilled"
    details = [
        span(back.from_ms, back.until_ms),
        fetched if back.candles else "no candles missed",
        *([f"{count_text(back.missing, 'candle')} unavailable"] if back.missing else []),
        *([f"lost {count_text(back.losses, 'time')}"] if back.losses > 1 else []),
        *([f"stable for {text(duration(back.steady_ms))}"] if back.steady_ms else []),
    ]
    return stamped(stamp, f"{FEED_BACK} <b>{head}</b>", details)


def suspended_text(stamp: Stamp, symbol: str, reason: str, positions: Sequence[PositionView]) -> str:
    """Return the text for a symbol without new entries; `positions` in it continue."""
    details = [text(reason), "no new positions in it", *still_open_lines(positions)]
    return stamped(stamp, f"{SUSPENDED} <b>{name(symbol)} not tradable</b>", details)


def delisted_text(stamp: Stamp, symbol: str, reason: str, positions: Sequence[PositionView]) -> str:
    """Return the text for a delisted contract; `positions` are settled later, or when they are closed."""
    settled = ["settles at its last close: 24 h after its last candle, or when you close it"] if positions else []
    details = [text(reason), *still_open_lines(positions), *settled]
    return stamped(stamp, f"{SUSPENDED} <b>{name(symbol)} delisted</b>", details)


def tradable_text(stamp: Stamp, symbol: str, reason: str, since_ms: int | None, candles: int) -> str:
    """Return the text for a symbol that is tradable again; `candles` were backfilled since `since_ms`, if known."""
    after = f" after {text(duration(max(stamp.at_ms - since_ms, 0)))}" if since_ms is not None else ""
    details = [text(reason), *([f"{count_text(candles, 'candle')} backfilled"] if candles else [])]
    return stamped(stamp, f"{TRADABLE} <b>{name(symbol)} tradable again{after}</b>", details)


# ---------------------------------------------------------------- anomalies


def _anomaly(event: AnomalyRaised | AnomalyPersists | AnomalyCleared) -> str:
    return f"{name(reason_words(event.kind))} · {name(event.subject)}"


def raised_text(stamp: Stamp, event: AnomalyRaised) -> str:
    """Return the text for a new anomaly."""
    return stamped(stamp, f"{WRONG} <b>{_anomaly(event)}</b>", [text(event.detail)])


def persists_text(stamp: Stamp, event: AnomalyPersists) -> str:
    """Return the text for an ongoing anomaly."""
    lasts = f"for {text(duration(max(event.at_ms - event.raised_at_ms, 0)))}"
    return stamped(stamp, f"{WRONG} <b>ongoing: {_anomaly(event)}</b>", [lasts, text(event.detail)])


def cleared_text(stamp: Stamp, event: AnomalyCleared, anomaly: AnomalyView) -> str:
    """Return the text for a cleared anomaly."""
    lasted = f"after {duration(max(event.at_ms - anomaly.since_ms, 0))}"
    # The watchdog itself reports how long it lasted, without the calm period afterwards.
    details = [event.detail] if event.detail.startswith("after ") else [lasted, event.detail]
    return stamped(stamp, f"{OVER} <b>cleared: {_anomaly(event)}</b>", list(map(text, details)))
