"""The studies of a folder on a terminal, and the outcome of a verification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from papertape.cli.render.console import NOTHING, QUIET, Column, gain_cell, notes, plain, print_table, stdout
from papertape.cli.render.study import OUTCOMES
from papertape.projections.text.formats import utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.projections.studies.reader import StudySummary
    from papertape.studies.verification import Verification

DIFFERENCES_SHOWN_MAX = 10


def print_studies(studies: Sequence[StudySummary]) -> None:
    """Print the studies, the newest first."""
    console = stdout()
    if not studies:
        console.print(Text("no studies yet: `papertape sweep` makes one", style=QUIET))
        return
    columns = [
        Column("study", plain(one.name for one in studies), justify="left"),
        Column("verdict", [_outcome(one) for one in studies], justify="left"),
        Column("net USDT", [gain_cell(one.net_usdt) for one in studies]),
        Column("strategy", plain(one.strategy for one in studies), 1, "left"),
        Column("symbols", plain(", ".join(one.symbols) for one in studies), 2, "left", wraps=True),
        Column("sets", plain(f"{one.sets:,}" for one in studies), 1),
        Column("updated UTC", plain(utc(one.updated_at_ms) if one.updated_at_ms else "-" for one in studies), 3),
    ]
    hidden = print_table(columns, console)
    notes(console, [*(f"{one.name}: {one.problem}" for one in studies if one.problem), hidden])


def print_verification(name: str, found: Verification, digest: str) -> None:
    """Print whether the sets that were run again gave the same, and the first differences."""
    console = stdout()
    sets = f"{found.sets:,} {'set' if found.sets == 1 else 'sets'}"
    if not found.differences:
        console.print(f"{name}: {sets} run again fact by fact, {found.runs:,} runs: all figures are equal")
    else:
        console.print(f"{name}: {len(found.differences):,} figures differ in {found.runs:,} runs of {sets}")
    for one in found.differences[:DIFFERENCES_SHOWN_MAX]:
        console.print(f"  set {one.number}, span {one.span_id}: {one.figure} is {one.again!r}, stored {one.stored!r}")
    notes(console, [f"digest of the results: {digest}"])


def _outcome(study: StudySummary) -> Text:
    if study.outcome is None:
        return Text(study.state, style=QUIET) if study.state else NOTHING
    return Text(study.outcome, style=OUTCOMES[study.outcome])
