"""Names in a query: a strategy or a symbol that the log does not have is refused, not answered with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from papertape.api.view_handler import ViewContext


def check_strategy(context: ViewContext, name: str) -> None:
    """Raise UsageError for a strategy that this log does not have; an empty name is none."""
    views = context.views
    if name and name not in views.runners:
        raise UsageError(f"there is no strategy {name!r} here; there are: {', '.join(views.strategies) or 'none yet'}")


def check_symbol(context: ViewContext, name: str) -> None:
    """Raise UsageError for a symbol that this log does not have; an empty name is none."""
    if not name:
        return
    views = context.views
    traded = (symbol for account in views.portfolio.accounts() for symbol in account.symbols)
    symbols = dict.fromkeys([*views.contracts.by_symbol, *traded])
    if name not in symbols:
        raise UsageError(f"there is no symbol {name!r} here; there are: {', '.join(symbols) or 'none yet'}")
