"""Print the memory of a process that only sweeps, in MB: before the first sweep, and at most.

`python -m benchmarks.programs.sweep_memory CANDLES`, with machine code in the cache, as `python -m benchmarks sweeps`
leaves it.
"""

from __future__ import annotations

import sys
from resource import RUSAGE_SELF, getrusage

from benchmarks.market import feed
from benchmarks.measure import one_core
from benchmarks.sweeps import AIMS, MINUTES_OF_A_DAY, grid, run_sets
from papertape.engine.research.set_runs import FEW_SETS
from papertape.engine.research.tape import tape_of


def measure(count: int) -> tuple[float, float]:
    """Return the most memory before and after the sweeps of all strategies over `count` candles."""
    tape = tape_of(feed(-(-count // MINUTES_OF_A_DAY)))
    with one_core():
        for name in AIMS:
            run_sets(tape, name, grid(name)[: FEW_SETS + 1], MINUTES_OF_A_DAY)
        loaded_mb = _most_mb()
        for name in AIMS:
            run_sets(tape, name, grid(name), count)
    return loaded_mb, _most_mb()


def _most_mb() -> float:
    """Return the most memory that this process has had so far."""
    return getrusage(RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    sys.stdout.write("{:.0f} {:.0f}\n".format(*measure(int(sys.argv[1]))))
