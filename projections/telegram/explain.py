"""Answers that explain: why something happened, why it did not, what is running, and what can be asked. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from papertape.events.names import close_matches
from papertape.projections.alerts.lines import OVER, WRONG, count_text, positions_part
from papertape.projections.alerts.markup import bold, code, footer, message, name, text
from papertape.projections.site.ports import ConditionsView, ReadinessView
from papertape.projections.telegram.chat_address import moved_words
from papertape.projections.telegram.parse import MENU, InvalidRequest, usage
from papertape.projections.telegram.replies import answer, feed_lines, status
from papertape.projections.telegram.secret import redact
from papertape.projections.telegram.text import escape
from papertape.projections.text.causes import CauseChain, CauseLink, ConditionView
from papertape.projections.text.event_lines import event_line
from papertape.projections.text.formats import duration, market_time, reading, utc
from papertape.projections.text.order_words import expiry_words, waiting_words
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.market_status import AnomalyView, RefusedView
    from papertape.projections.folds.pending_orders import OrderView
    from papertape.projections.folds.portfolio import AccountView
    from papertape.projections.site.views import Views
    from papertape.projections.telegram.statistics import DeliveryStatistics
    from papertape.projections.watchdog.watchdog import WatchdogView

LINKS_SHOWN_MAX: Final = 12
READINGS_SHOWN_MAX: Final = 16
LINES_SHOWN_MAX: Final = 20
CONFIG_CHARS_MAX: Final = 20_000
DIGEST_CHARS: Final = 12
SECTION_STARTS: Final = frozenset({"status", "risk", "why", "config", "pause", "help"})
MET, NOT_MET = "✓", "✗"
CAUSE: Final = "↳"


Conditions = Callable[[int, str], Awaitable[Sequence[ConditionsView]]]
"""What prevents each strategy from an entry in a symbol as of a seq, on both sides; only what the views do not know."""


# ---------------------------------------------------------------- /why


def why_text(views: Views, chain: CauseChain) -> str:
    """Return an event and what caused it."""
    first, *causes = chain.links[:LINKS_SHOWN_MAX]
    lines = [line for link in causes for line in ["", *_link(link, f"{CAUSE} ")]]
    end = [] if chain.complete and len(chain.links) <= LINKS_SHOWN_MAX else ["", "earlier causes are not shown"]
    details = [*_detail(first), *lines, *end]
    recorded = first.recorded
    head = f"<b>{text(first.line.text)}</b>"
    return message(
        head,
        details or ["an input: it has no cause in the log"],
        footer(recorded.seq, recorded.event.at_ms or views.at_ms),
    )


def _link(link: CauseLink, mark: str) -> list[str]:
    recorded = link.recorded
    return [f"{mark}{code(f'#{recorded.seq}')} {text(link.line.text)}", *_detail(link)]


def _detail(link: CauseLink) -> list[str]:
    """Return the conditions of a decision, met or not; otherwise the readings it was based on."""
    note = [text(link.note)] if link.note else []
    if link.conditions:
        return [*condition_lines(link.conditions), *note]
    shown = link.readings[:READINGS_SHOWN_MAX]
    return [*[f"{text(reason_words(one.name), 40)} {code(reading(one.value))}" for one in shown], *note]


def condition_lines(conditions: Sequence[ConditionView]) -> list[str]:
    """Return conditions with their numbers: `✓ 15m ADX: 31.5 > 25`."""
    return [
        f"{MET if one.met else NOT_MET} {text(reason_words(one.name), 40)}: "
        f"{text(reading(one.value))} {text(one.relation, 10)} {text(reading(one.threshold))}"
        for one in conditions[:LINES_SHOWN_MAX]
    ]


# ---------------------------------------------------------------- /whynot


def symbol_of(views: Views, prefix: str) -> str | None:
    """Return the symbol whose name, in any case, was given, or the only one that starts with it; otherwise None."""
    known = list(dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols))
    start = prefix.upper()
    exact = [symbol for symbol in known if symbol.upper() == start]
    begun = [symbol for symbol in known if symbol.upper().startswith(start)]
    return exact[0] if exact else begun[0] if len(begun) == 1 else None


def unknown_symbol(views: Views, prefix: str) -> str:
    """Return suggestions for a symbol that is unknown or ambiguous."""
    known = dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols)
    begun = [symbol for symbol in known if symbol.upper().startswith(prefix.upper()[:1])]
    meant = dict.fromkeys([*close_matches(prefix, known), *begun]) or known
    lines = [code(f"/whynot {symbol}") for symbol in list(meant)[:LINES_SHOWN_MAX]]
    return answer(views, f"<b>which symbol is {name(prefix)}?</b>", lines)


def why_not_text(views: Views, symbol: str, conditions: Sequence[ConditionsView] = (), note: str = "") -> str:
    """Return why each strategy holds nothing in a symbol, from the log and the conditions; `note` comes first."""
    sides: dict[str, list[ConditionsView]] = {}
    for one in conditions:
        sides.setdefault(one.strategy, []).append(one)
    suspended = next((one for one in views.portfolio.market_status.suspended_symbols() if one.symbol == symbol), None)
    top = [] if suspended is None else [f"not tradable since {text(utc(suspended.since_ms))}: {text(suspended.why)}"]
    seen = views.freshness.get(symbol)
    top.append("no candles yet" if seen is None else f"last candle {text(utc(seen.at_ms))}")
    blocks = [
        line
        for account in views.portfolio.accounts()
        for line in ["", *_why_not(views, account, symbol, sides.get(account.strategy, ()))]
    ]
    return answer(views, f"<b>{name(symbol)}</b>", [*([text(note)] if note else []), *top, *blocks])


def _why_not(views: Views, account: AccountView, symbol: str, sides: Sequence[ConditionsView]) -> list[str]:
    who = bold(account.strategy, 40)
    if symbol not in account.symbols:
        return [f"{who} does not trade it"]
    held = next((one for one in views.portfolio.positions(account.strategy) if one.symbol == symbol), None)
    if held is not None:
        return [f"{who} holds {text(held.side.upper())} since {code(f'#{held.opened_seq}')}"]
    lines = [*_held_back(account), *_waiting(views, account.strategy, symbol), *_refused(views, account, symbol)]
    evaluated = views.evaluated_ms.get((account.strategy, symbol))
    last = "not evaluated yet" if evaluated is None else f"last evaluated {text(utc(evaluated))}"
    return [f"{who} {last}", *(lines or ["no signal so far"]), *_nearer(sides)]


def _nearer(sides: Sequence[ConditionsView]) -> list[str]:
    """Return what is missing for an entry, on the side with more conditions met."""
    if not sides:
        return []
    one = max(sides, key=lambda side: sum(condition.met for condition in side.conditions))
    missing = [_missing(frame) for frame in one.readiness if frame.ready_at_ms]
    held = [*missing, *map(text, one.holds)]
    if not one.explained:
        return [*held, "it does not list its conditions"]
    met = sum(condition.met for condition in one.conditions)
    head = f"{text(one.side.upper())}: {met} of {len(one.conditions)} conditions met {code(f'#{one.seq}')}"
    return [*held, head, *condition_lines(one.conditions)]


def _missing(frame: ReadinessView) -> str:
    """Return the candles still missing: `13 of 28 candles of 15m, ready 2025-01-01 14:35`."""
    return text(f"{frame.words}, ready {utc(frame.ready_at_ms)}")


def _held_back(account: AccountView) -> list[str]:
    return [] if account.state == "active" else [f"{account.state}: {text(account.why)}"]


def _waiting(views: Views, strategy: str, symbol: str) -> list[str]:
    orders = [one for one in views.portfolio.orders() if (one.strategy, one.symbol) == (strategy, symbol)]
    return [f"its {text(_waiting_words(one))} {code(f'#{one.seq}')}" for one in orders]


def _waiting_words(one: OrderView) -> str:
    name = waiting_words(one.action, one.kind, one.rung)
    return f"{name} rests{expiry_words(one.expires_at_ms)}" if one.is_resting else f"{name} waits for the next open"


def _refused(views: Views, account: AccountView, symbol: str) -> list[str]:
    refusal = views.refusals.get((account.strategy, symbol))
    if refusal is None:
        return []
    when = f"{text(utc(refusal.at_ms))} {code(f'#{refusal.seq}')}"
    return [f"last {text(refusal.side.upper())} signal refused: {text(reason_words(refusal.reason))}", when]


# ---------------------------------------------------------------- /log, /asof


def log_text(views: Views, count: int) -> str:
    """Return the last notable events, newest first."""
    events = list(views.recent)[-count:]
    if not events:
        return answer(views, "<b>no events yet</b>", [])
    lines = [_event(recorded, views) for recorded in reversed(events)]
    return answer(
        views, f"<b>last {count_text(len(events), 'event')}</b>", [line for one in lines for line in ("", *one)]
    )


def _event(recorded: Recorded, views: Views) -> tuple[str, str]:
    line = event_line(recorded, views.contracts.by_symbol)
    return (
        f"{code(f'#{recorded.seq}')} {text(market_time(recorded.event.at_ms))}",
        f"{text(line.icon)} {text(line.text)}",
    )


def as_of_text(then: Views, *, reached: bool) -> str:
    """Return a past state as /status shows it, with its positions."""
    short = [] if reached else [f"<b>{WRONG} the log is too long to re-read in full; this is how far it got</b>"]
    top = [*short, f"<b>as of #{then.seq}</b>", *positions_part("open positions", then.portfolio.positions())]
    return "\n".join([*top, "", status(then)])


def still_reading(seq: int, head_seq: int) -> str:
    """Return the views' progress while they catch up."""
    return f"{WRONG} still reading the log: {seq:,} of {head_seq:,} ({seq * 100 // max(head_seq, 1)} %)"


