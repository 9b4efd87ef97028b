"""What numba says of a strategy that it cannot compile, in one line; the whole text goes to a file."""

from __future__ import annotations

import inspect
import re
import traceback
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Any, Final

from numba.core.errors import NumbaError

from papertape.engine.contract.breach import suggestion
from papertape.engine.contract.source_check import check_source
from papertape.engine.research.loop_cache import private_folder
from papertape.engine.research.numba_callees import failed_functions
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FunctionType

    from papertape.engine.kernel.strategy import Strategy

LONG_S: Final = 1.0
"""A compilation that takes longer is announced."""
REASON_CHARS_MAX: Final = 200
COMPILER_ERRORS: Final = (NumbaError, LookupError, TypeError, ValueError, AttributeError, NotImplementedError)
NOISE: Final = re.compile(r"\x1b\[\d*m|^\s*(During|File|raised from|There are|- Of which|Failed in|>>>)|^\s*$")
RECORD: Final = re.compile(r"(?:unaligned )?(?:Record|\w+Tuple|\w+View\w*|array)\([^()]*\)")
"""numba's names of Structs, with all their fields; they nest."""


@contextmanager
def compiling(strategy: Strategy, tell: Callable[[str], None]) -> Iterator[None]:
    """Tell when the first call of a strategy's loop compiles for long. Raise ConfigError if it cannot be compiled."""
    failed_functions.clear()
    timer = Timer(LONG_S, tell, [f"compiling {strategy.name} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    except COMPILER_ERRORS as error:
        if not failed_functions:
            raise
        raise ConfigError(_refusal(strategy, error)) from None
    finally:
        timer.cancel()
        failed_functions.clear()


def refuse_uncompilable(strategy: Strategy) -> None:
    """Raise ConfigError for a strategy that only CPython can run."""
    for breach in check_source(strategy.source) if "print(" in strategy.source else ():
        if breach.runs_in_python:
            raise ConfigError(f"strategy {breach.on_one_line(_file(strategy))}")


def _file(strategy: Strategy) -> str:
    """Return the path of a strategy's file."""
    return str(inspect.getsourcefile(strategy.hooks.enter))


def _refusal(strategy: Strategy, error: BaseException) -> str:
    """Return FILE:LINE: HOOK: why, and the file with numba's whole text."""
    file = _file(strategy)
    own = [failed for failed in failed_functions if failed[0].__code__.co_filename == file]
    place = f"{file}:{_line(*own[0])}: {own[-1][0].__name__}" if own else f"{file}: {strategy.name}"
    return f"strategy {place}: {_reason(failed_functions[0][1])}{_written(strategy.name, error)}"


def _line(function: FunctionType, error: BaseException) -> int:
    """Return the line of a function that an error of the compiler speaks of."""
    spoken = [error, *(frame.f_locals.get("constraint") for frame, _ in traceback.walk_tb(error.__traceback__))]
    for one in reversed(spoken):
        loc = getattr(one, "loc", None)
        if loc is not None and getattr(loc, "filename", "") == function.__code__.co_filename:
            return int(loc.line)
    return function.__code__.co_firstlineno


def _reason(error: BaseException) -> str:
    """Return the first sentence of an error that says something, with the nearest name of a missing field."""
    if isinstance(error, KeyError):
        return f"there is no field {error.args[0]}; {suggestion(str(error.args[0]), _record_fields(error))}"
    for line in str(error).splitlines():
        text = NOISE.sub("", line).strip() if NOISE.match(line) is None else ""
        if text:
            while RECORD.search(text):
                text = RECORD.sub("a Struct", text)
            return text[:REASON_CHARS_MAX]
    return type(error).__name__


def _record_fields(error: BaseException) -> list[str]:
    """Return the fields of the record in which a field was looked for."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        fields: Any = getattr(frame.f_locals.get("record", frame.f_locals.get("self")), "fields", None)
        if isinstance(fields, dict):
            return list(fields)
    return []


def _written(name: str, error: BaseException) -> str:
    """Write numba's whole text to a private file; return where it is, or nothing if it could not be written."""
    try:
        path = private_folder() / f"{name}.txt"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError:
        return ""
    return f" (numba's whole text: {path})"
