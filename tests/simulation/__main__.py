"""Replay schedules: `python -m tests.simulation SEED` with a trace, `python -m tests.simulation FIRST LAST` in short.

`python -m tests.simulation --broken NAME [SCHEDULES]` breaks a promise and looks for the schedule that notices.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation.broken import BROKEN
from tests.simulation.schedule import Outcome, find_broken, run_schedule

SCHEDULES = 300


def main() -> int:
    """Run what was asked for; the exit code is the number of schedules in which something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--broken", choices=[one.name for one in BROKEN], help="the promise to break")
    parser.add_argument("numbers", type=int, nargs="*", metavar="SEED")
    asked = parser.parse_args()
    if asked.broken is not None:
        [broken] = [one for one in BROKEN if one.name == asked.broken]
        found = find_broken(broken, range(*(asked.numbers or [SCHEDULES])))
        print("\n".join(_lines(found)) if found is not None else "no schedule noticed it")
        return int(found is None)
    first, last = asked.numbers[0], asked.numbers[-1]
    outcomes = (run_schedule(seed) for seed in range(first, last + 1))
    failed = 0
    for outcome in outcomes:
        failed += bool(outcome.wrong)
        print("\n".join(_lines(outcome) if first == last else [_summary(outcome)]), flush=True)
    return min(failed, 1)


def _summary(outcome: Outcome) -> str:
    state = "; ".join(outcome.wrong) or "well"
    return (
        f"schedule {outcome.seed}: {state} ({outcome.events:,} events, {outcome.virtual_s / 60.0:.0f} min, "
        f"{outcome.starts} starts, {outcome.kills} kills, {outcome.sealed} segments, log {outcome.log_digest[:16]})"
    )


def _lines(outcome: Outcome) -> list[str]:
    """Return the trace of a schedule, and what it has shown."""
    return [*(f"{at_s:9.3f} s  {text}" for at_s, text in outcome.lines), _summary(outcome)]


if __name__ == "__main__":
    sys.exit(main())
