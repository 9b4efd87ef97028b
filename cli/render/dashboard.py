"""The live view of an engine on a terminal: arena, positions and the latest events, a few times per second."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from papertape.cli.keeper.child import PAGE
from papertape.cli.render.arena import arena_columns
from papertape.cli.render.console import BAD, GOOD, QUIET, STYLES, gain_colour, stdout, table
from papertape.cli.render.positions import market_lines, position_columns
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.contracts import Contracts
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import Cursor, Projection, follow
from papertape.projections.text.event_lines import EventLine, event_line, is_notable
from papertape.projections.text.formats import day_words, gain, gain_percent, money, utc

if TYPE_CHECKING:
    from rich.console import Console

    from papertape.cli.config.sections import Config
    from papertape.engine.startup import Engine
    from papertape.events.log import Recorded
    from papertape.projections.folds.portfolio import PortfolioView

FRAMES_A_SECOND = 4
LAST_EVENTS = 12
POSITIONS_SHOWN_MAX = 8
MARKET_LINES_MAX = 4
RATE_WINDOW_S = 5.0


class RecentEvents:
    """The newest notable events in words."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self.lines: deque[tuple[Recorded, EventLine]] = deque(maxlen=LAST_EVENTS)

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        if is_notable(recorded.event):
            self.lines.append((recorded, event_line(recorded, self._contracts.by_symbol)))


class EventRate:
    """Events per second over the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, seq: int) -> float:
        """Return the current rate, with the log at `seq`."""
        self._marks.append((now_s, seq))
        while len(self._marks) > 1 and now_s - self._marks[0][0] > RATE_WINDOW_S:
            self._marks.popleft()
        first_s, first_seq = self._marks[0]
        return (seq - first_seq) / (now_s - first_s) if now_s > first_s else 0.0


class Dashboard:
    """Everything that the live view shows, as folds over the log; no figure before they reach event `first_seq`."""

    def __init__(self, feed: str, speed: float, first_seq: int = 0) -> None:
        self.feed, self.speed, self.first_seq = feed, speed, first_seq
        self.portfolio, self.trades, self.contracts = Portfolio(), Trades(), Contracts()
        self.last = RecentEvents(self.contracts)
        self.arena = Arena(self.portfolio, self.trades)
        self.folds: list[Projection] = [self.contracts, self.portfolio, self.trades, self.last]

    def frame(self, console: Console, seq: int, head_seq: int, rate: float) -> Group:
        """Return a picture of the state at `seq`."""
        if seq < self.first_seq:
            return Group(_panel(Text(f"reading the log: {seq:,} of {self.first_seq:,} events", style=QUIET)))
        view = self.portfolio.view()
        parts: list[RenderableType] = [_header(view, self.feed, self.speed, head_seq, rate)]
        if seq < head_seq:
            parts.append(Text(f" folding the log: {seq:,} of {head_seq:,} events", style=QUIET))
        parts += market_lines(view)[:MARKET_LINES_MAX]
        rows = self.arena.rows()
        if rows:
            parts.append(table(arena_columns(rows), console, " Arena")[0])
        parts += [Text(), self._positions(console, view), Text()]
        parts.append(self._events(console))
        return Group(*parts)

    def _positions(self, console: Console, view: PortfolioView) -> Group | Text:
        if not view.positions:
            return Text(" No open positions: no strategy's entry conditions are met.\n", style=QUIET)
        shown = view.positions[:POSITIONS_SHOWN_MAX]
        hidden = len(view.positions) - len(shown)
        positions = table(position_columns(shown, self.contracts.by_symbol), console, " Open positions")[0]
        return Group(positions, Text(f" and {hidden} more", style=QUIET)) if hidden else Group(positions)

    def _events(self, console: Console) -> Panel:
        text = Text(no_wrap=True, overflow="ellipsis")
        for recorded, line in self.last.lines:
            text.append(f"{recorded.seq:>9,}  {utc(recorded.event.at_ms)[5:]}  ", style=QUIET)
            text.append(f"{line.icon} {line.text}\n", style=STYLES[line.kind])
        if not self.last.lines:
            text.append("waiting for the first event", style=QUIET)
        text.rstrip()
        return Panel(text, title="Latest events", title_align="left", border_style=QUIET, width=console.width)


def _header(view: PortfolioView, feed: str, speed: float, seq: int, rate: float) -> Panel:
    """Return the header: market time, speed, progress, equity, and tripped kill switches."""
    pace = f"{speed:g}x" if speed > 0.0 else "as fast as possible"
    market = f"{utc(view.at_ms)} UTC" if view.at_ms else "before the first candle"
    result, day = view.equity_usdt - view.capital_usdt, day_words(view.at_ms, int(time.time() * 1_000.0))
    text = Text.assemble(
        ("PAPER", "bold reverse"), f"  {feed}  {market}  {pace}  ", (f"seq {seq:,}  {rate:,.0f} events/s\n", QUIET),
        "equity ", (f"{money(view.equity_usdt)} USDT", "bold"), "  ",
        (f"{gain(result)} ({gain_percent(100.0 * result / view.capital_usdt if view.capital_usdt else 0.0)})",
         gain_colour(result)),
        f"  {day} {gain(view.day_result_usdt)}  {len(view.positions)} open  ",
    )  # fmt: skip
    stopped = ", ".join(trip.scope for trip in view.trips)
    text.append(f"■ stopped: {stopped}" if stopped else "● no kill switch is tripped", style=BAD if stopped else GOOD)
    if page := os.environ.get(PAGE):
        text.append(f"\n{page}", style="bold")
    return _panel(text)


def _panel(text: Text) -> Panel:
    return Panel(text, title="papertape", title_align="left", border_style=QUIET)


async def watch(running: Engine, config: Config) -> None:
    """Show the engine until it ends; follow the log from its beginning, so that the arena is complete."""
    screen, console = Dashboard(config.feed.kind, config.feed.speed, running.bus.head_seq), stdout()
    cursor, reader = Cursor(), running.log.reader()
    following = asyncio.ensure_future(follow(reader, running.bus, screen.folds, cursor))
    rate = EventRate()
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while not following.done():
                head = running.bus.head_seq
                live.update(screen.frame(console, cursor.seq, head, rate.at(time.monotonic(), head)), refresh=True)
                await asyncio.wait([following], timeout=1.0 / FRAMES_A_SECOND)
        await following
        console.print(screen.frame(console, cursor.seq, running.bus.head_seq, 0.0))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        reader.close()