# ---------------------------------------------------------------- /health


def health_text(
    views: Views,
    watchdog: WatchdogView | None = None,
    delivery: DeliveryStatistics | None = None,
    more: Sequence[str] = (),
    now_ms: int = 0,
) -> str:
    """Return the state of the feed, the watchdog's findings and the delivery. `more` are further plain lines."""
    view = views.portfolio.view()
    wrong = [*_parked(delivery), *_troubles(view.anomalies, watchdog)]
    delivers = view.feed is not None and view.feed.delivers
    head = f"<b>{OVER} healthy</b>" if delivers else f"<b>{WRONG} the feed is down</b>"
    head = f"<b>{WRONG} {count_text(len(wrong), 'problem')}</b>" if wrong else head
    details = [
        *wrong[:LINES_SHOWN_MAX],
        *feed_lines(view),
        *[f"{name(one.symbol)} not tradable: {text(one.why)}" for one in view.suspended[:LINES_SHOWN_MAX]],
        *_refused_data(view.refused),
        *_watchdog(watchdog, now_ms),
        *_delivery(delivery),
        *[text(line) for line in more[:LINES_SHOWN_MAX]],
    ]
    return answer(views, head, details)


def _parked(delivery: DeliveryStatistics | None) -> list[str]:
    return [f"{WRONG} {bold('alerts are parked')}: {text(delivery.parked)}"] if delivery and delivery.parked else []


