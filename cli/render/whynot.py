"""`papertape whynot` on a terminal: each strategy on each symbol, with its two sides beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from papertape.cli.render.console import DOUBT, GOOD, HEADLINE, QUIET, stdout
from papertape.cli.render.explanation import condition_line
from papertape.projections.text.formats import duration, market_time, utc

if TYPE_CHECKING:
    from rich.console import Console

    from papertape.cli.render.whynot_report import WhyNotReport
    from papertape.projections.site.ports import ConditionsView, ReadinessView


def print_moment(report: WhyNotReport) -> None:
    """Print what keeps strategies from an entry as of an event."""
    console = stdout()
    console.print(Text(f"as of {market_time(report.at_ms)} UTC, seq {report.seq:,}", style=QUIET))
    if not report.conditions:
        console.print("no strategy trades this")
    for long, short in zip(report.conditions[::2], report.conditions[1::2], strict=True):
        _print_pair(console, long, short)


def _print_pair(console: Console, long: ConditionsView, short: ConditionsView) -> None:
    """Print one strategy on one symbol: what holds both sides back once, then the conditions of each."""
    console.print()
    console.print(Text(f"{long.strategy} · {long.symbol}", style=HEADLINE))
    both = [hold for hold in long.holds if hold in short.holds]
    for frame in long.readiness:
        if frame.ready_at_ms:
            console.print(Text(f"  ! {_missing(frame)}", style=DOUBT))
    for hold in both:
        console.print(Text(f"  ! {hold}", style=DOUBT))
    if not long.explained:
        console.print(Text("  it does not list its conditions", style=QUIET))
        for one in (long, short):
            for hold in one.holds:
                if hold not in both:
                    console.print(Text(f"  ! {one.side}: {hold}", style=DOUBT))
        return
    grid = Table.grid(padding=(0, 4))
    grid.add_row(*(_side(one, both) for one in (long, short)))
    console.print(grid)


def _side(one: ConditionsView, both: list[str]) -> Text:
    """Return one side's conditions as lines below its headline."""
    met = sum(condition.met for condition in one.conditions)
    lines = [Text(f"  {one.side}: {met} of {len(one.conditions)} conditions met", style=HEADLINE)]
    if one.conditions and met == len(one.conditions):
        lines[0].stylize(GOOD)
    lines += [Text.assemble("  ", condition_line(condition)) for condition in one.conditions]
    lines += [Text(f"  ! {hold}", style=DOUBT) for hold in one.holds if hold not in both]
    return Text("\n").join(lines)


def _missing(frame: ReadinessView) -> str:
    candles = f"{frame.candles:,} of {frame.needed:,} candles of {duration(frame.timeframe_ms)}"
    return f"{candles}, ready {utc(frame.ready_at_ms)} UTC"
