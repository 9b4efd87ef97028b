"""Parse a message into a typed request: a question or command with its arguments, or what is wrong with it.

Commands may name the bot (`/status@alert_bot`); reasons may be quoted. What changes something is an `Act`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from papertape.events.commands import ALL
from papertape.events.facts import GLOBAL_SCOPE
from papertape.events.names import NAMED_MAX, close_matches, unknown_name_text
from papertape.projections.text.formats import moment_ms

TEXT_CHARS_MAX: Final = 1_000
REASON_CHARS_MAX: Final = 200
NUMBER_DIGITS_MAX: Final = 15
COUNT_MAX: Final = 50
DAYS_MAX: Final = 400
NO_REASON: Final = "no reason given"
QUOTES: Final = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»"}
COMMAND: Final = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+|$)")

Plain = Literal["status", "positions", "arena", "weekly", "risk", "signals", "health", "config", "version", "help"]


class SummaryQuery(Struct, frozen=True):
    """A question without arguments."""

    what: Plain


class ProfitQuery(Struct, frozen=True):
    """The result of the last `days` UTC days including today; 0 means since inception."""

    days: int = 0


class DailyResultsQuery(Struct, frozen=True):
    """The results of the last `days` UTC days, one by one."""

    days: int = 7


class RecentTradesQuery(Struct, frozen=True):
    """The last `count` closed trades."""

    count: int = 5


class RecentEventsQuery(Struct, frozen=True):
    """The last `count` notable events."""

    count: int = 10


class CauseQuery(Struct, frozen=True):
    """The causes of the event at `seq`."""

    seq: int


class NoPositionQuery(Struct, frozen=True):
    """Why nobody holds a position in `symbol`."""

    symbol: str


class FunnelQuestion(Struct, frozen=True):
    """The funnel of entries over the last `days`, of one strategy or, without a name, of all."""

    strategy: str | None = None
    days: float = 7.0


class AsOfQuery(Struct, frozen=True):
    """The state at an event, or at a market time; the other one is None."""

    seq: int | None = None
    at_ms: int | None = None


class PauseCommand(Struct, frozen=True):
    """Stop new entries of a strategy, or of all."""

    strategy: str
    reason: str


class ResumeCommand(Struct, frozen=True):
    """End the pause of a strategy, or of all."""

    strategy: str
    reason: str


class CloseCommand(Struct, frozen=True):
    """Close the position that `opened_seq` opened; None means every position."""

    opened_seq: int | None
    reason: str


class KillCommand(Struct, frozen=True):
    """Trip the kill switch of a strategy, or the global one."""

    scope: str
    reason: str


class ReloadCommand(Struct, frozen=True):
    """Apply the changed configuration file."""

    reason: str


class ResetCommand(Struct, frozen=True):
    """Reset the kill switch of a strategy, or the global one."""

    scope: str
    reason: str


class InvalidRequest(Struct, frozen=True):
    """A message that cannot be understood, why, and what to write instead."""

    why: str
    instead: tuple[str, ...] = ()


Act = PauseCommand | ResumeCommand | CloseCommand | KillCommand | ResetCommand | ReloadCommand
Question = (
    SummaryQuery
    | ProfitQuery
    | DailyResultsQuery
    | RecentTradesQuery
    | RecentEventsQuery
    | CauseQuery
    | NoPositionQuery
    | FunnelQuestion
    | AsOfQuery
)
Request = Question | Act | InvalidRequest

MENU: Final[dict[str, tuple[str, str]]] = {
    "status": ("", "equity, today's result, problems"),
    "positions": ("", "open positions with their IDs"),
    "profit": ("[days]", "profit and loss, with a chart"),
    "arena": ("", "all strategies compared, with a chart"),
    "daily": ("[days]", "results by day"),
    "weekly": ("", "results by week"),
    "trades": ("[n]", "last closed trades"),
    "risk": ("", "drawdowns, margin, kill switches, limits"),
    "signals": ("", "newest signals from outside, with source and age"),
    "health": ("", "feed, watchdog, alert delivery"),
    "why": ("SEQ", "why an event happened"),
    "whynot": ("SYMBOL", "why there is no position in a symbol"),
    "funnel": ("[strategy] [days]", "how often each condition of an entry held, and what became of signals"),
    "asof": ("SEQ or TIME", "status at an earlier event or time"),
    "config": ("", "current configuration"),
    "log": ("[n]", "last events"),
    "version": ("", "running version"),
    "pause": ("[strategy or all] [reason]", "stop opening positions"),
    "resume": ("[strategy or all]", "end a pause"),
    "close": ("ID or all", "close positions at the next open"),
    "kill": ("[strategy or all] [reason]", "trip a kill switch: no new positions until reset"),
    "reset": ("STRATEGY or global, reason", "reset a kill switch"),
    "reload": ("[reason]", "apply the changed configuration file"),
    "help": ("", "this list"),
}
"""Every command: its arguments and purpose, in the order of the menu."""


def request_of(message: str, strategies: Sequence[str] = (), bot_name: str = "") -> Request | None:
    """Return what a message asks for; None for a command addressed to another bot."""
    text = message.strip()[:TEXT_CHARS_MAX]
    command = COMMAND.match(text)
    if command is None:
        return InvalidRequest("commands begin with /", ("/help",))
    name, addressed = command[1].lower(), command[2]
    if addressed and bot_name and addressed.lower() != bot_name.lower():
        return None
    rest = " ".join(text[command.end() :].split())
    if name == "start":
        return SummaryQuery("help")
    if name not in MENU:
        close = close_matches(name, MENU, 0.5)
        return InvalidRequest(f"there is no command /{name}", tuple(f"/{one}" for one in close) or ("/help",))
    return _parse_command(name, rest, tuple(strategies))


def usage(name: str) -> str:
    """Return a command with its arguments: `/why SEQ`."""
    return f"/{name} {MENU[name][0]}".rstrip()


def _parse_command(name: str, rest: str, strategies: tuple[str, ...]) -> Request:
    match name:
        case (
            "status" | "positions" | "arena" | "weekly" | "risk" | "signals" | "health" | "config" | "version" | "help"
        ):
            return SummaryQuery(name)
        case "pause" | "resume":
            return _pause_or_resume(name, rest, strategies)
        case "close":
            return _close(rest)
        case "kill":
            return _kill(rest, strategies)
        case "reset":
            return _reset(rest, strategies)
        case "reload":
            return ReloadCommand(_reason(rest) or NO_REASON)
        case "whynot":
            return _why_not(rest, strategies)
        case "funnel":
            return _funnel(rest, strategies)
        case "asof":
            return _as_of(rest)
        case _:
            return _numbered(name, rest)


def _numbered(name: str, rest: str) -> Request:
    number = _whole(rest.removeprefix("#"))
    if rest and number is None:
        return _wrong(name, f"{rest[:40]!r} is not a whole number")
    if name == "why":
        return CauseQuery(number) if number else _wrong(name, "which event? Every message ends with its number")
    if number == 0:
        return _wrong(name, "the number must be at least 1")
    match name:
        case "profit":
            return ProfitQuery(min(number or 0, DAYS_MAX))
        case "daily":
            return DailyResultsQuery(min(number or 7, COUNT_MAX))
        case "trades":
            return RecentTradesQuery(min(number or 5, COUNT_MAX))
        case _:
            return RecentEventsQuery(min(number or 10, COUNT_MAX))


def _why_not(rest: str, strategies: tuple[str, ...]) -> Request:
    """Parse a symbol, or a strategy and a number of days, which ask for its funnel."""
    if not rest:
        return _wrong("whynot", "which symbol?")
    first = rest.split(maxsplit=1)[0]
    return NoPositionQuery(first) if _known(first, strategies) is None else _funnel(rest, strategies)


def _funnel(rest: str, strategies: tuple[str, ...]) -> Request:
    """Parse a strategy and a number of days, `7` or `7d`; both may be omitted."""
    first, _, after = rest.partition(" ")
    strategy = _known(first, strategies)
    last = after if strategy is not None else rest
    days = _whole(last.removesuffix("d")) if last else 7
    if days is None and strategy is None:
        near = [f"/funnel {one} {after}".rstrip() for one in close_matches(first, strategies, 0.5)]
        return InvalidRequest(unknown_name_text("strategy", first, strategies), tuple(near) or (usage("funnel"),))
    if not days:
        return _wrong("funnel", f"{last[:40]!r} is not a number of days")
    return FunnelQuestion(strategy, float(min(days, DAYS_MAX)))


def _pause_or_resume(name: str, rest: str, strategies: tuple[str, ...]) -> Request:
    """Parse a strategy's name or `all`, then a reason; without a name, a reason must be quoted."""
    kind = PauseCommand if name == "pause" else ResumeCommand
    first, _, after = rest.partition(" ")
    if not first or first[0] in QUOTES:
        return kind(ALL, _reason(rest) or NO_REASON)
    known = _known(first, (*strategies, ALL))
    if known is None:
        return _unknown(name, first, after, strategies)
    return kind(known, _reason(after) or NO_REASON)


