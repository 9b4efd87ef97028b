"""Commands that change something: the confirmation prompt, the command to submit, and the outcome. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.events.commands import ALL, Accepted, Close, Command, Kill, Pause, Reload, Reset, Resume
from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.alerts.lines import (
    ENTRIES_ALLOWED,
    NO_ENTRIES_UNTIL_RESET,
    NO_POSITIONS,
    TRIPPED,
    count_text,
    position_label,
    positions_part,
    scope_title,
    trip_line,
)
from papertape.projections.alerts.markup import bold, code, name, text
from papertape.projections.telegram.parse import (
    Act,
    CloseCommand,
    KillCommand,
    PauseCommand,
    ReloadCommand,
    ResetCommand,
    ResumeCommand,
)
from papertape.projections.text.formats import gain, market_time

if TYPE_CHECKING:
    from papertape.projections.folds.kill_switches import TripView
    from papertape.projections.folds.portfolio import PositionView
    from papertape.projections.site.views import Views

WHO_CHARS_MAX: Final = 40
IDS_NAMED_MAX: Final = 10
CONFIRM: Final = "Confirm within 60 s."
RELOAD_EFFECT: Final = "all changes are applied, or none if one of them is invalid or needs a restart"


class ConfirmationPrompt(Struct, frozen=True):
    """The question before a command, and the trip it names (0 without one)."""

    html: str
    trip_seq: int = 0


class CommandUnavailable(Struct, frozen=True):
    """Why a command is impossible now."""

    html: str


def who_of(user_id: int, first_name: str) -> str:
    """Return the user for the log: `telegram:Ann`."""
    shown = "".join(char if char.isprintable() else " " for char in first_name)
    return f"telegram:{' '.join(shown.split())[:WHO_CHARS_MAX] or user_id}"


# ---------------------------------------------------------------- the prompt


def confirmation_for(act: Act, views: Views, *, fresh: bool = True) -> ConfirmationPrompt | CommandUnavailable:
    """Return what a command would do now. Views that are not `fresh` refuse no kill: they may be outdated."""
    match act:
        case PauseCommand() | ResumeCommand():
            return _pausing(act, views)
        case CloseCommand():
            return _closing(act, views)
        case KillCommand():
            return _killing(act, views, fresh=fresh)
        case ResetCommand():
            return _resetting(act, views)
        case ReloadCommand():
            return _confirmation("Reload the configuration?", [RELOAD_EFFECT], act.reason)


def _confirmation(head: str, details: list[str], reason: str, trip_seq: int = 0) -> ConfirmationPrompt:
    return ConfirmationPrompt("\n".join([f"<b>{head}</b>", f"reason: {text(reason)}", *details, "", CONFIRM]), trip_seq)


def _pausing(act: PauseCommand | ResumeCommand, views: Views) -> ConfirmationPrompt | CommandUnavailable:
    chosen = [one for one in views.portfolio.accounts() if act.strategy in (ALL, one.strategy)]
    if not chosen:
        return CommandUnavailable("no such strategy")
    who = "ALL STRATEGIES" if act.strategy == ALL else name(act.strategy)
    if isinstance(act, PauseCommand):
        return _confirmation(f"Pause {who}?", ["no new positions", *_stays(views, act.strategy)], act.reason)
    stopped = [f"{name(one.strategy)} stays stopped: {text(one.why)}" for one in chosen if one.state == "stopped"]
    return _confirmation(f"Resume {who}?", [ENTRIES_ALLOWED, *stopped[:IDS_NAMED_MAX]], act.reason)


def _stays(views: Views, strategy: str) -> list[str]:
    positions = views.portfolio.positions(None if strategy == ALL else strategy)
    return positions_part("stays open", positions) or [NO_POSITIONS]


def _closing(act: CloseCommand, views: Views) -> ConfirmationPrompt | CommandUnavailable:
    positions = views.portfolio.positions()
    if act.opened_seq is None:
        if not positions:
            return CommandUnavailable(NO_POSITIONS)
        head = f"Close {'all ' if len(positions) > 1 else ''}{count_text(len(positions), 'position')} at the next open?"
        return _confirmation(head, positions_part("open positions", positions), act.reason)
    position = position_of(act.opened_seq, views)
    if position is None:
        ids = [_id_line(one) for one in positions[:IDS_NAMED_MAX]] or [NO_POSITIONS]
        return CommandUnavailable("\n".join([f"no open position with ID {code(str(act.opened_seq))}", *ids]))
    head = f"Close {position_label(position.strategy, position.symbol, position.side)}?"
    return _confirmation(head, [f"at the next open, now {bold(gain(position.unrealised_usdt))} USDT"], act.reason)


def _id_line(position: PositionView) -> str:
    return (
        f"{code(f'/close {position.opened_seq}')} {position_label(position.strategy, position.symbol, position.side)}"
    )


def _killing(act: KillCommand, views: Views, *, fresh: bool) -> ConfirmationPrompt | CommandUnavailable:
    everything = act.scope == GLOBAL_SCOPE
    standing = trip_of(act.scope, views)
    if standing is not None and fresh:
        who = "all strategies are" if everything else f"{name(act.scope)} is"
        return CommandUnavailable(f"{who} stopped already\n{trip_line(standing)}")
    known = _stays(views, ALL if everything else act.scope) if fresh else ["open positions are not known yet"]
    head = f"{TRIPPED} STOP {scope_title(act.scope)}?"
    others = [] if everything else ["the other strategies keep running"]
    return _confirmation(head, [NO_ENTRIES_UNTIL_RESET, *others, *known], act.reason)


def _resetting(act: ResetCommand, views: Views) -> ConfirmationPrompt | CommandUnavailable:
    trip = trip_of(act.scope, views)
    if trip is None:
        held = views.portfolio.switches.global_trip
        also = f"\nthe global one is: {code('/reset global REASON')}" if held is not None else ""
        who = "the global kill switch" if act.scope == GLOBAL_SCOPE else f"the kill switch of {name(act.scope)}"
        return CommandUnavailable(f"{who} is not tripped{also}")
    since = text(market_time(trip.tripped_at_ms))
    details = [f"stopped since {since}" if trip.tripped_at_ms else f"stopped {since}", text(trip.why)]
    return _confirmation(f"Reset {scope_title(act.scope)}?", details, act.reason, trip.trip_seq)


def position_of(opened_seq: int, views: Views) -> PositionView | None:
    """Return the open position that an event opened."""
    return next((one for one in views.portfolio.positions() if one.opened_seq == opened_seq), None)


def trip_of(scope: str, views: Views) -> TripView | None:
    """Return the trip of exactly this scope."""
    return next((one for one in views.portfolio.switches.active_trips() if one.scope == scope), None)


# ---------------------------------------------------------------- the command


def command_of(act: Act, who: str, trip_seq: int, views: Views) -> Command | CommandUnavailable:
    """Return the command to submit after the press; never close another position if the chosen one is gone."""
    match act:
        case PauseCommand():
            return Pause(who, act.reason, act.strategy)
        case ResumeCommand():
            return Resume(who, act.reason, act.strategy)
        case CloseCommand():
            return _close(act, who, views)
        case KillCommand():
            return Kill(who, act.reason, act.scope)
        case ResetCommand():
            return Reset(who, act.reason, act.scope, trip_seq)
        case ReloadCommand():
            return Reload(who, act.reason)


def _close(act: CloseCommand, who: str, views: Views) -> Command | CommandUnavailable:
    if act.opened_seq is None:
        return Close(who, act.reason)
    position = position_of(act.opened_seq, views)
    if position is None:
        return CommandUnavailable("the position is no longer open")
    return Close(who, act.reason, position.strategy, position.symbol)


# ---------------------------------------------------------------- the outcome


def done_words(accepted: Accepted) -> str:
    """Return the outcome: `accepted: event #4711`, or a range of events, and what a reload changed."""
    seqs = f"event #{accepted.first_seq}"
    if accepted.first_seq != accepted.last_seq:
        seqs = f"events #{accepted.first_seq} to #{accepted.last_seq}"
    return "\n".join([f"accepted: {seqs}", *accepted.changes])


def answered_html(prompt_html: str, outcome: str, mark: str) -> str:
    """Return the prompt after its answer: the question with the outcome."""
    question = prompt_html.removesuffix(f"\n\n{CONFIRM}")
    return f"{question}\n\n{mark} " + "\n".join(map(text, outcome.splitlines()))
