"""Which engine is quicker for a run: CPython, which starts at once, or compiled code, which may have to be compiled."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

ENGINES: Final = ("auto", "python", "compiled")
PYTHON_FACTS_PER_S: Final = 150_000
"""Facts of one strategy that CPython processes in a second."""
IMPORT_S: Final = 0.6
"""The time to import the compiler and to load compiled code."""
COMPILE_S: Final = 7.0
"""The time to compile the loop of one strategy."""
SHARED_S: Final = 18.0
"""The time to compile what all loops share, once for each version of papertape."""
ROW_BYTES: Final = 45
PACKED_ROW_BYTES: Final = 18
"""About the bytes of a candle in a text file and in a compressed one."""


def is_installed() -> bool:
    """Return whether the compiler is installed."""
    return find_spec("numba") is not None


def check_engine(engine: str) -> None:
    """Raise UsageError for an engine that does not exist or is not installed."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: there are {', '.join(ENGINES)}")
    if engine == "compiled" and not is_installed():
        raise UsageError("--engine compiled needs numba: install papertape with its extra `research`")


def import_s() -> float:
    """Return the time that the compiler needs to start: infinite if it is not installed, none if it is loaded."""
    if not is_installed():
        return inf
    return 0.0 if "numba" in sys.modules else IMPORT_S


def is_worth_importing(engine: str, facts: int, strategies: int, import_s: float) -> bool:
    """Return whether a run is long enough to import the compiler for it, which takes `import_s`."""
    return engine == "compiled" or (engine == "auto" and python_s(facts, strategies) > import_s)


def is_worth_compiling(facts: int, strategies: int, compile_s: float) -> bool:
    """Return whether a run is long enough to be worth `compile_s` seconds of compiling."""
    return python_s(facts, strategies) > compile_s


def python_s(facts: int, strategies: int) -> float:
    """Return about how many seconds CPython needs for a run."""
    return facts * strategies / PYTHON_FACTS_PER_S


def rows_about(files: Iterable[str]) -> int:
    """Return about how many rows files have, by their size; names may be written as SYMBOL=PATH."""
    rows = 0
    for name in files:
        path = Path(name.rpartition("=")[2] if "=" in name else name)
        if path.is_file():
            rows += path.stat().st_size // (ROW_BYTES if path.suffix == ".csv" else PACKED_ROW_BYTES)
    return rows
