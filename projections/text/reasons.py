"""Reasons in words: the names used in events, spelled out for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.text.formats import money, percent, utc

if TYPE_CHECKING:
    from papertape.events.facts import KillSwitchTripped, RunnerPaused, StrategyFailed

REASONS: dict[str, str] = {
    "signal": "signal",
    "stop": "stop",
    "trailing_stop": "trailing stop",
    "breakeven_stop": "break-even stop",
    "target": "target",
    "target_1": "target 1",
    "target_2": "target 2",
    "target_3": "target 3",
    "target_4": "target 4",
    "reduced": "reduced by the strategy",
    "liquidation": "liquidation",
    "delisted": "delisted, settled at the last close",
    "unnamed_exit": "a reason that the strategy does not declare",
    "not_a_number": "not a number",
    "stop_wrong_side": "the stop is on the wrong side of the entry",
    "target_wrong_side": "the target is on the wrong side of the entry",
    "limit_beyond_market": "the limit price is beyond the market",
    "stop_behind_market": "the stop price of the entry is behind the market",
    "ladder": "the ladder of targets or adds is invalid",
    "units": "the position would become larger than the strategy allows",
    "stop_through_market": "the stop is on the wrong side of the market",
    "target_through_market": "a target is on the wrong side of the market",
    "max_positions": "the maximum number of positions is open",
    "correlation": "too many positions in the same direction in the group",
    "stop_too_close": "the stop is too close to the entry",
    "stop_beyond_liquidation": "the stop lies beyond the liquidation price",
    "cost_to_stop": "fees and slippage take too much of the distance to the stop",
    "below_minimum": "the size is below the exchange's minimum",
    "next_candle_missing": "the next candle did not arrive",
    "late_candle": "the next candle arrived late",
    "kill_switch": "kill switch",
    "margin": "not enough free margin",
    "not_tradable": "the symbol is not tradable",
    "strategy_failed": "strategy failed",
    "paused": "the strategy is paused",
    "expired": "it expired",
    "replaced": "it was replaced",
    "position_closed": "the position was closed",
    "session_loss": "session loss",
    "daily_loss": "daily loss",
    "global_loss": "global loss",
    "manual": "by hand",
    "ws_disconnected": "feed disconnected",
    "kill_switch_global": "global kill switch",
    "commit_slow": "slow commits",
    "disk_low": "low disk space",
    "backup_old": "backup too old",
    "wal_growing": "WAL growing",
    "log_not_read_back": "log unreadable",
}


def reason_words(reason: str) -> str:
    """Return a reason in words; a strategy's own reason reads like its name."""
    return REASONS.get(reason, reason.replace("_", " "))


def uncertain_fills(parts: int, entry_time_ms: int, exit_time_ms: int) -> str:
    """Return the fills of an ambiguous trade whose order within one candle is unknown."""
    if parts > 1:
        return "fills"
    return "entry and stop" if entry_time_ms == exit_time_ms else "stop and target"


HOLDS: dict[str, str] = {
    "inactive": "it does not trade this symbol",
    "paused": "it is paused",
    "warming_up": "its own state is not complete since it was resumed",
}


def hold_words(reason: str, detail: str) -> str:
    """Describe what keeps a strategy from an entry: the kernel's reason, and its detail if the name does not say it."""
    match reason:
        case "kill_switch":
            return f"kill switch: {reason_words(detail)}"
        case "position":
            return f"a {detail} position is open"
        case "order":
            return f"its {detail} waits to be filled"
        case "parked":
            return f"it is parked: {detail}"
        case "no_signal":
            return f"no signal has arrived yet: {detail}"
        case "own":
            return detail
        case _:
            return HOLDS.get(reason) or reason_words(reason)


def plot_note(strategy: str, reason: str, detail: str) -> str:
    """Say why a chart shows no readings of a strategy, or no newer ones; empty without a reason."""
    match reason:
        case "":
            return ""
        case "not_configured":
            return f"{strategy} does not run yet"
        case "unusable":
            return f"{strategy} cannot run: {detail}"
        case "inactive":
            return f"{strategy} does not trade this symbol"
        case "no_plot":
            return f"{strategy} has no PLOT in its file"
        case "parked":
            return f"{strategy} is parked: {detail}"
        case "read_failed":
            return f"{strategy} failed in read: {detail}"
        case "no_signal":
            return f"{strategy} has not received its signal yet: {detail}"
        case _:
            return f"{strategy} has too few candles yet"


NOT_ASKED: dict[str, str] = {
    "not_ready": "candles missing",
    "no_signal": "signal missing",
    "late": "late candle",
    "parked": "parked",
    "paused": "paused",
    "position": "position open",
    "order": "order pending",
}


def not_asked_words(reason: str) -> str:
    """Describe why a strategy was not asked for an entry."""
    return NOT_ASKED.get(reason) or reason_words(reason)


def loss_percent(base_usdt: float, equity_usdt: float) -> float:
    """Return the loss in percent of the base; 0 without a base."""
    return (base_usdt - equity_usdt) / base_usdt * 100.0 if base_usdt > 0.0 else 0.0


def trip_words(event: KillSwitchTripped) -> str:
    """Say why a kill switch tripped: `kill switch: session loss 5.02 % of 10,000.00 reached the limit of 5 %`."""
    name = "global kill switch" if event.scope == GLOBAL_SCOPE else "kill switch"
    if event.reason == "manual":
        by = f" by {event.who}" if event.who else ""
        why = f": {event.why}" if event.why else ""
        return f"{name}: tripped{by or ' by hand'} at an equity of {money(event.equity_usdt)}{why}"
    loss = percent(loss_percent(event.base_usdt, event.equity_usdt))
    limit = percent(event.threshold_percent)
    return f"{name}: {reason_words(event.reason)} {loss} of {money(event.base_usdt)} reached the limit of {limit}"


def pause_words(event: RunnerPaused) -> str:
    """Say who paused a strategy and why: `paused by anna: holiday`."""
    return f"paused by {event.who}: {event.why}"


def failure_words(event: StrategyFailed) -> str:
    """Say in one line what failed: `leave failed at grid.py:31 on BTCUSDT, 2025-01-01 00:04 UTC: KeyError: 'x'`."""
    if not event.is_hook:
        return f"{event.place}: {event.error}" if event.place else event.error
    return f"{event.hook} failed at {event.place} on {event.symbol}, {utc(event.at_ms)} UTC: {event.error}"
