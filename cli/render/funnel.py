"""The funnel of entries on a terminal: a table for each strategy on each symbol, long and short apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from papertape.cli.render.console import HEADLINE, NOTHING, QUIET, gain_cell, notes, stdout
from papertape.projections.text.formats import utc
from papertape.projections.text.reasons import not_asked_words, reason_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from papertape.engine.inspect.funnel import ConditionCount, FunnelReport, SideFunnel, StrategyFunnel

ALONE = "alone: how often the condition held; so far: how often it and all above it held"


def print_funnel(report: FunnelReport) -> None:
    """Print the funnels of a span."""
    console = stdout()
    span = f"{utc(report.from_ms)} to {utc(report.until_ms)} UTC, {report.events:,} events"
    console.print(Text(f"funnel of entries, {span}", style=QUIET))
    if not report.funnels:
        console.print("no strategy had a candle of its timeframe in this span")
    for funnel in report.funnels:
        console.print()
        console.print(Text(f"{funnel.strategy} · {funnel.symbol}", style=HEADLINE))
        console.print(f"  asked on {funnel.asked:,} of {funnel.candles:,} candles{_others(funnel)}", highlight=False)
        console.print(_table(funnel))
    explained = {funnel.strategy: funnel.explained for funnel in report.funnels}
    silent = ", ".join(name for name, listed in explained.items() if not listed)
    unlisted = f"these do not list their conditions: {silent}" if silent else ""
    notes(console, [ALONE if any(explained.values()) else "", unlisted])


def _others(funnel: StrategyFunnel) -> str:
    counts = sorted(funnel.not_asked.items(), key=lambda item: -item[1])
    return f"; not asked: {', '.join(f'{not_asked_words(why)} {count:,}' for why, count in counts)}" if counts else ""


def _table(funnel: StrategyFunnel) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style=HEADLINE)
    table.add_column("", no_wrap=False)
    for side in ("long", "short"):
        if funnel.explained:
            table.add_column(f"{side} alone", justify="right", no_wrap=True)
        table.add_column(f"{side} so far" if funnel.explained else side, justify="right", no_wrap=True)
    sides = (funnel.long, funnel.short)
    for place in range(max(len(side.conditions) for side in sides)):
        pairs = [side.conditions[place] if place < len(side.conditions) else None for side in sides]
        names = dict.fromkeys(one.name for one in pairs if one is not None)
        table.add_row(" / ".join(names), *(cell for one in pairs for cell in _condition(one, funnel.asked)))
    for name, value in _outcomes(sides):
        alone = (Text(),) if funnel.explained else ()
        table.add_row(name, *(cell for side in sides for cell in (*alone, value(side))))
    return table


def _condition(one: ConditionCount | None, asked: int) -> tuple[Text, Text]:
    return (NOTHING, NOTHING) if one is None else (_share(one.held, asked), _share(one.passed, asked))


def _share(count: int, asked: int) -> Text:
    """Return a number with its share of the questions."""
    share = f"{count / asked * 100.0:.1f} %" if asked else "-"
    return Text.assemble(f"{count:,}", (f" {share:>7}", QUIET))


def _outcomes(sides: tuple[SideFunnel, SideFunnel]) -> list[tuple[str, Callable[[SideFunnel], Text]]]:
    """Return the rows below the conditions: signals, refusals, orders and trades."""

    def number(name: str) -> Callable[[SideFunnel], Text]:
        return lambda side: Text(f"{getattr(side, name):,}")

    def counted(name: str, reason: str) -> Callable[[SideFunnel], Text]:
        return lambda side: Text(f"{getattr(side, name).get(reason, 0):,}")

    def reasons(name: str) -> list[str]:
        return list(dict.fromkeys(reason for side in sides for reason in getattr(side, name)))

    return [
        ("signals", number("signals")),
        *((f"  refused: {reason_words(one)}", counted("refused", one)) for one in reasons("refused")),
        ("orders placed", number("placed")),
        *((f"  cancelled: {reason_words(one)}", counted("cancelled", one)) for one in reasons("cancelled")),
        *([("  waiting at the end", number("waiting"))] if any(side.waiting for side in sides) else []),
        ("orders filled", number("filled")),
        ("trades closed", number("trades")),
        ("  won", number("won")),
        ("  net, USDT", lambda side: gain_cell(side.net_usdt)),
        *([("  open at the end", number("open"))] if any(side.open for side in sides) else []),
    ]
