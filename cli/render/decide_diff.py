"""`papertape decide-diff` on a terminal: both results in one table, then the differences by cause."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from papertape.cli.environment.streams import say
from papertape.cli.render.console import (
    BAD,
    DOUBT,
    GOOD,
    HEADLINE,
    QUIET,
    Column,
    emit,
    fields_of,
    gain_cell,
    notes,
    plain,
    print_table,
    stdout,
)
from papertape.cli.render.explanation import number_text
from papertape.projections.text.formats import gain, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from papertape.cli.whatif.decide_again import DecisionReport
    from papertape.cli.whatif.decision_diff import (
        DecidedDifference,
        DifferenceCause,
        DirectDifference,
        OutcomePair,
        StrategyOutcome,
    )

CAUSES_SHOWN_MAX: Final = 12
DIRECT_SHOWN_MAX: Final = 3
CONSEQUENCES_SHOWN_MAX: Final = 2
FIELDS_SHOWN_MAX: Final = 3
ARROW: Final = " → "


def show_report(report: DecisionReport, *, is_written: bool, as_json: bool) -> None:
    """Print a report; one that goes with a written file is a line on stderr, which leaves stdout to the file."""
    if is_written:
        say(f"wrote {report.decided_decisions:,} decisions up to seq {report.seq:,}\n", sys.stderr)
    elif as_json:
        emit({**fields_of(report), "count": report.count})
    else:
        _print(stdout(), report)


def _print(console: Console, report: DecisionReport) -> None:
    period = [
        f"{word} {utc(at_ms)} UTC"
        for word, at_ms in (("from", report.from_ms), ("to", report.until_ms))
        if at_ms is not None
    ]
    console.print(Text.assemble((report.log, HEADLINE), f"  {' '.join([f'seq {report.seq:,}', *period])}"))
    console.print(Text(f"  expected  {report.expected_decisions:,} decisions, {report.expectation}"))
    under = f" under {', '.join(report.settings)}" if report.settings else ""
    console.print(Text(f"  decided   {report.decided_decisions:,} decisions, by this version{under}"))
    console.print()
    notes(console, [print_table(list(_columns(report.results)), console)])
    console.print()
    if report.equal:
        console.print(Text("Every decision is the same.", style=GOOD))
    else:
        _print_differences(console, report)
    notes(
        console,
        [f"{name} was not asked: {why}; its decisions are as recorded" for name, why in report.followed.items()],
    )
    for one in report.refused[:DIRECT_SHOWN_MAX]:
        notes(console, [f"left out: seq {one.seq:,}, {one.text}: {one.reason}"])
    if len(report.refused) > DIRECT_SHOWN_MAX:
        notes(console, [f"and {len(report.refused) - DIRECT_SHOWN_MAX:,} more inputs that do not fit (--json)"])


def _columns(pairs: Sequence[OutcomePair]) -> Iterator[Column]:
    """Return the columns; a figure that differs is shown twice, as `expected → decided`."""
    names = [pair.strategy or "together" for pair in pairs]
    yield Column("strategy", plain(names), justify="left")
    yield Column("trades", [_both(pair, lambda one: f"{one.trades:,}") for pair in pairs])
    yield Column("net USDT", [_both(pair, lambda one: gain(one.net_usdt)) for pair in pairs])
    yield Column("change", [_change(pair) for pair in pairs])
    yield Column(
        "max drawdown", [_both(pair, lambda one: f"{one.max_drawdown_percent:.2f} %") for pair in pairs], rank=1
    )
    counts = [Text(f"{pair.differences:,}", style=BAD if pair.differences else QUIET) for pair in pairs]
    yield Column("differences", counts)


def _both(pair: OutcomePair, text_of: Callable[[StrategyOutcome], str]) -> Text:
    one, other = ("-" if side is None else text_of(side) for side in (pair.expected, pair.decided))
    return Text(one) if one == other else Text.assemble((one, QUIET), (ARROW, QUIET), other)


def _change(pair: OutcomePair) -> Text:
    change = sum(
        sign * side.net_usdt for sign, side in ((-1.0, pair.expected), (1.0, pair.decided)) if side is not None
    )
    return gain_cell(change) if pair.differences else Text("")


# ---------------------------------------------------------------- differences


def _print_differences(console: Console, report: DecisionReport) -> None:
    """Print the direct differences under their causes, in the order in which the causes first mattered."""
    by_causes: dict[tuple[DifferenceCause, ...], list[DirectDifference]] = {}
    for direct in report.differences:
        by_causes.setdefault(direct.causes, []).append(direct)
    direct_count = sum(len(direct.differences) for direct in report.differences)
    text = f"{report.count:,} decisions differ: {direct_count:,} directly, the others as a consequence"
    console.print(Text(text if not report.omitted else f"{text}; too many to list them all", style=BAD))
    for causes, found in list(by_causes.items())[:CAUSES_SHOWN_MAX]:
        console.print()
        for cause in causes:
            console.print(Text.assemble((f"changed {cause.kind}  ", DOUBT), (cause.text, HEADLINE)))
        for direct in found[:DIRECT_SHOWN_MAX]:
            _print_direct(console, direct)
        if len(found) > DIRECT_SHOWN_MAX:
            last = found[-1]
            text = f"… {len(found) - DIRECT_SHOWN_MAX:,} more by the same cause, the last at seq {last.seq:,} (--json)"
            notes(console, [text])
    if len(by_causes) > CAUSES_SHOWN_MAX:
        console.print(
            Text(f"… {len(by_causes) - CAUSES_SHOWN_MAX:,} more causes (--json lists everything)", style=QUIET)
        )


def _print_direct(console: Console, direct: DirectDifference) -> None:
    """Print what a strategy decided on one input on both sides, then the first consequences in a line each."""
    for one in direct.differences:
        where = f"seq {one.seq:,}  {utc(one.at_ms)}  {one.strategy} {one.symbol}".rstrip()
        rows = [("expected", _decision(one, one.expected)), ("decided", _decision(one, one.decided))]
        if one.fields:
            rows.append(("differs in", Text(_fields(one, FIELDS_SHOWN_MAX), style=QUIET)))
        _print_rows(console, 2, Text(where, style=QUIET), rows)
    count = len(direct.consequences) + direct.omitted
    if count:
        noun = "consequence" if count == 1 else "consequences"
        rows = [(f"{one.seq:,}", _consequence(one)) for one in direct.consequences[:CONSEQUENCES_SHOWN_MAX]]
        text = f"└ {count:,} {noun}, because the position or the account differs by then"
        _print_rows(console, 4, Text(text, style=QUIET), rows)


def _print_rows(console: Console, indent: int, title: Text, rows: Sequence[tuple[str, Text]]) -> None:
    """Print a title, and below it rows of a name and a text that wraps beside it."""
    console.print(Padding(title, (0, 0, 0, indent), expand=False))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=QUIET)
    grid.add_column()
    for name, text in rows:
        grid.add_row(name, text)
    console.print(Padding(grid, (0, 0, 0, indent + 2), expand=False))


def _decision(one: DecidedDifference, text: str | None) -> Text:
    return Text("nothing", style=QUIET) if text is None else Text(_short(one, text))


def _consequence(one: DecidedDifference) -> Text:
    """Return a consequence in one line: the fields that differ, or the decision that only one side made."""
    text = one.expected or one.decided or ""
    if one.expected is not None and one.decided is not None:
        first, _, _ = _short(one, text).partition(" ")
        differs = _fields(one, FIELDS_SHOWN_MAX - 1) or f"{_short(one, one.expected)}{ARROW}{_short(one, one.decided)}"
        return Text.assemble(f"{one.symbol} {first}  ", (differs, QUIET))
    side = "only expected" if one.decided is None else "only decided"
    return Text.assemble((f"{side}: ", DOUBT), f"{one.symbol} {_short(one, text)}")


def _short(one: DecidedDifference, text: str) -> str:
    """Return a decision in words without the strategy's name, which stands above it."""
    return text.partition(f"{one.strategy} ")[2] or text


def _fields(one: DecidedDifference, shown_max: int) -> str:
    shown = [f"{field.name} {_value(field.a)}{ARROW}{_value(field.b)}" for field in one.fields[:shown_max]]
    more = len(one.fields) - shown_max
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def _value(value: object) -> str:
    return number_text(value) if isinstance(value, float) else "nothing" if value is None else str(value)
