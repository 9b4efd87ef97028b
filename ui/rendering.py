"""Rendering of views as HTML: the templates, their functions and filters, and the format of numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from markupsafe import Markup

from papertape.events.facts import type_name
from papertape.events.text import UNSAFE, replace_unsafe
from papertape.projections.site import plot_geometry
from papertape.projections.text import formats
from papertape.projections.text.event_lines import event_line
from papertape.projections.text.event_views import event_view
from papertape.projections.text.order_words import expiry_words, trailing_words, waiting_words
from papertape.projections.text.reasons import not_asked_words, reason_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2.runtime import Context

    from papertape.events.log import Recorded
    from papertape.projections.site.messages import Message
    from papertape.projections.text.event_lines import EventLine

FOLDER = Path(__file__).parent
TEMPLATES, STATIC, ASSETS = FOLDER / "templates", FOLDER / "static", FOLDER / "assets"
_NEVER_IN_A_SCRIPT = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}
TRADES_CSV, EVENTS_CSV = "/api/v1/trades.csv", "/api/v1/events.csv"
NEAR_PERCENT = 75.0
_JSON = msgspec.json.Encoder()


@cache
def environment() -> Environment:
    """Return the template environment, which escapes everything and refuses undeclared names."""
    loader = FileSystemLoader(TEMPLATES)
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    templates.globals |= {
        "link": link,
        "link_here": link_here,
        "link_now": link_now,
        "csv_link": csv_link,
        "events_csv_link": events_csv_link,
        "asset": asset,
        "pairs": pairs,
        "geometry": plot_geometry,
        "leverage": leverage,
        "chart_link": chart_link,
        "day_of_figures": day_of_figures,
    }
    templates.filters |= {
        "money": _or_dash(formats.money),
        "gain": _or_dash(formats.gain),
        "percent": _or_dash(formats.percent),
        "gain_percent": _or_dash(formats.gain_percent),
        "ratio": _or_dash("{:.2f}".format),
        "signed": _or_dash(formats.signed),
        "count": _or_dash("{:,}".format),
        "plain": _or_dash("{:,.10g}".format),
        "duration": _or_dash(formats.duration),
        "price": price,
        "quantity": quantity,
        "timestamp": timestamp,
        "clock": clock,
        "tone": tone,
        "reason": reason_words,
        "not_asked": not_asked_words,
        "order_name": lambda order: waiting_words(order.action, order.kind, order.rung),
        "trailing_words": lambda one: trailing_words(
            one.trail_fraction, one.trail_after_fraction, one.breakeven_after_fraction
        ),
        "expiry": expiry_words,
        "event_words": event_words,
        "type_name": lambda recorded: type_name(recorded.event),
        "json_script": json_script,
        "segment": lambda text: quote(text, safe=""),
        "one_percent": _or_dash("{:.1f} %".format),
        "figure": lambda value, unit: _or_dash(lambda number: formats.figure(number, unit))(value),
        "span": _or_dash(lambda span_ms: formats.duration(int(span_ms))),
        "value": lambda value: _or_dash(formats.reading if isinstance(value, float) else str)(value),
        "reading": _or_dash(formats.reading),
        "timeframe": formats.duration,
        "milliseconds": _or_dash("{:,.1f} ms".format),
        "bytes": _or_dash(formats.file_size),
        "usage_class": usage_class,
        "utc": utc,
        "day": day,
        "short_timestamp": short_timestamp,
        "clock_or_timestamp": clock_or_timestamp,
        "two_percent": _or_dash("{:.2f} %".format),
        "event_json": event_json,
        "message_html": message_html,
    }
    return templates


def _printable(value: Any) -> Any:
    """Return a value that is safe to show, without control characters and bidirectional overrides; HTML stays HTML."""
    return type(value)(replace_unsafe(value)) if isinstance(value, str) and UNSAFE.search(value) else value


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render a template with its context."""
    return environment().get_template(template).render(context)


# ---------------------------------------------------------------- addresses


@pass_context
def link(context: Context, path: str, **query: object) -> str:
    """Return the address of a page, as of the same event as this page."""
    return _address(_base(context) + path, {**query, **_moment(context)})


@pass_context
def link_here(context: Context, **query: object) -> str:
    """Return this page's address with changed parameters; an empty value removes one."""
    return _address(context["address"], {**context["request"].query, **_moment(context), **query})


@pass_context
def chart_link(context: Context, symbol: str, seq: int) -> str:
    """Return the address of a symbol's chart around the trade that closed at an event, with what followed."""
    return link(context, f"/chart/{quote(symbol, safe='')}", trade=seq)


@pass_context
def link_now(context: Context, path: str = "") -> str:
    """Return the live address of another page, or of this one."""
    return _base(context) + path if path else _address(context["address"], context["request"].query)


@pass_context
def csv_link(context: Context) -> str:
    """Return the address of the filtered trades as a CSV file."""
    return link_here(context, page="", sort="").replace(context["address"], _base(context) + TRADES_CSV, 1)


