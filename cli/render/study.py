"""The conclusions of a study on a terminal: the verdict with its gates first, then costs, folds and yardsticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from papertape.cli.render.console import (
    BAD,
    DOUBT,
    GOOD,
    HEADLINE,
    NOTHING,
    QUIET,
    Column,
    gain_cell,
    gain_colour,
    notes,
    optional,
    percents,
    plain,
    print_table,
    signed_cell,
    stdout,
)
from papertape.projections.text.formats import duration, figure, gain, money, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from papertape.projections.studies.document import (
        Costs,
        Document,
        FoldResult,
        GateResult,
        MatrixCell,
        StudyPlan,
        Yardstick,
    )

OUTCOMES = {"BET": GOOD, "BET SMALL": GOOD, "CANNOT SAY": DOUBT, "NO": BAD}
BETS = ("BET", "BET SMALL")
"""The outcomes that `promote` takes without a reason."""
GATE_MARKS = {"passed": ("✓", GOOD), "failed": ("✗", BAD), "skipped": ("·", QUIET)}
FOLDS_SHOWN_MAX = 24
PARAMETERS_A_LINE = 3
BAR_COLUMNS = 40
DAY_CHARS = 10


def show_study(plan: StudyPlan, document: Document, path: Path) -> None:
    """Show the verdict of a study, what it rests on, and the commands to go on with."""
    console = stdout()
    _show_headline(console, plan, document)
    _show_gates(console, document.verdict.gates)
    _show_chosen(console, plan, document)
    _show_costs(console, document.costs)
    _show_folds(console, document)
    _show_matrix(console, document.matrix)
    _show_yardsticks(console, document.yardsticks)
    _show_ways_on(console, plan, document, path)


def day(at_ms: int) -> str:
    """Return the UTC day of a time."""
    return utc(at_ms)[:DAY_CHARS]


def number_cell(value: float | None, unit: str) -> Text:
    """Return the cell of a gate's number or limit."""
    return NOTHING.copy() if value is None else Text(figure(value, unit))


def limit_cell(gate: GateResult) -> Text:
    """Return the cell of a gate's limit, with the percent sign of its unit but without the words."""
    return number_cell(gate.limit, "%" if gate.unit.startswith("%") else "")


def _show_headline(console: Console, plan: StudyPlan, document: Document) -> None:
    verdict = document.verdict
    outcome, colon, reason = verdict.headline.partition(":")
    console.print(Text.assemble((outcome, f"{HEADLINE} {OUTCOMES[verdict.outcome]}"), (colon + reason, HEADLINE)))
    folds = f"{len(document.folds)} {'fold' if len(document.folds) == 1 else 'folds'}" if document.folds else "no folds"
    windows = f" of {duration(document.train_ms)} + {duration(document.test_ms)}" if document.train_ms else ""
    market = f"{plan.strategy} on {', '.join(plan.symbols)} {duration(plan.timeframe_ms)}"
    period = f"{day(plan.from_ms)} to {day(plan.until_ms)}"
    sets = f"{plan.space.sets:,} {'set' if plan.space.sets == 1 else 'sets'}"
    notes(console, [f"{market}, {period}: {sets}, {folds}{windows}; {document.trials:,} sets tried so far"])
    console.print()


def _show_gates(console: Console, gates: Sequence[GateResult]) -> None:
    """Print each gate with its number and its limit, below it why, and what would change the result."""
    numbers = [number_cell(gate.number, gate.unit) for gate in gates]
    limits = [limit_cell(gate) for gate in gates]
    title_width = max((len(gate.title) for gate in gates), default=0)
    number_width = max((cell.cell_len for cell in numbers), default=0)
    for gate, number, limit in zip(gates, numbers, limits, strict=True):
        mark, style = GATE_MARKS[gate.state]
        number.align("right", number_width)
        compared = Text.assemble("  ", number, ("  limit ", QUIET), limit) if gate.limit is not None else Text("")
        title = Text(gate.title.ljust(title_width), style=QUIET if gate.state == "skipped" else HEADLINE)
        state = Text(f"  {gate.state:<7}", style=style)
        console.print(Text.assemble((f"{mark} ", style), title, state, compared))
        console.print(Padding(Text(gate.text, style=QUIET), (0, 0, 0, 4)))
        if gate.change and gate.state != "passed":
            console.print(Padding(Text.assemble("→ ", gate.change), (0, 0, 0, 4)))
    console.print()


def _show_chosen(console: Console, plan: StudyPlan, document: Document) -> None:
    """Print the parameters of the chosen set, those that differ from the study's other parameters first."""
    verdict = document.verdict
    if verdict.chosen_set is None:
        console.print(Text("No set was chosen", style=HEADLINE))
        console.print()
        return
    units = {axis.name: axis.unit for axis in plan.space.axes}
    console.print(Text(f"Set {verdict.chosen_set:,}", style=HEADLINE))
    cells = [f"{name} {value:g} {units.get(name, '')}".strip() for name, value in verdict.parameters.items()]
    grid = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for at in range(0, len(cells), PARAMETERS_A_LINE):
        grid.add_row(*cells[at : at + PARAMETERS_A_LINE])
    console.print(grid)
    console.print()


def _show_costs(console: Console, costs: Costs) -> None:
    """Print what became of 100 USDT earned before costs, out of sample."""
    console.print(Text("Costs, out of sample", style=HEADLINE))
    if costs.trades == 0:
        notes(console, ["no closed trades"])
    elif costs.gross_usdt > 0.0:
        _show_cost_bars(console, costs)
    notes(console, [cost_words(costs)])
    console.print()


