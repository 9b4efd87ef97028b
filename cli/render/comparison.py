"""`papertape compare` on a terminal: both arenas in one table, then the first difference and its causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from papertape.cli.render.console import (
    BAD,
    GOOD,
    HEADLINE,
    NOTHING,
    QUIET,
    Column,
    notes,
    percent_cell,
    plain,
    print_table,
    stdout,
)
from papertape.cli.render.explanation import condition_line, number_text
from papertape.projections.text.formats import money, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console

    from papertape.projections.folds.arena import ArenaRow
    from papertape.projections.folds.log_diff import (
        Comparison,
        DecisionDifference,
        DecisionReasons,
        DescribedEvent,
        LogExtent,
        StrategyPair,
        Value,
    )


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison."""
    console = stdout()
    for letter, extent in (("A", comparison.a), ("B", comparison.b)):
        console.print(_extent(letter, extent))
    console.print()
    notes(console, [print_table(_columns(comparison.pairs), console)])
    console.print()
    if comparison.difference is not None:
        _show_difference(console, comparison, comparison.difference)
    elif comparison.equal:
        console.print(Text("The same strategies made the same decisions.", style=GOOD))
    else:
        console.print(Text("No decision differs, but a strategy runs in only one of the logs.", style=BAD))


def _extent(letter: str, extent: LogExtent) -> Text:
    until = f"to {utc(extent.until_ms)} UTC" if extent.until_ms else "without a candle"
    text = f"  {extent.name}  {until}, seq {extent.head_seq:,}, {extent.decisions:,} decisions"
    return Text.assemble((letter, HEADLINE), text)


def _columns(pairs: Iterable[StrategyPair]) -> list[Column]:
    """Return the columns with each figure twice, side by side."""
    rows = [pair for pair in pairs if pair.a is not None or pair.b is not None]
    return [
        Column("strategy", plain(pair.strategy for pair in rows), justify="left"),
        *_both("net", rows, lambda row: percent_cell(row.net_return_percent)),
        *_both("equity USDT", rows, lambda row: Text(money(row.equity_usdt)), rank=1),
        *_both("trades", rows, lambda row: Text(f"{row.trades:,}")),
        *_both("max DD", rows, lambda row: Text(f"{row.max_drawdown_percent:.2f} %"), rank=2),
        Column("decisions", [_shared(pair) for pair in rows], justify="left"),
    ]


def _both(title: str, pairs: list[StrategyPair], cell: Callable[[ArenaRow], Text], rank: int = 0) -> Iterator[Column]:
    for letter, rows in (("A", [pair.a for pair in pairs]), ("B", [pair.b for pair in pairs])):
        yield Column(f"{title} {letter}", [NOTHING if row is None else cell(row) for row in rows], rank=rank)


def _shared(pair: StrategyPair) -> Text:
    if pair.a is None or pair.b is None:
        return Text(f"only in {'A' if pair.b is None else 'B'}", style=BAD)
    if not pair.differs_at_ms:
        return Text(f"the same {pair.same_decisions:,}", style=GOOD)
    return Text(f"{pair.same_decisions:,} the same, then differ at {utc(pair.differs_at_ms)}", style=BAD)


def _show_difference(console: Console, comparison: Comparison, difference: DecisionDifference) -> None:
    title = f"First difference: {difference.scope}, decision {difference.number:,}, {utc(difference.at_ms)} UTC"
    console.print(Text(title, style=HEADLINE))
    for letter in ("A", "B"):
        console.print(_tree(letter, comparison, difference))
    for name, fields in (("differs in", difference.fields), ("runs under", difference.settings)):
        notes(console, [f"{name} {one.name}: {_value(one.a)} in A, {_value(one.b)} in B" for one in fields])
    if difference.market is not None:
        market, nothing = difference.market, "nothing at that time"
        text = f"the market differs from {utc(market.at_ms)} UTC on: A has {market.a or nothing}; B has "
        notes(console, [f"{text}{market.b or nothing}"])


def _tree(letter: str, comparison: Comparison, difference: DecisionDifference) -> Tree:
    """Return one side's decision with its causes, or why it made none."""
    mine, reasons, extent = (
        (difference.a, difference.reasons_a, comparison.a)
        if letter == "A"
        else (difference.b, difference.reasons_b, comparison.b)
    )
    decided = difference.kind in ("other", f"only_{letter.lower()}")
    if decided and mine is not None:
        root = Tree(_event_text(f"{letter}  ", mine, HEADLINE), guide_style=QUIET)
    else:
        root = Tree(Text(f"{letter}  {_silence(letter, mine, difference, extent)}"), guide_style=QUIET)
    _add_reasons(root, reasons)
    return root


def _silence(letter: str, following: DescribedEvent | None, difference: DecisionDifference, extent: LogExtent) -> str:
    if difference.ended == letter.lower():
        return f"the market ends earlier, at {utc(extent.until_ms)} UTC"
    if following is None:
        return "no such decision, and none after it"
    return f"no such decision; the next is seq {following.seq:,} at {utc(following.at_ms)} UTC: {following.text}"


def _add_reasons(root: Tree, reasons: DecisionReasons) -> None:
    at = root
    for cause in reasons.causes:
        at = at.add(_event_text("", cause, ""))
    for condition in reasons.conditions:
        root.add(condition_line(condition))
    for hold in reasons.holds:
        root.add(Text(f"held back: {hold}"))


def _event_text(prefix: str, event: DescribedEvent, style: str) -> Text:
    return Text.assemble(prefix, (f"seq {event.seq:,}  {utc(event.at_ms)}  ", QUIET), (event.text, style))


def _value(value: Value) -> str:
    if value is None:
        return "nothing"
    return number_text(value) if isinstance(value, float) else str(value)