@pass_context
def events_csv_link(context: Context) -> str:
    """Return the address of the filtered events as a CSV file."""
    chosen = context["request"].query
    same = {name: chosen.get(name, "") for name in ("type", "strategy", "symbol", "trade")}
    return link(context, EVENTS_CSV, **same, text=chosen.get("q", ""), all="true" if chosen.get("all") == "1" else "")


def asset(path: str) -> str:
    """Return the address of a static file, with the digest of its content so that browsers may cache it."""
    return f"/{path}?v={_digest(path)}"


@cache
def _digest(path: str) -> str:
    file = FOLDER / path
    return sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else "0"


@pass_context
def leverage(context: Context, strategy: str) -> float | None:
    """Return the leverage of a strategy, or None."""
    return next((one.leverage for one in context["portfolio"].accounts if one.strategy == strategy), None)


def pairs(names: Iterable[str], *, worded: bool = False) -> list[tuple[str, str]]:
    """Return the options of a selection as pairs of value and text."""
    return [(name, reason_words(name) if worded else name) for name in names]


def _base(context: Context) -> str:
    """Return where the pages of this log begin."""
    base: str = context["site"].base
    return base


def _moment(context: Context) -> dict[str, int]:
    request = context["request"]
    return {} if request.live else {"as_of": request.seq}


def _address(path: str, query: Mapping[str, object]) -> str:
    parameters = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(parameters)}" if parameters else path


# ---------------------------------------------------------------- numbers, times, words


def _or_dash(write: Any) -> Any:
    """Return a formatter that writes None as a dash, never as a zero."""
    return lambda value: "–" if value is None else write(value)  # noqa: RUF001 - an en dash, on purpose.


@pass_context
def price(context: Context, value: float | None, symbol: str) -> str:
    """Format a price with the decimals of the symbol's tick."""
    return "–" if value is None else formats.price(value, symbol, context["contracts"])  # noqa: RUF001


@pass_context
def quantity(context: Context, value: float, symbol: str) -> str:
    """Format a quantity with the decimals of the symbol's lot."""
    return formats.quantity(value, symbol, context["contracts"])


@pass_context
def event_words(context: Context, recorded: Recorded) -> EventLine:
    """Return an event as a line of text."""
    return event_line(recorded, context["contracts"])


def tone(shown: float | str | None) -> str:
    """Return the CSS class of a result: `up`, `down` or `flat`. For a formatted result its visible sign decides."""
    if isinstance(shown, str):
        return {"+": "up", "-": "down"}.get(shown[:1], "flat")
    if shown is None or shown == 0.0:
        return "flat"
    return "up" if shown > 0.0 else "down"


def timestamp(at_ms: int) -> Markup:
    """Format a UTC time as an element; a script adds the reader's local time as its title."""
    return _time(at_ms, formats.utc(at_ms)) if at_ms else Markup("–")  # noqa: RUF001


def utc(at_ms: int) -> str:
    """Return a UTC time as plain text, or a dash for 0."""
    return formats.utc(at_ms) if at_ms else "–"  # noqa: RUF001


def clock(at_ms: int) -> Markup:
    """Format the UTC time of day."""
    return _time(at_ms, formats.utc(at_ms)[-5:]) if at_ms else Markup("–")  # noqa: RUF001


def short_timestamp(at_ms: int) -> Markup:
    """Format a UTC time without the year, for tables of recent rows."""
    return _time(at_ms, formats.utc(at_ms)[5:]) if at_ms else Markup("–")  # noqa: RUF001


@pass_context
def clock_or_timestamp(context: Context, at_ms: int) -> Markup:
    """Format the UTC time of day, with the date if it is not the market's current day."""
    return clock(at_ms) if day(at_ms) == day(context["request"].views.at_ms) else short_timestamp(at_ms)


@pass_context
def day_of_figures(context: Context) -> str:
    """Return the label of the current market day: Today, or its date in an old log."""
    request = context["request"]
    at_ms = request.views.at_ms
    return formats.day_words(at_ms, request.now_ms if request.live else 0).capitalize()


def day(at_ms: int) -> str:
    """Return the UTC date of a time."""
    return formats.utc(at_ms)[:10]


def usage_class(used_percent: float) -> str:
    """Return the CSS class of a limit by its usage."""
    return "full" if used_percent >= 100.0 else "near" if used_percent >= NEAR_PERCENT else "calm"


def _time(at_ms: int, text: str) -> Markup:
    moment = datetime.fromtimestamp(at_ms / 1_000.0, UTC)
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), text)


def message_html(one: Message) -> Markup:
    """Return a message as HTML; `projections.alerts.markup` has escaped every value in it."""
    return Markup(one.html)  # noqa: S704 - see above.


def json_script(value: object) -> Markup:
    """Return a value as JSON that is safe as the text of any element."""
    return Markup(_JSON.encode(value).decode().translate(_NEVER_IN_A_SCRIPT))  # noqa: S704 - it has no character that could end the element.


@pass_context
def event_json(context: Context, recorded: Recorded) -> str:
    """Return an event as indented JSON, as the API returns it."""
    return msgspec.json.format(_JSON.encode(event_view(recorded, context["contracts"])), indent=2).decode()
