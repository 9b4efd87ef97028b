"""`papertape replay`: accounts, positions, orders and kill switches as of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.cli.render.console import (
    Column,
    gain_cell,
    notes,
    percent_cell,
    percents,
    plain,
    print_table,
    state_cell,
    stdout,
)
from papertape.cli.render.positions import show_standing
from papertape.projections.text.formats import money, utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.cli.render.positions import Listed
    from papertape.engine.recovery import RecoveredState
    from papertape.projections.folds.portfolio import AccountView, PortfolioView


def show_accounts(view: PortfolioView, contracts: Listed, digest: str, recovered: RecoveredState) -> None:
    """Show the state, and how it was recovered."""
    console = stdout()
    at = f"{utc(view.at_ms)} UTC" if view.at_ms else "before the first candle"
    hidden = print_table(account_columns(view.accounts), console, f"Accounts as of seq {recovered.seq:,}, {at}")
    show_standing(console, view, contracts, at)
    base = f"after the snapshot at {recovered.snapshot_seq:,}" if recovered.snapshot_seq else "from the beginning"
    origin = f"{recovered.replayed_events:,} events folded {base} in {recovered.took_ms:,.0f} ms"
    notes(console, [hidden, origin, f"digest {digest}"])


def account_columns(accounts: Sequence[AccountView]) -> list[Column]:
    """Return the columns of accounts; the rank decides which stay on a narrow terminal."""
    return [
        Column("strategy", plain(one.strategy for one in accounts), justify="left"),
        Column("state", [state_cell(one.state) for one in accounts], justify="left"),
        Column("equity USDT", plain(money(one.equity_usdt) for one in accounts)),
        Column("net", [percent_cell(one.net_return_percent) for one in accounts]),
        Column("cash", plain(money(one.cash_usdt) for one in accounts), rank=1),
        Column("open", [gain_cell(one.unrealised_usdt) for one in accounts], rank=2),
        Column("day", [gain_cell(one.day_result_usdt) for one in accounts], rank=3),
        Column("max DD", percents((one.max_drawdown_percent for one in accounts), ".2f"), rank=4),
        Column("fees", plain(money(one.fees_usdt) for one in accounts), rank=5),
        Column("funding", [gain_cell(one.funding_usdt) for one in accounts], rank=6),
    ]
