"""The answers that explain: why something happened, why it did not, what runs, and what can be asked. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from papertape.events.names import close_matches
from papertape.projections.alerts.markup import bold, code, footer, message, name, text
from papertape.projections.alerts.texts import OVER, WRONG, positions_part
from papertape.projections.site.ports import ConditionsView, ReadinessView
from papertape.projections.telegram.address import moved_words
from papertape.projections.telegram.parse import MENU, InvalidRequest, usage
from papertape.projections.telegram.replies import answer, feed_lines, status
from papertape.projections.telegram.secret import redact
from papertape.projections.telegram.text import escape
from papertape.projections.text.causes import CauseChain, CauseLink, ConditionView
from papertape.projections.text.event_lines import event_line
from papertape.projections.text.formats import duration, market_time, reading, utc
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.projections.folds.market_status import AnomalyView, RefusedView
    from papertape.projections.folds.portfolio import AccountView
    from papertape.projections.site.views import Views
    from papertape.projections.telegram.statistics import DeliveryStatistics
    from papertape.projections.watchdog.watchdog import WatchdogView

LINKS_SHOWN_MAX: Final = 12
READINGS_SHOWN_MAX: Final = 16
LINES_SHOWN_MAX: Final = 20
CONFIG_CHARS_MAX: Final = 20_000
DIGEST_CHARS: Final = 12
PARTS_BEGIN: Final = frozenset({"status", "risk", "why", "config", "pause", "help"})
MET, NOT_MET = "✓", "✗"
CAUSE: Final = "↳"


Conditions = Callable[[int, str], Awaitable[Sequence[ConditionsView]]]
"""What stands between every strategy and an entry in a symbol as of a seq, on both sides; of what holds it back only
what the views do not tell."""


# ---------------------------------------------------------------- /why


def why_text(views: Views, chain: CauseChain) -> str:
    """The event that is asked about, and what led to it."""
    first, *causes = chain.links[:LINKS_SHOWN_MAX]
    lines = [line for link in causes for line in ["", *_link(link, f"{CAUSE} ")]]
    end = [] if chain.complete and len(chain.links) <= LINKS_SHOWN_MAX else ["", "and further back than is shown"]
    details = [*_detail(first), *lines, *end]
    recorded = first.recorded
    head = f"<b>{text(first.line.text)}</b>"
    return message(head, details or ["it came from outside"], footer(recorded.seq, recorded.event.at_ms or views.at_ms))


def _link(link: CauseLink, mark: str) -> list[str]:
    recorded = link.recorded
    return [f"{mark}{code(f'#{recorded.seq}')} {text(link.line.text)}", *_detail(link)]


def _detail(link: CauseLink) -> list[str]:
    """The conditions of a decision, met or not; else the numbers it was made on."""
    note = [text(link.note)] if link.note else []
    if link.conditions:
        return [*condition_lines(link.conditions), *note]
    shown = link.readings[:READINGS_SHOWN_MAX]
    return [*[f"{text(reason_words(one.name), 40)} {code(reading(one.value))}" for one in shown], *note]


def condition_lines(conditions: Sequence[ConditionView]) -> list[str]:
    """Conditions with their numbers: `✓ 15m ADX: 31.5 > 25`."""
    return [
        f"{MET if one.met else NOT_MET} {text(reason_words(one.name), 40)}: "
        f"{text(reading(one.value))} {text(one.relation, 10)} {text(reading(one.threshold))}"
        for one in conditions[:LINES_SHOWN_MAX]
    ]


# ---------------------------------------------------------------- /whynot


def symbol_of(views: Views, asked: str) -> str | None:
    """The symbol that is meant: its name in any case, or the only one that begins with it."""
    known = list(dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols))
    wanted = asked.upper()
    exact = [symbol for symbol in known if symbol.upper() == wanted]
    begun = [symbol for symbol in known if symbol.upper().startswith(wanted)]
    return exact[0] if exact else begun[0] if len(begun) == 1 else None


def unknown_symbol(views: Views, asked: str) -> str:
    """There is no such symbol, or more than one."""
    known = dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols)
    begun = [symbol for symbol in known if symbol.upper().startswith(asked.upper()[:1])]
    meant = dict.fromkeys([*close_matches(asked, known), *begun]) or known
    lines = [code(f"/whynot {symbol}") for symbol in list(meant)[:LINES_SHOWN_MAX]]
    return answer(views, f"<b>which symbol is {name(asked)}?</b>", lines)


def why_not_text(views: Views, symbol: str, conditions: Sequence[ConditionsView] = (), note: str = "") -> str:
    """For each strategy why it holds nothing in a symbol now, as far as log and conditions say; `note` stands first."""
    sides: dict[str, list[ConditionsView]] = {}
    for one in conditions:
        sides.setdefault(one.strategy, []).append(one)
    suspended = next((one for one in views.portfolio.market_status.suspended_symbols() if one.symbol == symbol), None)
    top = [] if suspended is None else [f"not tradable since {text(utc(suspended.since_ms))}: {text(suspended.why)}"]
    seen = views.seen.get(symbol)
    top.append("no candle came yet" if seen is None else f"last candle {text(utc(seen.at_ms))}")
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
    looked = "has not looked at it yet" if evaluated is None else f"looked last at {text(utc(evaluated))}"
    return [f"{who} {looked}", *(lines or ["no signal so far"]), *_nearer(sides)]


def _nearer(sides: Sequence[ConditionsView]) -> list[str]:
    """What is missing for an entry, on the side where more is met."""
    if not sides:
        return []
    one = max(sides, key=lambda side: sum(condition.met for condition in side.conditions))
    missing = [_missing(frame) for frame in one.readiness if frame.ready_at_ms]
    held = [*missing, *map(text, one.holds)]
    if not one.explained:
        return [*held, "it does not say its conditions"]
    met = sum(condition.met for condition in one.conditions)
    head = f"{text(one.side.upper())}: {met} of {len(one.conditions)} met {code(f'#{one.seq}')}"
    return [*held, head, *condition_lines(one.conditions)]


def _missing(frame: ReadinessView) -> str:
    """Candles that are not there yet: `13 of 28 candles of 15m, ready 2025-01-01 14:35`."""
    there = f"{frame.candles:,} of {frame.needed:,} candles of {duration(frame.timeframe_ms)}"
    return text(f"{there}, ready {utc(frame.ready_at_ms)}")


def _held_back(account: AccountView) -> list[str]:
    return [] if account.state == "active" else [f"{account.state}: {text(account.why)}"]


def _waiting(views: Views, strategy: str, symbol: str) -> list[str]:
    found = [one for one in views.portfolio.orders() if (one.strategy, one.symbol) == (strategy, symbol)]
    return [f"its {text(one.action)} waits for the next open {code(f'#{one.seq}')}" for one in found]


def _refused(views: Views, account: AccountView, symbol: str) -> list[str]:
    refusal = views.refusals.get((account.strategy, symbol))
    if refusal is None:
        return []
    when = f"{text(utc(refusal.at_ms))} {code(f'#{refusal.seq}')}"
    return [f"last {text(refusal.side.upper())} refused: {text(reason_words(refusal.reason))}", when]


# ---------------------------------------------------------------- /log, /asof


def log_text(views: Views, count: int) -> str:
    """The last events that people want to see, newest first."""
    found = list(views.recent)[-count:]
    if not found:
        return answer(views, "<b>nothing has happened yet</b>", [])
    lines = [_event(recorded, views) for recorded in reversed(found)]
    return answer(views, f"<b>the last {len(found)} events</b>", [line for one in lines for line in ("", *one)])


def _event(recorded: Recorded, views: Views) -> tuple[str, str]:
    line = event_line(recorded, views.contracts.by_symbol)
    return (
        f"{code(f'#{recorded.seq}')} {text(market_time(recorded.event.at_ms))}",
        f"{text(line.icon)} {text(line.text)}",
    )


def as_of_text(then: Views, *, reached: bool) -> str:
    """How it stood, as /status shows it, with the positions of then."""
    short = [] if reached else [f"<b>{WRONG} the log is longer than is read for a question; this is its part</b>"]
    kept = [*short, f"<b>as of #{then.seq}</b>", *positions_part("open then", then.portfolio.positions())]
    return "\n".join([*kept, "", status(then)])


def still_reading(seq: int, head_seq: int) -> str:
    """How far the views have come while they catch up."""
    return f"{WRONG} still reading the log: {seq:,} of {head_seq:,}, {seq * 100 // max(head_seq, 1)} %"


# ---------------------------------------------------------------- /health


def health_text(
    views: Views,
    dog: WatchdogView | None = None,
    delivery: DeliveryStatistics | None = None,
    more: Sequence[str] = (),
    now_ms: int = 0,
) -> str:
    """The feed, what the watchdog sees, and whether alerts go out. `more` are plain lines of what else is known."""
    view = views.portfolio.view()
    wrong = [*_parked(delivery), *_troubles(view.anomalies, dog)]
    delivers = view.feed is not None and view.feed.delivers
    head = f"<b>{OVER} healthy</b>" if delivers else f"<b>{WRONG} the feed does not deliver</b>"
    head = f"<b>{WRONG} {len(wrong)} wrong</b>" if wrong else head
    details = [
        *wrong[:LINES_SHOWN_MAX],
        *feed_lines(view),
        *[f"{name(one.symbol)} not tradable: {text(one.why)}" for one in view.suspended[:LINES_SHOWN_MAX]],
        *_refused_data(view.refused),
        *_dog(dog, now_ms),
        *_delivery(delivery),
        *[text(line) for line in more[:LINES_SHOWN_MAX]],
    ]
    return answer(views, head, details)


def _parked(delivery: DeliveryStatistics | None) -> list[str]:
    """Why no alert goes out for now."""
    return [f"{WRONG} {bold('alerts are parked')}: {text(delivery.parked)}"] if delivery and delivery.parked else []


def _troubles(anomalies: Sequence[AnomalyView], dog: WatchdogView | None) -> list[str]:
    """What stands in the log, and what the watchdog saw last, each once."""
    found = {(str(one.kind), one.subject): one.detail for one in anomalies}
    seen = () if dog is None else dog.troubles
    found |= {(str(one.kind), one.subject): one.detail for one in seen if not one.covered}
    return [f"{WRONG} {bold(reason_words(kind))} · {name(on)}: {text(detail)}" for (kind, on), detail in found.items()]


def _refused_data(refused: Sequence[RefusedView]) -> list[str]:
    """What the feed did not take, most often first."""
    most = sorted(refused, key=lambda one: -one.count)[:LINES_SHOWN_MAX]
    named = ", ".join(f"{one.count:,} {text(reason_words(one.reason))}" for one in most)
    return [f"refused data: {named}"] if named else []


def _dog(dog: WatchdogView | None, now_ms: int) -> list[str]:
    if dog is None:
        return []
    if not dog.checks:
        return ["the watchdog has not looked yet"]
    ago = duration(max(0, now_ms - dog.checked_at_ms))
    repairs = [f"repair {text(utc(one.at_ms))} {name(one.subject)}: {text(one.detail)}" for one in dog.repairs[-3:]]
    return [f"watchdog looked {text(ago)} ago, {dog.checks:,} times", *repairs]


def _delivery(delivery: DeliveryStatistics | None) -> list[str]:
    if delivery is None:
        return []
    age = duration(delivery.oldest_unsent_ms)
    moved = [text(moved_words(delivery.moved_to))] if delivery.moved_to else []
    waiting = f"oldest alert waits for {text(age)}" if delivery.oldest_unsent_ms else "no alert waits"
    return [f"alerts sent {delivery.sent:,}, skipped {delivery.skipped:,}", waiting, *moved]


# ---------------------------------------------------------------- /version, /config, /help


def version_text(views: Views, version: str) -> str:
    """What runs, and what it was started with."""
    started = views.started
    if started is None:
        return answer(views, f"<b>papertape {text(version)}</b>", ["no start is in the log yet"])
    details = [
        f"started {text(utc(started.at_ms))} UTC",
        f"code {code(started.code_digest[:DIGEST_CHARS])}",
        f"config {code(started.config_digest[:DIGEST_CHARS])}",
    ]
    return answer(views, f"<b>papertape {text(version or started.version)}</b>", details)


def config_text(configuration: str) -> str:
    """The configuration, to be split by whoever sends it."""
    shown = redact(configuration)[:CONFIG_CHARS_MAX].strip() or "no configuration is known"
    lines = [escape(line.rstrip()) for line in shown.splitlines()]
    return "<pre>" + "\n".join(lines) + "</pre>"


def help_text() -> str:
    """Every command in a line."""
    lines = {command: f"{text(usage(command))} - {text(what)}" for command, (_, what) in MENU.items()}
    shown = [part for command, line in lines.items() for part in (["", line] if command in PARTS_BEGIN else [line])]
    return "\n".join(["<b>papertape</b>", *shown, "", "What changes something is asked again, with buttons."])


def wrong_text(wrong: InvalidRequest) -> str:
    """What is wrong with a message, and what to write instead."""
    return "\n".join([text(wrong.why), *map(code, wrong.instead)])


def failed_text(error: BaseException) -> str:
    """Return the answer after a bug ended a command; the engine's log has the details."""
    return f"{WRONG} that failed: {text(type(error).__name__)}\nthe engine's log has the details; other commands work"
