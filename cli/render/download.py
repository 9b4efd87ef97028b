"""The report of a download: how many rows it has, what is missing, and what the exchange does not have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from papertape.cli.render.console import DOUBT, GOOD, HEADLINE, notes, stdout
from papertape.events.units import TIMEFRAME_NAMES
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.feeds.download.download import DownloadReport

KIND_WORDS = {"candles": "candles", "funding": "settlements", "mark": "candles of the mark price"}


def show_report(report: DownloadReport) -> None:
    """Show the report of one file."""
    console = stdout()
    console.print(Text(report.file, style=HEADLINE), soft_wrap=True)
    notes(console, [_rows(report)])
    console.print(Text(f"  {_holes(report)}", style=DOUBT if report.hole_count else GOOD), soft_wrap=True)
    notes(console, [*_named_holes(report), *report.notes, _refused(report)])


def _rows(report: DownloadReport) -> str:
    length = "" if report.kind == "funding" else f" of {TIMEFRAME_NAMES[report.timeframe_ms]}"
    resumed = f", {report.resumed_rows:,} of them from an earlier run" if report.resumed_rows else ""
    size = Path(report.file).stat().st_size
    span = f"{utc(report.first_ms)} to {utc(report.last_ms)} UTC"
    return f"{report.rows:,} {KIND_WORDS[report.kind]}{length}, {span}, {size:,} bytes{resumed}"


def _holes(report: DownloadReport) -> str:
    if not report.hole_count:
        return "no gaps"
    holes = "1 gap" if report.hole_count == 1 else f"{report.hole_count:,} gaps"
    least = "at least " if report.kind == "funding" else ""
    return f"{holes}, {least}{report.missing:,} rows missing"


def _named_holes(report: DownloadReport) -> Iterator[str]:
    for hole in report.holes:
        yield f"{utc(hole.from_ms)} to {utc(hole.until_ms)}: {hole.missing:,}"
    if report.hole_count > len(report.holes):
        yield f"and {report.hole_count - len(report.holes):,} more"


def _refused(report: DownloadReport) -> str:
    if not report.refused:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(report.refused.items()))
    return f"refused rows: {reasons}"
