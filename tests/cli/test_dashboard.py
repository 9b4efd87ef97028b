"""The live view of an engine on a terminal."""

from __future__ import annotations

import time

from rich.console import Console

from papertape.cli.render.dashboard import Dashboard
from papertape.projections.host import fold
from tests.alerts.example_day import A_DAY, market
from tests.build import recorded


def shown(screen: Dashboard, seq: int) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(screen.frame(console, seq, len(LOG), 0.0))
    return capture.get()


LOG = recorded([*market(), *A_DAY])


def test_no_figure_of_a_part_of_the_log_is_shown_while_it_is_read() -> None:
    screen = Dashboard("bitget", 0.0, len(LOG))
    assert f"reading the log: 0 of {len(LOG)} events" in shown(screen, 0)
    fold(screen.folds, LOG[:9])
    assert "USDT" not in shown(screen, 9)
    fold(screen.folds, LOG[9:])
    assert f"equity {screen.portfolio.view().equity_usdt:,.2f} USDT" in shown(screen, len(LOG))


def test_the_result_of_an_old_day_has_its_date() -> None:
    screen = Dashboard("bitget", 0.0, len(LOG))
    fold(screen.folds, LOG)
    frame = shown(screen, len(LOG))
    assert "today" not in frame
    assert time.strftime("%Y-%m-%d", time.gmtime(screen.portfolio.at_ms / 1_000.0)) in frame
