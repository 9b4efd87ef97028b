"""`python -m benchmarks [NAME...] [--quick | --full] [--write]`: run the measures, all or the named ones."""

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
from benchmarks.processes import process
from benchmarks.recovery import recovery, replay
from benchmarks.report import PATH, page, replace_sections, show
from benchmarks.state_queries import looks
from benchmarks.telegram import telegram_dead
from benchmarks.timeline import timeline
from benchmarks.token_guessing import tokens
from benchmarks.web import web

MEASURES: dict[str, Callable[[Bench], Result]] = {
    "vectorbt": against_vectorbt,
    "backtesting": against_backtesting,
    "identical": identical,
    "process": process,
    "append": append_one,
    "eventsourcing": append_many,
    "recovery": recovery,
    "replay": replay,
    "live": live,
    "looks": looks,
    "feed": feed,
    "telegram": telegram_dead,
    "timeline": timeline,
    "web": web,
    "tokens": tokens,
    "dashboard": dashboard,
}
WITH_RIVALS = ("vectorbt", "backtesting", "eventsourcing")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes: a check that all works")
    parser.add_argument("--full", action="store_true", help="also recover a log of 5 million events")
    parser.add_argument("--write", action="store_true", help=f"write benchmarks/{PATH.name}: all, or what is named")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name in given.names:
        if name not in MEASURES:
            parser.error(f"{name}: there are {', '.join(MEASURES)}")
    return given


def run(name: str, bench: Bench) -> rivals.RivalResult:
    """One measure, by the Python it needs."""
    if name in WITH_RIVALS and not rivals.at_home():
        return rivals.run_with_rivals(name, bench)
    busy = load()
    result = MEASURES[name](bench)
    result.load = busy
    return rivals.RivalResult(result, versions())


def main() -> None:
    """Measure, show, and write when asked to. A missed target is told, it is no failure of the run."""
    given = arguments()
    told: list[rivals.RivalResult] = []
    with tempfile.TemporaryDirectory(prefix="papertape-bench-") as folder:
        for name in given.names or MEASURES:
            own = Path(folder) / name
            own.mkdir()
            told.append(run(name, Bench(own, given.quick, given.full)))
            if given.worker:
                sys.stdout.buffer.write(msgspec.json.encode(told[-1]) + b"\n")
            else:
                show(told[-1].result)
    if given.write and given.names:
        text = replace_sections(PATH.read_text(encoding="utf-8"), [one.result for one in told], quick=given.quick)
        PATH.write_text(text, encoding="utf-8")
    elif given.write:
        numbers = {package: number for one in told for package, number in one.versions.items()}
        PATH.write_text(page([one.result for one in told], numbers, quick=given.quick), encoding="utf-8")


if __name__ == "__main__":
    main()
