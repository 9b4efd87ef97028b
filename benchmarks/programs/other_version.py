"""Compare the built-in strategies with another version: `python -m benchmarks.programs.other_version CHECKOUT [DAYS]`.

CHECKOUT is a checkout of that version with an environment of its own (`make setup`). Both run the same simulated 1m
candles in processes of their own, in turn. Decisions are compared by their number and by the equity after every candle.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, cast

import msgspec
from msgspec import Struct

from benchmarks.measure import ROOT
from papertape.engine.strategy_registry import BUILT_IN_ORDER

ROUNDS: Final = {"compiled": 15, "python": 3}
DAYS: Final = 90
PROGRAM: Final = """
import hashlib, sys, time
from functools import cache
from benchmarks.market import feed, runners, strategies
from papertape.engine.research.backtest import backtest
feed = cache(feed)
for line in sys.stdin:
    name, engine, days = line.split()
    tape, known, settings = feed(int(days)), strategies(), runners(name)
    begun = time.process_time()
    run = backtest(tape, known, settings, engine)
    spent_s = time.process_time() - begun
    equities = hashlib.sha256(b"".join(bytes(memoryview(one)) for one in run.equities)).hexdigest()
    print(f'{{"spent_s": {spent_s}, "decided": "{len(run.decided)} {equities}"}}', flush=True)
"""


class Spent(Struct, frozen=True):
    """The processor time of a run in seconds, and its decisions: their number and a digest of all equities."""

    spent_s: float
    decided: str


class Version:
    """A process that runs backtests with the sources and the environment of a checkout."""

    def __init__(self, checkout: Path, stack: ExitStack) -> None:
        command = [str(checkout / ".venv" / "bin" / "python"), "-c", PROGRAM]
        process = subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process = stack.enter_context(process)

    def run(self, name: str, engine: str, days: int) -> Spent:
        """Run a strategy once."""
        asked, answers = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        asked.write(f"{name} {engine} {days}\n")
        asked.flush()
        return msgspec.json.decode(answers.readline(), type=Spent)


def rows(other: Path, days: int) -> list[str]:
    """Return the table in Markdown: the best rounds of both versions, and the speed of this one against the other."""
    lines = [
        "| strategy | engine | other version, ms | this version, ms | speed | decisions |",
        "|---|---|---|---|---|---|",
    ]
    with ExitStack() as stack:
        both = Version(other, stack), Version(ROOT, stack)
        for engine, rounds in ROUNDS.items():
            for name in BUILT_IN_ORDER:
                for version in both:  # The first run reads the tape, and compiles.
                    version.run(name, engine, days)
                spent = [[version.run(name, engine, days) for version in both] for _ in range(rounds)]
                old_s, new_s = (min(run.spent_s for run in side) for side in zip(*spent, strict=True))
                same = "equal" if len({run.decided for pair in spent for run in pair}) == 1 else "DIFFERENT"
                times = f"{old_s * 1e3:,.1f} | {new_s * 1e3:,.1f} | {old_s / new_s:.2f}x"
                lines.append(f"| {name} | {engine} | {times} | {same} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join([*rows(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else DAYS), ""]))
