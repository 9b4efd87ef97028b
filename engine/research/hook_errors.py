"""An error that a strategy's hook raises in CPython during a run over a tape, in one line."""

from __future__ import annotations

import inspect
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState

HOOK_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
"""What a hook may raise: everything but what ends the process."""


def hook_error(error: BaseException, state: EngineState) -> str:
    """Return FILE:LINE: HOOK: the error, with strategy, symbol and time; an empty text if no hook raised it."""
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for runner in state.runners:
        file = inspect.getsourcefile(runner.strategy.hooks.enter)
        own = [(frame, line) for frame, line in frames if frame.f_code.co_filename == file]
        if own:
            place = f"{file}:{own[-1][1]}: {own[0][0].f_code.co_name}"
            return f"{place}: {type(error).__name__}: {error} ({_occasion(runner.strategy, frames, state)})"
    return ""


def _occasion(strategy: Strategy, frames: list[tuple[FrameType, int]], state: EngineState) -> str:
    """Return the strategy, and the symbol and time of the fact that its hook was shown."""
    for frame, _ in frames:
        fact = frame.f_locals.get("fact")
        if hasattr(fact, "time_ms") and hasattr(fact, "symbol"):
            at = datetime.fromtimestamp(fact.time_ms / 1000, UTC)
            return f"{strategy.name} on {list(state.symbols)[fact.symbol]} at {at:%Y-%m-%d %H:%M} UTC"
    return strategy.name
