"""How the verbs write: consoles, JSON, tables that fit, and the few colours there are.

A colour never stands alone: results carry their sign, states their name.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from papertape.cli.render.event_json import json_line
from papertape.events.text import UNSAFE, replace_unsafe
from papertape.projections.text.formats import gain, gain_percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PIPE_COLUMNS = 140
"""The width where no terminal says one."""
WRAPPED_COLUMNS = 36
"""The least width of a column whose text may wrap, where it is longer."""
GOOD, BAD, DOUBT, QUIET, HEADLINE = "green", "red", "yellow", "dim", "bold"
STATES = {"active": ("● active", GOOD), "stopped": ("■ stopped", "bold red"), "paused": ("‖ paused", DOUBT)}
STYLES = {
    "market": QUIET,
    "feed": QUIET,
    "order": "",
    "entry": HEADLINE,
    "won": GOOD,
    "lost": BAD,
    "funding": "",
    "alarm": f"{HEADLINE} {DOUBT}",
    "good": GOOD,
    "engine": "cyan",
}
NOTHING = Text("-", style=QUIET)
BARS = "▁▂▃▄▅▆▇█"


class SafeConsole(Console):
    """A console that sends only its own control sequences to the terminal, never those of a text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with each unsafe character replaced."""
        for segment in super().render(renderable, options):
            unsafe = not segment.control and UNSAFE.search(segment.text)
            yield Segment(replace_unsafe(segment.text), segment.style) if unsafe else segment


def stdout() -> Console:
    """Where results go."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return SafeConsole(highlight=False, width=None if known else PIPE_COLUMNS)


def stderr() -> Console:
    """Where errors, notes and progress go."""
    return SafeConsole(stderr=True, highlight=False)


def emit(value: object) -> None:
    """Write one line of JSON; paths are texts."""
    sys.stdout.write(json_line(value))


class Column(Struct, frozen=True):
    """A column. Rank 0 always stays; the others come by rank where there is room, equal ranks together.

    `wraps`: a long text may.
    """

    title: str
    cells: list[Text]
    rank: int = 0
    justify: Literal["left", "right"] = "right"
    wraps: bool = False

    @property
    def width(self) -> int:
        """The cells of a terminal it needs, the space beside it included."""
        widest = max(cell_len(self.title), *(cell.cell_len for cell in self.cells), 1) + 2
        return min(widest, WRAPPED_COLUMNS) if self.wraps else widest


def fit_columns(columns: Sequence[Column], width: int) -> tuple[list[Column], list[str]]:
    """The columns that fit, and the titles of those that do not."""
    kept: set[int] = set()
    left = width
    for rank in sorted({column.rank for column in columns}):
        needed = sum(column.width for column in columns if column.rank == rank)
        if rank == 0 or needed <= left:
            kept.add(rank)
            left -= needed
    shown = [column for column in columns if column.rank in kept]
    return shown, [column.title for column in columns if column.rank not in kept]


def table(columns: Sequence[Column], console: Console, title: str = "") -> tuple[Table, str]:
    """A table of the columns that fit, and a sentence on those that do not."""
    kept, left_out = fit_columns(columns, console.width)
    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title or None,
        title_justify="left",
        title_style=HEADLINE,
        header_style=HEADLINE,
    )
    for column in kept:
        made.add_column(column.title, justify=column.justify, no_wrap=not column.wraps)
    for row in zip(*(column.cells for column in kept), strict=True):
        made.add_row(*row)
    note = f"a wider terminal shows also: {', '.join(left_out)}" if left_out else ""
    return made, note


def notes(console: Console, texts: Iterable[str]) -> None:
    """What stands below a table, quietly."""
    for text in texts:
        if text:
            console.print(Padding(Text(text, style=QUIET), (0, 0, 0, 2)))


def plain(values: Iterable[object], style: str = "") -> list[Text]:
    """Cells of text."""
    return [Text(str(value), style=style) for value in values]


def optional(values: Iterable[float | None], form: str) -> list[Text]:
    """Cells of numbers, a dash where there is none."""
    return [NOTHING if value is None else Text(format(value, form)) for value in values]


def gain_cell(value: float | None) -> Text:
    """A result in USDT with sign and colour."""
    return NOTHING if value is None else Text(gain(value), style=_colour(value))


def percent_cell(value: float) -> Text:
    """A result in percent with sign and colour."""
    return Text(gain_percent(value), style=_colour(value))


def signed_cell(value: float | None, form: str) -> Text:
    """A number with sign and colour."""
    return NOTHING if value is None else Text(format(value, form), style=_colour(value))


def _colour(value: float) -> str:
    return GOOD if value > 0.0 else BAD if value < 0.0 else ""


def state_cell(state: str) -> Text:
    """A strategy's state by name, with its mark."""
    text, style = STATES[state]
    return Text(text, style=style)


def sparkline(values: Sequence[float], width: int) -> Text:
    """A course in one line of `width` characters, from its least to its largest value."""
    if len(values) < 2:
        return NOTHING
    picked = [values[i * (len(values) - 1) // (width - 1)] for i in range(width)]
    low, high = min(picked), max(picked)
    steps = [0 if high <= low else int((value - low) / (high - low) * (len(BARS) - 1) + 0.5) for value in picked]
    return Text("".join(BARS[step] for step in steps))


def fields_of(value: Any) -> dict[str, Any]:
    """A view as plain data under its field names."""
    plain_value: dict[str, Any] = msgspec.to_builtins(value)
    return plain_value
