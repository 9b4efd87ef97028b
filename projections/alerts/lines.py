"""Icons and lines that alerts and answers share: positions, trips, spans, counts.

The first character of a message shows its kind without colour: filled is on, good or stopped by force; hollow is
off, bad or released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import GLOBAL_SCOPE
from papertape.projections.alerts.markup import bold, name, text
from papertape.projections.text.formats import gain, market_time, money, percent, utc
from papertape.projections.text.reasons import loss_percent, reason_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import KillSwitchTripped, Side
    from papertape.projections.folds.kill_switches import State, TripView
    from papertape.projections.folds.portfolio import PositionView

STARTED, STOPPED, FAULT = "●", "○", "✗"
ENTRY: dict[Side, str] = {"long": "▲", "short": "▼"}
WON, LOST, LIQUIDATED = "◆", "◇", "☒"
PART = "◈"
FUNDING, TRIPPED, RESET = "⇄", "■", "□"
PAUSED, RESUMED = "‖", "►"
RELOADED = "↻"
FEED_LOST, FEED_BACK = "⊘", "⊙"
SUSPENDED, TRADABLE = "⊖", "⊕"
WRONG, OVER = "⚠", "✓"
STATE_MARKS: dict[State, str] = {"active": "", "stopped": TRIPPED, "parked": WRONG, "paused": PAUSED}
LINES_NAMED_MAX = 8
NO_POSITIONS = "no open positions"
NO_TRIPS = "no kill switch tripped"
NO_ENTRIES_UNTIL_RESET = "no new positions until reset"
ENTRIES_ALLOWED = "new positions allowed again"


def position_label(strategy: str, symbol: str, side: str) -> str:
    """Return a position's strategy, symbol and side: `momentum · BTCUSDT LONG`."""
    return f"{name(strategy)} · {name(symbol)} {text(side.upper())}"


def position_line(position: PositionView) -> str:
    """Return an open position and its unrealised result."""
    who = position_label(position.strategy, position.symbol, position.side)
    return f"{who} {bold(gain(position.unrealised_usdt))}"


def positions_part(title: str, positions: Sequence[PositionView]) -> list[str]:
    """Return the open positions below a title with their number; nothing without positions."""
    return numbered_part(title, list(map(position_line, positions)))


def numbered_part(title: str, lines: Sequence[str]) -> list[str]:
    """Return lines below a title with their number; nothing without lines."""
    if not lines:
        return []
    shown, more = lines[:LINES_NAMED_MAX], len(lines) - LINES_NAMED_MAX
    return ["", f"{title}: {bold(str(len(lines)))}", *shown, *([f"and {more} more"] if more > 0 else [])]


def still_open_lines(positions: Sequence[PositionView]) -> list[str]:
    """Return the positions that remain open although something stopped."""
    return positions_part("still open", positions) or [NO_POSITIONS]


def scope_label(scope: str) -> str:
    """Return the strategy, or all of them, that a kill switch stops."""
    return "all strategies" if scope == GLOBAL_SCOPE else name(scope)


def scope_title(scope: str) -> str:
    """Return the scope for a heading, where all strategies are in capitals."""
    return "ALL STRATEGIES" if scope == GLOBAL_SCOPE else name(scope)


def trip_line(trip: TripView) -> str:
    """Return a trip with its scope, its loss and its time."""
    return f"{TRIPPED} {scope_label(trip.scope)}: {text(loss_words(trip))}, {text(market_time(trip.tripped_at_ms))}"


def loss_words(trip: TripView | KillSwitchTripped) -> str:
    """Return the reason of a trip, as short as possible: `session loss 5.02 %`."""
    if trip.reason == "manual":
        return "tripped manually"
    return f"{reason_words(trip.reason)} {percent(loss_percent(trip.base_usdt, trip.equity_usdt))}"


def span(from_ms: int, until_ms: int) -> str:
    """Return a span of time in UTC; the date only once if it is the same."""
    (first_day, first), (last_day, last) = utc(from_ms).split(" "), utc(until_ms).split(" ")
    return f"{first_day} {first} to {last if last_day == first_day else f'{last_day} {last}'} UTC"


def closed_text(trades: int, wins: int) -> str:
    """Return closed trades with the share of wins: `2 trades closed, 1 won (50 %)`."""
    if trades == 0:
        return "no trades closed"
    return f"{count_text(trades, 'trade')} closed, {wins:,} won ({text(percent(wins / trades * 100.0))})"


def parts_text(adds: int, partial_exits: int) -> list[str]:
    """Return how often positions were enlarged and reduced, on one line; nothing if never."""
    counts = [count_text(n, noun) for n, noun in ((adds, "add"), (partial_exits, "partial exit")) if n]
    return [" · ".join(counts)] if counts else []


def costs_text(fees_usdt: float, funding_usdt: float) -> str:
    """Return fees and funding on one line."""
    return f"fees {text(money(fees_usdt))} · funding {text(gain(funding_usdt))}"


def count_text(n: int, noun: str) -> str:
    """Return a count with its noun: `1 trade`, `1,200 trades`."""
    return text(f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s")
