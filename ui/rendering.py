"""From views to HTML: the templates, what they may call, and how numbers and times are written in them."""

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
from papertape.projections.text.reasons import reason_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2.runtime import Context

    from papertape.events.log import Recorded
    from papertape.projections.site.messages import Message
    from papertape.projections.text.event_lines import EventLine

FOLDER = Path(__file__).parent
TEMPLATES, STATIC, ASSETS = FOLDER / "templates", FOLDER / "static", FOLDER / "assets"
_NEVER_IN_A_SCRIPT = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}
TRADES_CSV = "/api/v1/trades.csv"
NEAR_PERCENT = 75.0
_JSON = msgspec.json.Encoder()


@cache
def environment() -> Environment:
    """The templates: escaping everything, and refusing a name that a page did not declare."""
    loader = FileSystemLoader(TEMPLATES)
    found = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    found.globals |= {"link": link, "here": here, "now": now, "csv": csv, "asset": asset, "pairs": pairs}
    found.globals |= {
        "drawing": plot_geometry,
        "leverage": leverage,
        "chart_then": chart_then,
        "day_of_figures": day_of_figures,
    }
    found.filters |= {
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
        "when": when,
        "clock": clock,
        "tone": tone,
        "reason": reason_words,
        "words": in_words,
        "type_name": lambda recorded: type_name(recorded.event),
        "json_script": json_script,
        "segment": lambda text: quote(text, safe=""),
        "one_percent": _or_dash("{:.1f} %".format),
        "span": _or_dash(lambda span_ms: formats.duration(int(span_ms))),
        "value": lambda found: _or_dash(formats.reading)(found) if isinstance(found, float) else _or_dash(str)(found),
        "reading": _or_dash(formats.reading),
        "timeframe": formats.duration,
        "milliseconds": _or_dash("{:,.1f} ms".format),
        "bytes": _or_dash(formats.file_size),
        "strain": strain,
        "utc": utc,
        "day": day,
        "short_when": short_when,
        "near": near,
        "two_percent": _or_dash("{:.2f} %".format),
        "event_json": event_json,
        "message_html": message_html,
    }
    return found


def _printable(value: Any) -> Any:
    """Return a value that is safe to show, without control characters and bidirectional overrides; HTML stays HTML."""
    return type(value)(replace_unsafe(value)) if isinstance(value, str) and UNSAFE.search(value) else value


def render(template: str, context: Mapping[str, Any]) -> str:
    """A template with its context."""
    return environment().get_template(template).render(context)


# ---------------------------------------------------------------- addresses


@pass_context
def link(context: Context, path: str, **query: object) -> str:
    """The address of a page, as of the same event as this one."""
    return _address(path, {**query, **_moment(context)})


@pass_context
def here(context: Context, **query: object) -> str:
    """This page's address with some parameters changed; an empty one is left out."""
    return _address(context["address"], {**context["look"].query, **_moment(context), **query})


@pass_context
def chart_then(context: Context, symbol: str, seq: int) -> str:
    """The chart of a symbol as it stood after an event; on a page of the past, as of the event of that page."""
    path = f"/chart/{quote(symbol, safe='')}"
    return _address(path, {"as_of": seq, **_moment(context)})


@pass_context
def now(context: Context, path: str = "") -> str:
    """This page, or another, as it stands now."""
    return path or _address(context["address"], context["look"].query)


@pass_context
def csv(context: Context) -> str:
    """The chosen trades as a file."""
    return here(context, page="", sort="").replace(context["address"], TRADES_CSV, 1)


def asset(path: str) -> str:
    """The address of a file of the pages; it changes with the file, so browsers may keep it."""
    return f"/{path}?v={_digest(path)}"


@cache
def _digest(path: str) -> str:
    file = FOLDER / path
    return sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else "0"


@pass_context
def leverage(context: Context, strategy: str) -> float | None:
    """The leverage a strategy trades with."""
    return next((one.leverage for one in context["desk"].accounts if one.strategy == strategy), None)


