"""Run the benchmarks, all or the named ones: `python -m benchmarks [NAME...] [--quick | --full] [--write]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import rivals
from benchmarks.append import append_many, append_one
from benchmarks.backtests import against_backtesting, against_vectorbt, identical
from benchmarks.dashboard import dashboard
from benchmarks.feed import feed
from benchmarks.live import live
from benchmarks.measure import Bench, Result, load, versions
from benchmarks.own_strategies import editing, ladders
from benchmarks.processes import process
from benchmarks.recovery import recovery, replay
from benchmarks.report import PATH, keep_sections_of_programs, page, replace_sections, show
from benchmarks.scaling import scaling
from benchmarks.segments import segments
from benchmarks.state_queries import state_queries
from benchmarks.sweeps import sweeps
from benchmarks.telegram import telegram_dead
from benchmarks.timeline import timeline
from benchmarks.token_guessing import token_guessing
from benchmarks.web import web

MEASURES: dict[str, Callable[[Bench], Result]] = {
    "vectorbt": against_vectorbt,
    "sweeps": sweeps,
    "backtesting": against_backtesting,
    "identical": identical,
    "process": process,
    "editing": editing,
    "ladders": ladders,
    "scaling": scaling,
    "append": append_one,
    "eventsourcing": append_many,
    "recovery": recovery,
    "replay": replay,
    "segments": segments,
    "live": live,
    "queries": state_queries,
    "feed": feed,
    "telegram": telegram_dead,
    "timeline": timeline,
    "web": web,
    "guessing": token_guessing,
    "dashboard": dashboard,
}
WITH_RIVALS = ("vectorbt", "sweeps", "backtesting", "eventsourcing")


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that everything works")
    parser.add_argument("--full", action="store_true", help="also recover a log of 5 million events")
    parser.add_argument(
        "--write", action="store_true", help=f"write benchmarks/{PATH.name}: all of it, or the named sections"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.names:
        if name not in MEASURES:
            parser.error(f"unknown benchmark {name}; there are {', '.join(MEASURES)}")
    return options


def run(name: str, bench: Bench) -> rivals.RivalResult:
    """Run one benchmark with the Python it needs."""
    if name in WITH_RIVALS and not rivals.at_home():
        return rivals.run_with_rivals(name, bench)
    load_before = load()
    result = MEASURES[name](bench)
    result.load = load_before
    return rivals.RivalResult(result, versions())


def main() -> None:
    """Run, show and optionally write the results. A missed target is reported and does not fail the run."""
    options = arguments()
    results: list[rivals.RivalResult] = []
    with tempfile.TemporaryDirectory(prefix="papertape-bench-") as folder:
        for name in options.names or MEASURES:
            own = Path(folder) / name
            own.mkdir()
            results.append(run(name, Bench(own, options.quick, options.full)))
            if options.worker:
                sys.stdout.buffer.write(msgspec.json.encode(results[-1]) + b"\n")
            else:
                show(results[-1].result)
    if options.write and options.names:
        text = replace_sections(PATH.read_text(encoding="utf-8"), [one.result for one in results], quick=options.quick)
        PATH.write_text(text, encoding="utf-8")
    elif options.write:
        numbers = {package: number for one in results for package, number in one.versions.items()}
        text = page([one.result for one in results], numbers, quick=options.quick)
        PATH.write_text(keep_sections_of_programs(text, PATH.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