def _show_cost_bars(console: Console, costs: Costs) -> None:
    """Print a bar for each part of 100 USDT gross; bars longer than all of it end in an arrow."""
    share = 100.0 / costs.gross_usdt
    parts = (
        ("gross", 100.0, ""),
        ("fees", -costs.fees_usdt * share, BAD),
        ("slippage", -costs.slippage_usdt * share, BAD),
        ("funding", costs.funding_usdt * share, gain_colour(costs.funding_usdt)),
        ("net", costs.net_usdt * share, gain_colour(costs.net_usdt)),
    )
    grid = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    grid.add_column(width=10)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for name, value, style in parts:
        length = min(BAR_COLUMNS, round(abs(value) / 100.0 * BAR_COLUMNS))
        bar = "█" * length + ("▸" if abs(value) > 100.0 else "")
        grid.add_row(f"  {name}", Text(f"{value:+,.1f}"), Text(bar, style=style))
    console.print(grid)


def cost_words(costs: Costs) -> str:
    """Return the sums behind the bars, empty without trades."""
    if costs.trades == 0:
        return ""
    sums = f"{costs.trades:,} trades: gross {gain(costs.gross_usdt)}, net {gain(costs.net_usdt)} USDT"
    if costs.gross_usdt > 0.0:
        return sums
    parts = f"fees {money(costs.fees_usdt)}, slippage {money(costs.slippage_usdt)}, funding {gain(costs.funding_usdt)}"
    return f"{sums}; nothing was earned before costs: {parts}"


def _show_folds(console: Console, document: Document) -> None:
    """Print the test of every fold with the set that was chosen in training."""
    folds = document.folds[-FOLDS_SHOWN_MAX:]
    if not folds:
        return
    hidden = print_table(_fold_columns(folds), console, "Out of sample, fold by fold")
    more = len(document.folds) - len(folds)
    slope = "" if document.slope is None else f"slope of out-of-sample on in-sample Sharpe: {document.slope:+.2f}"
    notes(console, [f"{more} earlier folds are in --json" if more else "", slope, hidden])
    console.print()


def _fold_columns(folds: Sequence[FoldResult]) -> list[Column]:
    return [
        Column("fold", plain(fold.number for fold in folds)),
        Column("train", plain(_period(fold.train_from_ms, fold.train_until_ms) for fold in folds), 2, "left"),
        Column("test", plain(_period(fold.test_from_ms, fold.test_until_ms) for fold in folds), 0, "left"),
        Column("set", [Text("cash", QUIET) if f.chosen_set is None else Text(f"{f.chosen_set:,}") for f in folds]),
        Column("in Sharpe", optional((fold.train_sharpe for fold in folds), ".2f"), 1),
        Column("out Sharpe", [signed_cell(fold.test_sharpe, "+.2f") for fold in folds], 1),
        Column("net USDT", [gain_cell(fold.test_net_usdt) for fold in folds]),
        Column("trades", plain(f"{fold.test_trades:,}" for fold in folds)),
    ]


def _show_matrix(console: Console, cells: Sequence[MatrixCell]) -> None:
    """Print the walk-forwards with other window lengths."""
    if not cells:
        return
    columns = [
        Column("train", plain(duration(cell.train_ms) for cell in cells)),
        Column("test", plain(duration(cell.test_ms) for cell in cells)),
        Column("folds", plain(cell.folds for cell in cells)),
        Column("profitable", plain(cell.profitable_folds for cell in cells)),
        Column("net USDT", [gain_cell(cell.net_usdt) for cell in cells]),
        Column("Sharpe", [signed_cell(cell.sharpe, "+.2f") for cell in cells]),
        Column("trades", plain(f"{cell.trades:,}" for cell in cells)),
    ]
    notes(console, [print_table(columns, console, "Other window lengths")])
    console.print()


def _show_yardsticks(console: Console, yardsticks: Sequence[Yardstick]) -> None:
    """Print what cash and buy & hold did over the same days."""
    if not yardsticks:
        return
    columns = [
        Column("over the same days", plain(one.name for one in yardsticks), justify="left"),
        Column("net USDT", [gain_cell(one.net_usdt) for one in yardsticks]),
        Column("Sharpe", [signed_cell(one.sharpe, "+.2f") for one in yardsticks]),
        Column("max DD", percents(100.0 * one.max_drawdown_fraction for one in yardsticks)),
    ]
    notes(console, [print_table(columns, console, "Yardsticks")])
    console.print()


def _show_ways_on(console: Console, plan: StudyPlan, document: Document, path: Path) -> None:
    """Print doubts, and the commands to go on with."""
    notes(console, (f"warning: {text}" for text in plan.warnings))
    notes(console, [long_way_words(document.long_way)])
    for line in _ways_on(plan, document, path):
        console.print(line, soft_wrap=True)


def long_way_words(long_way: Mapping[str, int]) -> str:
    """Return how many runs did not go the fast way, and why; an empty text if all did."""
    if not long_way:
        return ""
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in long_way.items())
    return f"{sum(long_way.values()):,} runs were done fact by fact instead of the fast way: {reasons}"


def _ways_on(plan: StudyPlan, document: Document, path: Path) -> Iterator[Text]:
    yield _way("study file", str(path))
    yield _way("more of it", f"papertape ui, page /studies/{plan.name}")
    if document.verdict.chosen_set is not None:
        against = "" if document.verdict.outcome in BETS else ' --against-advice "WHY"'
        yield _way("trade it on paper", f"papertape promote {plan.name} --to papertape.toml{against}")


def _way(what: str, command: str) -> Text:
    return Text.assemble((f"  {what}: ", QUIET), command)


def _period(from_ms: int, until_ms: int) -> str:
    return f"{day(from_ms)} to {day(until_ms)}"
