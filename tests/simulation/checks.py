"""What must hold after every schedule."""
from __future__ import annotations
from contextlib import closing
from typing import TYPE_CHECKING
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.facts import CandleClosed
from papertape.events.units import MINUTE_MS
if TYPE_CHECKING:
    from tests.simulation.machine import Machine

def is_calm(machine: Machine) -> bool:
    life = machine.life
    if life is None or life.engine is None or life.services is None:
        return False
    engine = life.engine
    now_ms = machine.exchange.now_ms()
    behind = [now_ms - market.close_time_ms for market in engine.loop.state.markets]
    return engine.loop.state.markets and max(behind) < 2*MINUTE_MS and life.services.delivery.lag_events == 0 and life.services.delivery.oldest_unsent_ms == 0

def check(machine, wrong):
    if not machine.db.exists():
        return "", 0
    with closing(SqliteLogReader(machine.db)) as reader:
        rows = list(reader.commits())
        head = reader.head()
    events=[r for c in rows for r in c.recorded()]
    for symbol in machine.config.feed.bitget.symbols:
        opens=[r.event.open_time_ms for r in events if isinstance(r.event, CandleClosed) and r.event.symbol==symbol]
        if opens != list(range(opens[0], opens[-1]+1, MINUTE_MS)) if opens else True:
            wrong.append(f"{symbol}: candles {len(opens)}")
    return head.hash.hex()[:16], len(events)
