"""A strategy's contract on a terminal: one line for each promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from papertape.cli.render.console import BAD, GOOD, HEADLINE, QUIET, Column, print_table, stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.research.promises import Promise

MARKS = {True: Text("✓", style=GOOD), False: Text("✗", style=BAD), None: Text("-", style=QUIET)}


def print_report(file: str, strategy: str, breaches: Sequence[str], promises: Sequence[Promise]) -> None:
    """Print a line for each promise, then what is wrong in the file, line by line."""
    console = stdout()
    columns = [
        Column("", [MARKS[promise.kept] for promise in promises], justify="left"),
        Column("promise", [Text(promise.name) for promise in promises], justify="left"),
        Column("result", [Text(promise.numbers) for promise in promises], justify="left", wraps=True),
    ]
    print_table(columns, console, f"{strategy or 'Contract'} ({file})")
    for line in breaches:
        console.print(Text(line, style=BAD), soft_wrap=True)
    broken = sum(promise.kept is False for promise in promises)
    verdict = f"{broken} {'promise' if broken == 1 else 'promises'} broken" if broken else "the contract is kept"
    console.print(Text(verdict, style=f"{HEADLINE} {BAD if broken else GOOD}"))
