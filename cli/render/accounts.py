"""`papertape replay`: accounts, positions, orders and kill switches as of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.render.console import Column, gain_cell, notes, percent_cell, plain, state_cell, stdout, table
from papertape.cli.render.positions import show_standing
from papertape.projections.text.formats import money, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.render.positions import Listed
    from papertape.engine.recovery import RecoveredState
    from papertape.projections.folds.portfolio import AccountView, PortfolioView


def show_accounts(view: PortfolioView, contracts: Listed, digest: str, found: RecoveredState) -> None:
    """Show the state, and how it was found."""
    console = stdout()
    at = f"{utc(view.at_ms)} UTC" if view.at_ms else "before the first candle"
    made, left_out = table(account_columns(view.accounts), console, f"Accounts as of seq {found.seq:,}, {at}")
    console.print(made)
    show_standing(console, view, contracts, at)
    behind = f"behind the snapshot at {found.snapshot_seq:,}" if found.snapshot_seq else "from the beginning"
    how = f"{found.replayed_events:,} events folded {behind} in {found.took_ms:,.0f} ms"
    notes(console, [left_out, how, f"digest {digest}"])


def account_columns(accounts: Sequence[AccountView]) -> list[Column]:
    """The columns of accounts; the rank says which stay where there is little room."""
    return [
        Column("strategy", plain(one.strategy for one in accounts), justify="left"),
        Column("state", [state_cell(one.state) for one in accounts], justify="left"),
        Column("equity USDT", plain(money(one.equity_usdt) for one in accounts)),
        Column("net", [percent_cell(one.net_return_percent) for one in accounts]),
        Column("cash", plain(money(one.cash_usdt) for one in accounts), rank=1),
        Column("open", [gain_cell(one.unrealised_usdt) for one in accounts], rank=2),
        Column("day", [gain_cell(one.day_result_usdt) for one in accounts], rank=3),
        Column("max DD", plain(f"{one.max_drawdown_percent:.2f} %" for one in accounts), rank=4),
        Column("fees", plain(money(one.fees_usdt) for one in accounts), rank=5),
        Column("funding", [gain_cell(one.funding_usdt) for one in accounts], rank=6),
    ]