def _troubles(anomalies: Sequence[AnomalyView], watchdog: WatchdogView | None) -> list[str]:
    """Return the anomalies of the log and the watchdog's latest findings, each once."""
    problems = {(str(one.kind), one.subject): one.detail for one in anomalies}
    detected = () if watchdog is None else watchdog.troubles
    problems |= {(str(one.kind), one.subject): one.detail for one in detected if not one.covered}
    return [
        f"{WRONG} {bold(reason_words(kind))} · {name(on)}: {text(detail)}" for (kind, on), detail in problems.items()
    ]


def _refused_data(refused: Sequence[RefusedView]) -> list[str]:
    most = sorted(refused, key=lambda one: -one.count)[:LINES_SHOWN_MAX]
    named = ", ".join(f"{one.count:,} {text(reason_words(one.reason))}" for one in most)
    return [f"refused data: {named}"] if named else []


def _watchdog(watchdog: WatchdogView | None, now_ms: int) -> list[str]:
    if watchdog is None:
        return []
    if not watchdog.checks:
        return ["the watchdog has not checked yet"]
    ago = duration(max(0, now_ms - watchdog.checked_at_ms))
    repairs = [
        f"repair {text(utc(one.at_ms))} {name(one.subject)}: {text(one.detail)}" for one in watchdog.repairs[-3:]
    ]
    return [f"watchdog checked {text(ago)} ago, {count_text(watchdog.checks, 'check')} so far", *repairs]


def _delivery(delivery: DeliveryStatistics | None) -> list[str]:
    if delivery is None:
        return []
    age = duration(delivery.oldest_unsent_ms)
    moved = [text(moved_words(delivery.moved_to))] if delivery.moved_to else []
    waiting = f"oldest alert waiting for {text(age)}" if delivery.oldest_unsent_ms else "no alerts waiting"
    return [f"alerts sent {delivery.sent:,}, skipped {delivery.skipped:,}", waiting, *moved]


# ---------------------------------------------------------------- /version, /config, /help


def version_text(views: Views, version: str) -> str:
    """Return what is running and what it was started with."""
    started = views.started
    if started is None:
        return answer(views, f"<b>papertape {text(version)}</b>", ["no engine start in the log yet"])
    details = [
        f"started {text(utc(started.at_ms))} UTC",
        f"code {code(started.code_digest[:DIGEST_CHARS])}",
        f"config {code(started.config_digest[:DIGEST_CHARS])}",
    ]
    return answer(views, f"<b>papertape {text(version or started.version)}</b>", details)


def config_text(configuration: str) -> str:
    """Return the configuration, for the sender to split."""
    shown = redact(configuration)[:CONFIG_CHARS_MAX].strip() or "configuration unknown"
    lines = [escape(line.rstrip()) for line in shown.splitlines()]
    return "<pre>" + "\n".join(lines) + "</pre>"


def help_text() -> str:
    """Return one line per command."""
    lines = {command: f"{text(usage(command))} - {text(what)}" for command, (_, what) in MENU.items()}
    shown = [part for command, line in lines.items() for part in (["", line] if command in SECTION_STARTS else [line])]
    return "\n".join(["<b>papertape</b>", *shown, "", "Commands that change something ask for confirmation."])


def wrong_text(wrong: InvalidRequest) -> str:
    """Return what is wrong with a message, and what to write instead."""
    return "\n".join([text(wrong.why), *map(code, wrong.instead)])


def failed_text(error: BaseException) -> str:
    """Return the answer after a bug ended a command; the engine's log has the details."""
    return f"{WRONG} internal error: {text(type(error).__name__)}\ndetails are in the engine's log"