def pairs(names: Iterable[str], *, worded: bool = False) -> list[tuple[str, str]]:
    """Options of a choice: the value and its text."""
    return [(name, reason_words(name) if worded else name) for name in names]


def _moment(context: Context) -> dict[str, int]:
    look = context["look"]
    return {} if look.live else {"as_of": look.seq}


def _address(path: str, query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path


# ---------------------------------------------------------------- numbers, times, words


def _or_dash(written: Any) -> Any:
    """What is not defined is a dash, never a zero."""
    return lambda value: "–" if value is None else written(value)  # noqa: RUF001 - the dash is meant.


@pass_context
def price(context: Context, value: float | None, symbol: str) -> str:
    """A price by the symbol's tick."""
    return "–" if value is None else formats.price(value, symbol, context["contracts"])  # noqa: RUF001


@pass_context
def quantity(context: Context, value: float, symbol: str) -> str:
    """A quantity by the symbol's lot."""
    return formats.quantity(value, symbol, context["contracts"])


@pass_context
def in_words(context: Context, recorded: Recorded) -> EventLine:
    """An event as a line."""
    return event_line(recorded, context["contracts"])


def tone(shown: float | str | None) -> str:
    """The class of a result: `up`, `down`, or `flat`. Of one that is written the sign decides that is read there."""
    if isinstance(shown, str):
        return {"+": "up", "-": "down"}.get(shown[:1], "flat")
    if shown is None or shown == 0.0:
        return "flat"
    return "up" if shown > 0.0 else "down"


def when(at_ms: int) -> Markup:
    """A time in UTC; the reader's own time stands in its title."""
    return _time(at_ms, formats.utc(at_ms)) if at_ms else Markup("–")  # noqa: RUF001


def utc(at_ms: int) -> str:
    """Return a UTC time as plain text, or a dash for 0."""
    return formats.utc(at_ms) if at_ms else "–"  # noqa: RUF001


def clock(at_ms: int) -> Markup:
    """The time of day in UTC."""
    return _time(at_ms, formats.utc(at_ms)[-5:]) if at_ms else Markup("–")  # noqa: RUF001


def short_when(at_ms: int) -> Markup:
    """A time in UTC without its year, for tables of what happened lately."""
    return _time(at_ms, formats.utc(at_ms)[5:]) if at_ms else Markup("–")  # noqa: RUF001


@pass_context
def near(context: Context, at_ms: int) -> Markup:
    """The time of day in UTC, with its date where that is not the market's: what a clock beside the market told."""
    return clock(at_ms) if day(at_ms) == day(context["look"].views.at_ms) else short_when(at_ms)


@pass_context
def day_of_figures(context: Context) -> str:
    """Return the label of the day whose result is shown: Today, or its date, as in an old log."""
    look = context["look"]
    at_ms = look.views.at_ms
    return "Today" if not at_ms or (look.live and day(at_ms) == day(look.now_ms)) else day(at_ms)


def day(at_ms: int) -> str:
    """The day of a time in UTC."""
    return formats.utc(at_ms)[:10]


def strain(used_percent: float) -> str:
    """The class of a limit: how near it is."""
    return "full" if used_percent >= 100.0 else "near" if used_percent >= NEAR_PERCENT else "calm"


def _time(at_ms: int, text: str) -> Markup:
    moment = datetime.fromtimestamp(at_ms / 1_000.0, UTC)
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), text)


def message_html(one: Message) -> Markup:
    """A message with its tags; `projections.alerts.markup` has escaped every value in it."""
    return Markup(one.html)  # noqa: S704 - see above.


def json_script(value: object) -> Markup:
    """JSON that may stand as text in any element."""
    return Markup(_JSON.encode(value).decode().translate(_NEVER_IN_A_SCRIPT))  # noqa: S704 - nothing left can end it.


@pass_context
def event_json(context: Context, recorded: Recorded) -> str:
    """An event as JSON for people, as the API says it."""
    return msgspec.json.format(_JSON.encode(event_view(recorded, context["contracts"])), indent=2).decode()
