"""Reports of results on the terminal and in `benchmarks/RESULTS.md`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchmarks.measure import ROOT, Figure, Result, hardware

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATH = ROOT / "benchmarks" / "RESULTS.md"
PROGRAMS = "-m benchmarks.programs."
READING = (
    "Every ratio is of one run: the sides alternate in rotating order; a figure is the median of the rounds, a ratio "
    "the median of the rounds' ratios. The load is the machine's at the start of a benchmark; above 1, other programs "
    "were running, and times are longer than on an idle machine."
)


def verdict(figure: Figure) -> str:
    """Return whether a target was met, in words."""
    return "" if figure.met is None else "met" if figure.met else "NOT met"


def show(result: Result) -> None:
    """Print a result."""
    print(f"\n{result.name}: {result.title} (load {result.load})")
    for figure in result.figures:
        held = f"   [{figure.target}: {verdict(figure)}]" if figure.target else ""
        print(f"  {figure.what:<58} {figure.value}{held}")
    for note in result.notes:
        print(f"  - {note}")


def command(name: str, *, quick: bool) -> str:
    """Return the command that repeats a benchmark."""
    return f"python -m benchmarks {name}{' --quick' if quick else ''}"


def page(results: Iterable[Result], versions: Mapping[str, str], *, quick: bool) -> str:
    """Return the whole page."""
    results = list(results)
    judged = [(result, figure) for result in results for figure in result.figures if figure.met is not None]
    missed = [
        f"{result.name}: {figure.what}, {figure.value} ({figure.target})" for result, figure in judged if not figure.met
    ]
    lines = [
        "# Benchmark results",
        "",
        f"Machine: {hardware()}.",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items()) + ".",
        "Repeat all of it with `make bench`, or one benchmark with the command below its heading.",
        "",
        READING,
    ]
    if quick:
        lines += ["", "**A quick run with small sizes and few rounds. It only checks that everything works.**"]
    lines += ["", f"{len(judged) - len(missed)} of {len(judged)} targets met."]
    lines += ["Not met:", "", *(f"- {text}" for text in missed)] if missed else []
    for result in results:
        lines += _section(result, quick=quick)
    return "\n".join(lines) + "\n"


def replace_sections(text: str, results: Iterable[Result], *, quick: bool) -> str:
    """Return the page with the sections of some benchmarks replaced; new ones come last."""
    head, *sections = text.rstrip("\n").split("\n## ")
    named = {section.partition(":")[0]: section.rstrip("\n") + "\n" for section in sections}
    for result in results:
        named[result.name] = "\n".join(_section(result, quick=quick)).lstrip("\n").removeprefix("## ") + "\n"
    return _counted(head, [*named.values()])


def keep_sections_of_programs(text: str, former: str) -> str:
    """Return the page with those sections of the former one that programs measured: a full run does not start them."""
    head, *sections = text.rstrip("\n").split("\n## ")
    kept = [section for section in former.rstrip("\n").split("\n## ")[1:] if PROGRAMS in section]
    return _counted(head, [section.rstrip("\n") + "\n" for section in (*sections, *kept)])


def _counted(head: str, sections: list[str]) -> str:
    """Return the page, with the targets counted from its tables."""
    rows = [(section.partition(":")[0], row.split(" | ")) for section in sections for row in section.splitlines()]
    held = [(name, cells) for name, cells in rows if cells[-1].rstrip(" |") in ("met", "NOT met")]
    missed = [
        f"- {name}: {', '.join(cells[:-2]).removeprefix('| ')} ({cells[-2]})"
        for name, cells in held
        if cells[-1].startswith("NOT")
    ]
    opening = re.split(r"\n\d+ of \d+ targets met\.", head)[0]
    lines = [opening + f"\n{len(held) - len(missed)} of {len(held)} targets met."]
    lines += ["Not met:", "", *missed] if missed else []
    return "\n".join([*lines, "", *("## " + section for section in sections)]).rstrip("\n") + "\n"


def _section(result: Result, *, quick: bool) -> list[str]:
    """Return the section of one benchmark."""
    lines = [
        "",
        f"## {result.name}: {result.title}",
        "",
        f"`{command(result.name, quick=quick)}`, load {result.load}",
        "",
    ]
    lines += ["| | measured | target | |", "|---|---|---|---|"]
    lines += [f"| {figure.what} | {figure.value} | {figure.target} | {verdict(figure)} |" for figure in result.figures]
    for note in result.notes:
        lines += ["", note]
    return lines
