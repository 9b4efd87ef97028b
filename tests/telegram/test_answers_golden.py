"""Every answer and prompt as the owner reads it, stored in `golden/`: with BTC, GALA and a liquidation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from papertape.events.commands import Accepted
from papertape.events.facts import GLOBAL_SCOPE, SignalReceived
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.telegram import explain, replies
from papertape.projections.telegram.commands import (
    CommandUnavailable,
    ConfirmationPrompt,
    answered_html,
    confirmation_for,
    done_words,
)
from papertape.projections.telegram.confirmation import ALREADY_PRESSED, CANCELLED, EXPIRED, NOT_YOURS
from papertape.projections.telegram.funnel import funnel_html
from papertape.projections.telegram.parse import MENU, InvalidRequest, request_of
from papertape.projections.telegram.statistics import DeliveryStatistics
from papertape.projections.text.causes import cause_chain
from papertape.projections.watchdog.checks import AnomalyKind, DetectedProblem
from papertape.projections.watchdog.watchdog import RepairView, WatchdogView
from papertape.sandbox.telegram.html import parse
from tests.alerts.example_day import BOTH_OPEN, MOVED, liquidated, market, tripped
from tests.build import BTC, GALA, NOON_MS, candle_at, lost, recorded
from tests.telegram.bot_rig import TELLING, views_of
from tests.telegram.test_funnel import VIEW as FUNNEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.projections.site.views import Views

GOLDEN = Path(__file__).parent / "golden"
OPEN = [*market(), *BOTH_OPEN, *MOVED]
LIQUIDATED = [*OPEN, candle_at(NOON_MS + 2 * HOUR_MS, BTC, 56_000.0), liquidated()]
STOPPED = [*OPEN, lost(), tripped(), tripped(GLOBAL_SCOPE, "global_loss")]
VIEWS = {"open": views_of(OPEN), "day": views_of(TELLING), "liquidated": views_of(LIQUIDATED), "new": views_of([])}
VIEWS["stopped"] = views_of(STOPPED)
VIEWS["signals"] = views_of(
    [
        *OPEN,
        SignalReceived(NOON_MS, BTC, "trend", -1.0, "tradingview", "a"),
        SignalReceived(NOON_MS, GALA, "up_chance", 0.53125, "<model>", "b"),
    ]
)
PARKED = DeliveryStatistics(
    sent=12, parked="sendMessage: 400 Bad Request: TOPIC_CLOSED", moved_to=-1_001_557_912_345, oldest_unsent_ms=HOUR_MS
)
DOG = WatchdogView(
    NOON_MS,
    120,
    (),
    (DetectedProblem(AnomalyKind.DISK_LOW, "disk", "0.80 GB free (limit 1.00 GB)"),),
    (RepairView(NOON_MS - MINUTE_MS, "data_stale", GALA, "subscribed again"),),
)


def of_all(make: Callable[[Views], str], *names: str) -> str:
    """The same answer from several views, one below the other."""
    return "\n\n".join(make(VIEWS[name]) for name in names)


def why_closed(views: Views) -> str:
    log = {one.seq: one for one in recorded(OPEN)}
    return explain.why_text(views, cause_chain(10, log.__getitem__, views.contracts.by_symbol))


def asked(said: str, name: str) -> str:
    """Return the prompt of a command, or why it is impossible."""
    views = VIEWS[name]
    act = request_of(said, views.strategies)
    assert act is not None
    if isinstance(act, InvalidRequest):
        return explain.wrong_text(act)
    found = confirmation_for(act, views)  # type: ignore[arg-type]
    assert isinstance(found, ConfirmationPrompt | CommandUnavailable)
    return found.html


ANSWERS: dict[str, Callable[[], str]] = {
    "status": lambda: of_all(replies.status, "open", "liquidated", "stopped", "new"),
    "positions": lambda: of_all(replies.positions, "open", "new"),
    "profit": lambda: of_all(lambda views: replies.profit_text(views, 0), "day", "liquidated", "new"),
    "profit_days": lambda: of_all(lambda views: replies.profit_text(views, 2), "day"),
    "arena": lambda: of_all(replies.arena, "day", "liquidated", "new"),
    "daily": lambda: of_all(lambda views: replies.daily_text(views, 7), "day", "liquidated", "new"),
    "weekly": lambda: of_all(replies.weekly_text, "day", "new"),
    "trades": lambda: of_all(lambda views: replies.last_trades(views, 5), "day", "liquidated", "new"),
    "risk": lambda: of_all(replies.risk, "open", "stopped", "new"),
    "signals": lambda: of_all(replies.signals, "signals", "new"),
    "health": lambda: "\n\n".join(
        [
            explain.health_text(VIEWS["stopped"], DOG, DeliveryStatistics(sent=12), ["heartbeats 5"], NOON_MS + 20_000),
            explain.health_text(VIEWS["open"], None, PARKED),
            *(explain.health_text(VIEWS[name]) for name in ("open", "stopped", "new")),
        ]
    ),
    "why_without_strategy": lambda: why_closed(VIEWS["open"]),
    "whynot_log": lambda: of_all(lambda views: explain.why_not_text(views, GALA), "open", "stopped"),
    "whynot_which": lambda: explain.unknown_symbol(VIEWS["open"], "xrp"),
    "asof": lambda: of_all(lambda views: explain.as_of_text(views, reached=True), "open", "liquidated"),
    "config": lambda: explain.config_text('[engine]\ndb = "data/live.db"\n\n[feed]\nkind = "bitget"  # <live>'),
    "log": lambda: of_all(lambda views: explain.log_text(views, 4), "liquidated", "new"),
    "version": lambda: of_all(lambda views: explain.version_text(views, "1.4.0"), "open", "new"),
    "help": explain.help_text,
    "still_reading": lambda: explain.still_reading(412_000, 1_200_000),
    "pause": lambda: asked('/pause momentum "news at 14:30"', "open"),
    "pause_all": lambda: asked('/pause "holiday"', "open"),
    "resume": lambda: asked("/resume momentum", "stopped"),
    "close": lambda: asked("/close 12 no more", "open"),
    "close_gala": lambda: asked("/close #10", "open"),
    "close_all": lambda: asked("/close all weekend", "open"),
    "close_unknown": lambda: asked("/close 4711", "open"),
    "pause_unknown": lambda: asked("/pause TYPO", "open"),
    "close_none": lambda: asked("/close all", "new"),
    "kill": lambda: asked("/kill odd prices", "open"),
    "kill_strategy": lambda: asked("/kill momentum odd prices", "open"),
    "kill_unknown": lambda: asked("/kill TYPO", "open"),
    "kill_again": lambda: asked("/kill", "stopped"),
    "reset": lambda: asked("/reset momentum the stop was too tight", "stopped"),
    "reset_global": lambda: asked("/reset global looked into it", "stopped"),
    "reset_untripped": lambda: asked("/reset vwap_rsi why not", "stopped"),
    "reset_without_reason": lambda: asked("/reset momentum", "stopped"),
    "funnel": lambda: funnel_html(FUNNEL),
    "reload": lambda: asked("/reload calmer", "open"),
    "reloaded": lambda: answered_html(
        asked("/reload calmer", "open"), done_words(Accepted(4_711, 4_713, ("risk.leverage: 3 -> 2",))), "✓"
    ),
    "unknown_command": lambda: asked("/positons", "open"),
    "unknown_strategy": lambda: asked("/pause momentun", "open"),
    "confirmed": lambda: answered_html(asked("/close all weekend", "open"), done_words(Accepted(4_711, 4_714)), "✓"),
    "not_confirmed": lambda: f"{EXPIRED}\n\n{ALREADY_PRESSED}\n\n{NOT_YOURS}\n\n{CANCELLED}",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_reads_as_its_golden_file(name: str) -> None:
    html, path = ANSWERS[name](), GOLDEN / f"{name}.txt"
    if os.environ.get("PAPERTAPE_GOLDEN") == "write":
        path.write_text(html + "\n", encoding="utf-8")
    assert html + "\n" == path.read_text(encoding="utf-8")
    assert parse(html).text


def test_every_command_has_a_golden_text_and_every_golden_text_a_test() -> None:
    assert set(MENU) <= {*ANSWERS, "why", "whynot"}
    assert {path.stem for path in GOLDEN.iterdir()} == {*ANSWERS, "why", "whynot"}
