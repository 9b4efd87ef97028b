"""Demonstrate one strategy: its orders on a few days of the simulated market.

`python -m papertape.engine.strategies.momentum` prints every order with its reason and conditions. An own strategy that
ends like the built-in ones does the same.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime

import msgspec

from papertape.engine.feeds.sim.feed import SimFeed
from papertape.engine.feeds.sim.script import SimSettings
from papertape.engine.kernel.strategy import Strategy, strategy_from
from papertape.engine.ports.clock import SystemClock
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.events.facts import OrderPlaced

DAYS = 5


def show_orders() -> None:
    """Print the orders of the strategy in the file that is run over a few days of the simulated market."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # End quietly in front of `head`.
    asyncio.run(_show(strategy_from(sys.modules["__main__"])))


async def _show(strategy: Strategy) -> None:
    """Run the strategy alone and print its orders."""
    feed = SimFeed(SimSettings(days=DAYS), SystemClock())
    state = new_state({strategy.name: strategy})
    for event in configuration(state.strategies, feed.contracts(), {strategy.name: RunnerSettings()}):
        decide(state, event, 1)
    sys.stdout.write(f"{strategy.about}\n\n")
    async for batch in feed.facts({}, None):
        for fact in batch:
            for entry in decide(state, fact, 1)[1:]:
                if isinstance(entry.event, OrderPlaced):
                    sys.stdout.write(_format_order(strategy, entry.event))


def _format_order(strategy: Strategy, order: OrderPlaced) -> str:
    """Return an order with its reason and, for an entry, its conditions."""
    at = datetime.fromtimestamp(order.at_ms / 1000, UTC).strftime("%m-%d %H:%M")
    lines = [f"{at}  {order.symbol:<9} {order.action} {order.side:<5} {order.reason}"]
    if order.action == "entry" and strategy.explain is not None:
        reading = msgspec.convert(order.readings, strategy.reading, strict=False)
        side = 1 if order.side == "long" else -1
        lines += [
            f"      {'x' if one.met else ' '} {one.name}: {one.value:g} {one.relation} {one.threshold:g}"
            for one in strategy.explain(reading, strategy.parameters(), side)
        ]
    return "\n".join(lines) + "\n"