def _kill(rest: str, strategies: tuple[str, ...]) -> Request:
    """Parse like a pause, but an unquoted reason of several words without a name means all strategies.

    In a hurry the owner is asked about all strategies, in capitals, instead of being corrected. The same happens
    while no strategy is known yet.
    """
    first, _, after = rest.partition(" ")
    if not first or first[0] in QUOTES:
        return KillCommand(GLOBAL_SCOPE, _reason(rest) or NO_REASON)
    known = _known(first, (*strategies, ALL, GLOBAL_SCOPE))
    if known is not None:
        return KillCommand(GLOBAL_SCOPE if known == ALL else known, _reason(after) or NO_REASON)
    if strategies and (not after or close_matches(first, strategies)):
        return _unknown("kill", first, after, strategies)
    return KillCommand(GLOBAL_SCOPE, _reason(rest))


def _unknown(name: str, first: str, after: str, strategies: tuple[str, ...]) -> InvalidRequest:
    """Refuse an unknown strategy, and suggest the command with similar names, or with every name and `all`."""
    near = [f"/{name} {one} {after}".rstrip() for one in close_matches(first, strategies)]
    every = [f"/{name} {one} {after}".rstrip() for one in strategies[:NAMED_MAX]]
    instead = near or [*every, f"/{name} {ALL} {first} {after}".rstrip()]
    return InvalidRequest(unknown_name_text("strategy", first, strategies), tuple(instead))


