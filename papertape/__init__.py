"""An event-sourced paper-trading engine for crypto perpetual futures.

Its rooms are links to the top-level folders of the repository: one name is installed and imported (`papertape.engine`,
`papertape.events`, ...), and no other package's `engine` or `events` can take its place.

For notebooks, `import papertape as pt` offers `pt.candles`, `pt.backtest`, `pt.open_log`, `pt.sweep` and `pt.study`.
Their modules are imported when they are first used, so that a command never waits for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papertape.notebook.backtests import backtest
    from papertape.notebook.logs import open_log
    from papertape.notebook.market import candles
    from papertape.notebook.studies import study
    from papertape.notebook.sweeps import sweep

__all__ = ["backtest", "candles", "open_log", "study", "sweep"]

_HOMES = {"backtest": "backtests", "candles": "market", "open_log": "logs", "study": "studies", "sweep": "sweeps"}


def __getattr__(name: str) -> Any:
    """Return a function for notebooks. Raise AttributeError for any other name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'papertape' has no attribute {name!r}; there are {', '.join(__all__)}")
    return getattr(import_module(f"papertape.notebook.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return what completion offers."""
    return __all__
