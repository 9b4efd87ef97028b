"""How the commands write: consoles, JSON, tables that fit the terminal, and the few colours.

Colour never carries meaning alone: results have a sign, states a name.
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
from papertape.projections.folds.performance import FEW_TRADES
from papertape.projections.text.formats import gain, gain_percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.performance import Performance

PIPE_COLUMNS = 140
"""The width without a terminal."""
WRAPPED_COLUMNS = 36
"""The width that a column needs if its text may wrap."""
GOOD, BAD, DOUBT, QUIET, HEADLINE = "green", "red", "yellow", "dim", "bold"
STATES = {
    "active": ("● active", GOOD),
    "stopped": ("■ stopped", "bold red"),
    "parked": ("⚠ parked", "bold red"),
    "paused": ("‖ paused", DOUBT),
}
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
SIDES = {"long": "▲ long", "short": "▼ short"}
FEW_TRADES_NOTE = f"* fewer than {FEW_TRADES} closed trades: counts, not verdicts"
NOTHING = Text("-", style=QUIET)
BARS = "▁▂▃▄▅▆▇█"


class SafeConsole(Console):
    """A console that sends only its own control sequences to the terminal, never those in a text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with each unsafe character replaced."""
        for segment in super().render(renderable, options):
            unsafe = not segment.control and UNSAFE.search(segment.text)
            yield Segment(replace_unsafe(segment.text), segment.style) if unsafe else segment


def stdout() -> Console:
    """Return the console for results."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return SafeConsole(highlight=False, width=None if known else PIPE_COLUMNS)


def stderr() -> Console:
    """Return the console for errors, notes and progress."""
    return SafeConsole(stderr=True, highlight=False)


def emit(value: object) -> None:
    """Write one line of JSON; paths become strings."""
    sys.stdout.write(json_line(value))


class Column(Struct, frozen=True):
    """A column. Rank 0 always stays; the others are added by rank if they fit, equal ranks together.

    `wraps`: a long text may wrap.
    """

    title: str
    cells: list[Text]
    rank: int = 0
    justify: Literal["left", "right"] = "right"
    wraps: bool = False

    @property
    def width(self) -> int:
        """The needed width in terminal cells, including the space beside it."""
        widest = max(cell_len(self.title), *(cell.cell_len for cell in self.cells), 1) + 2
        return min(widest, WRAPPED_COLUMNS) if self.wraps else widest


def fit_columns(columns: Sequence[Column], width: int) -> tuple[list[Column], list[str]]:
    """Return the columns that fit, and the titles of those that do not."""
    ranks: set[int] = set()
    left = width
    for rank in sorted({column.rank for column in columns}):
        needed = sum(column.width for column in columns if column.rank == rank)
        if rank == 0 or needed <= left:
            ranks.add(rank)
            left -= needed
    shown = [column for column in columns if column.rank in ranks]
    return shown, [column.title for column in columns if column.rank not in ranks]


def print_table(columns: Sequence[Column], console: Console, title: str = "") -> str:
    """Print a table of the columns that fit; return a sentence about those that do not, or an empty text."""
    fitting, hidden = table(columns, console)
    if title:
        console.print(Text(title, style=HEADLINE))
    console.print(fitting)
    return hidden


def table(columns: Sequence[Column], console: Console, title: str = "") -> tuple[Table, str]:
    """Return a table of the columns that fit, and a sentence about those that do not."""
    shown, hidden = fit_columns(columns, console.width)
    grid = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title or None,
        title_justify="left",
        title_style=HEADLINE,
        header_style=HEADLINE,
    )
    for column in shown:
        grid.add_column(column.title, justify=column.justify, no_wrap=not column.wraps)
    for row in zip(*(column.cells for column in shown), strict=True):
        grid.add_row(*row)
    return grid, f"a wider terminal also shows: {', '.join(hidden)}" if hidden else ""


def notes(console: Console, texts: Iterable[str]) -> None:
    """Print the texts that are not empty below a table, dimmed."""
    for text in texts:
        if text:
            console.print(Padding(Text(text, style=QUIET), (0, 0, 0, 2)))


def plain(values: Iterable[object], style: str = "") -> list[Text]:
    """Return cells of text."""
    return [Text(str(value), style=style) for value in values]


def optional(values: Iterable[float | None], form: str, unit: str = "") -> list[Text]:
    """Return cells of numbers, with a dash for None."""
    return [NOTHING if value is None else Text(f"{value:{form}}{unit}") for value in values]


def percents(values: Iterable[float | None], form: str = ".1f") -> list[Text]:
    """Return cells of percentages without a sign, with a dash for None."""
    return optional(values, form, " %")


def trade_count(figures: ArenaRow | Performance) -> Text:
    """Return the cell of a number of trades, with an asterisk if there are few."""
    return Text(f"{figures.trades:,}{'*' if figures.few_trades else ' '}")


def gain_cell(value: float | None) -> Text:
    """Return the cell of a result in USDT, with sign and colour."""
    return NOTHING if value is None else Text(gain(value), style=gain_colour(value))


def percent_cell(value: float) -> Text:
    """Return the cell of a result in percent, with sign and colour."""
    return Text(gain_percent(value), style=gain_colour(value))


def signed_cell(value: float | None, form: str) -> Text:
    """Return the cell of a number, with sign and colour."""
    return NOTHING if value is None else Text(format(value, form), style=gain_colour(value))


def gain_colour(value: float) -> str:
    """Return the colour of a result."""
    return GOOD if value > 0.0 else BAD if value < 0.0 else ""


def state_cell(state: str) -> Text:
    """Return the cell of a strategy's state, with its mark."""
    text, style = STATES[state]
    return Text(text, style=style)


def sparkline(values: Sequence[float], width: int) -> Text:
    """Return a curve as one line of `width` characters, from its least to its greatest value."""
    if len(values) < 2:
        return NOTHING
    picked = [values[i * (len(values) - 1) // (width - 1)] for i in range(width)]
    low, high = min(picked), max(picked)
    steps = [0 if high <= low else int((value - low) / (high - low) * (len(BARS) - 1) + 0.5) for value in picked]
    return Text("".join(BARS[step] for step in steps))


def fields_of(value: Any) -> dict[str, Any]:
    """Return a view as plain data under its field names."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    return fields