def _close(rest: str) -> Request:
    first, _, after = rest.partition(" ")
    reason = _reason(after) or NO_REASON
    if first.lower() == ALL:
        return CloseCommand(None, reason)
    seq = _whole(first.removeprefix("#"))
    return CloseCommand(seq, reason) if seq else _wrong("close", "which position? /positions shows the IDs")


def _reset(rest: str, strategies: tuple[str, ...]) -> Request:
    first, _, after = rest.partition(" ")
    reason = _reason(after)
    scope = _known(first, (*strategies, GLOBAL_SCOPE))
    if scope is None:
        scopes = (*strategies[:NAMED_MAX], GLOBAL_SCOPE)
        close = close_matches(first, scopes, 0.5) or [*scopes]
        why = unknown_name_text("strategy", first, scopes) if first else "which kill switch?"
        return InvalidRequest(why, tuple(f"/reset {one} REASON" for one in close))
    if not reason:
        return InvalidRequest("a reset needs a reason, which is recorded in the log", (f"/reset {scope} REASON",))
    return ResetCommand(scope, reason)


def _as_of(rest: str) -> Request:
    seq = _whole(rest.removeprefix("#"))
    if seq:
        return AsOfQuery(seq=seq)
    at_ms = moment_ms(rest)
    if at_ms is not None:
        return AsOfQuery(at_ms=at_ms)
    return InvalidRequest(f"when? {usage('asof')}", ("/asof 4711", "/asof 2025-03-01", "/asof 2025-03-01 14:05"))


def _wrong(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(why, (usage(name),))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX else None


def _known(name: str, names: Sequence[str]) -> str | None:
    return next((one for one in names if one == name), None) or next(
        (one for one in names if one.lower() == name.lower()), None
    )


def _reason(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text[:REASON_CHARS_MAX]
