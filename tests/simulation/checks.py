"""What must hold after every schedule.

* The log is whole, and every decision in it is what the code decides again on the recorded inputs.
* State: what every process started with, and every snapshot, is the fold of the log.
* Candles: each that the exchange closed is in the log once, with the exchange's numbers, on time only if it was.
* Kill switches: no entry between a trip and its reset. Signals: each once.
* Alerts: each arrived at least once, alone or in a digest; what came again is marked.
* Bounds: tasks, streams, unread frames, and requests within the exchange's limits; no exception that nobody saw.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

from papertape.engine.command_queue import WAITING_MAX
from papertape.engine.reducer.reducer import apply, groups
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.reducer.state import new_state
from papertape.engine.startup import snapshot_store
from papertape.engine.verify import verify
from papertape.events.errors import LogDamaged, PapertapeError
from papertape.events.facts import (
    GLOBAL_SCOPE,
    CandleClosed,
    EngineStarted,
    EngineStopped,
    KillSwitchReset,
    KillSwitchTripped,
    OrderPlaced,
    PositionOpened,
    SignalReceived,
    Timing,
)
from papertape.events.segments.sealing import next_segment_end
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.units import MINUTE_MS
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.digest import DIGEST
from papertape.projections.alerts.markup import plain_text
from papertape.projections.telegram.text import REPEAT_MARK

if TYPE_CHECKING:
    from papertape.events.log import Recorded
    from papertape.sandbox.telegram.chats import BotMessage
    from tests.simulation.machine import Machine

ON_TIME_MS_MAX: Final = 48_000
"""A candle may open positions 30 s after its close; the rest is a slow disk and a clock that was just set."""
BEHIND_MS_MAX: Final = 2 * MINUTE_MS
SEALED_AFTER_MS: Final = 3 * MINUTE_MS
"""A schedule lasts for minutes, so it seals minutes instead of whole days,"""
SEGMENT_EVENTS_MIN: Final = 30
"""and small segments."""
TASKS_MAX: Final = 40 + WAITING_MAX
"""Those of an engine and its services, and one for each command or signal that waits for a slow disk."""
STREAMS_MAX: Final = 2
"""One, and the next one while it takes over."""
SPAN: Final = re.compile(r"#(\d+) to #(\d+)")


def is_well(machine: Machine) -> bool:
    """Return whether the engine runs, has every candle, has told its owner everything, and has sealed what is old."""
    life = machine.life
    if life is None or life.engine is None or life.services is None:
        return False
    markets, delivery = life.engine.loop.state.markets, life.services.delivery
    newest_ms = min((market.close_time_ms for market in markets), default=0)
    is_fed = newest_ms > machine.exchange.now_ms() - BEHIND_MS_MAX
    with closing(SqliteLogReader(machine.db)) as reader:
        old_ms = machine.clock.now_ms() - SEALED_AFTER_MS - BEHIND_MS_MAX
        is_sealed = next_segment_end(reader, old_ms, SEGMENT_EVENTS_MIN) is None
    return is_fed and is_sealed and delivery.oldest_unsent_ms == 0 and delivery.lag_events == 0


def check(machine: Machine) -> tuple[list[str], str, int]:
    """Return what is wrong, the hash that chains the whole log, and the number of its events."""
    with closing(SqliteLogReader(machine.db)) as reader:
        try:
            reader.verify_tail()
            events = [recorded for commit in reader.commits() for recorded in commit.recorded()]
            report = verify(reader, snapshot_store(machine.db, machine.warn), machine.strategies)
        except LogDamaged as damage:
            return [f"log: {damage}"], "", 0
        head = reader.head()
    difference = [f"decisions: {report.difference}"] if report.difference is not None else []
    wrong = [
        *difference,
        *_states(machine, events),
        *_candles(machine, events),
        *_entries(events),
        *_signals(events),
        *_alerts(machine, events),
        *_bounds(machine),
    ]
    return wrong, head.hash.hex(), len(events)


def _states(machine: Machine, events: list[Recorded]) -> list[str]:
    """Compare the state with which each process started with the fold of the log before it."""
    started = {one.engine.recovered.seq: one.engine.digest_at_start for one in machine.lives if one.engine is not None}
    state, wrong = new_state(machine.strategies), []
    folded = {0: state_digest(state)} if 0 in started else {}
    for group in groups(iter(events)):
        try:
            apply(state, group)
        except PapertapeError as refused:
            return [f"state: the fold refuses seq {group[-1].seq}: {refused}"]
        if (seq := group[-1].seq) in started:
            folded[seq] = state_digest(state)
    for seq, digest in started.items():
        if folded.get(seq) != digest:
            wrong.append(f"state: a process started at seq {seq} with {digest}, the fold is {folded.get(seq)}")
    return wrong


def _candles(machine: Machine, events: list[Recorded]) -> list[str]:
    wrong = []
    for symbol in machine.config.feed.bitget.symbols:
        found = [(one.seq, one.event) for one in events if isinstance(one.event, CandleClosed)]
        own = [(seq, candle) for seq, candle in found if candle.symbol == symbol]
        opens_ms = [candle.open_time_ms for _, candle in own]
        if not opens_ms or opens_ms != list(range(opens_ms[0], opens_ms[-1] + 1, MINUTE_MS)):
            wrong.append(f"candles: {symbol} has {len(opens_ms)} with holes, repeats, or out of order")
            continue
        truth = machine.exchange.history(symbol, opens_ms[0], opens_ms[-1] + 1)
        for (seq, candle), row in zip(own, truth, strict=True):
            numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
            if numbers != (row.open, row.high, row.low, row.close, row.volume):
                wrong.append(f"candles: {symbol} at seq {seq} is {numbers}, the exchange has {row}")
            after_ms = machine.committed_ms(seq) - candle.at_ms
            if candle.timing is Timing.ON_TIME and after_ms > ON_TIME_MS_MAX:
                wrong.append(f"candles: {symbol} at seq {seq} counts as on time {after_ms} ms after its close")
    return wrong


def _entries(events: list[Recorded]) -> list[str]:
    """Return the entries of strategies whose own switch or the global one was tripped."""
    tripped: set[str] = set()
    wrong = []
    for seq, event in ((one.seq, one.event) for one in events):
        match event:
            case KillSwitchTripped(scope=scope):
                tripped.add(scope)
            case KillSwitchReset(scope=scope):
                tripped.discard(scope)
            case OrderPlaced(action="entry") | PositionOpened():
                if {event.strategy, GLOBAL_SCOPE} & tripped:
                    wrong.append(f"entries: {event.strategy} at seq {seq} although its switch is tripped")
            case _:
                pass
    return wrong


def _signals(events: list[Recorded]) -> list[str]:
    """Return the signals that are in the log more than once."""
    found = Counter((one.event.source, one.event.id) for one in events if isinstance(one.event, SignalReceived))
    return [f"signals: {id_} of {source} came in {count} times" for (source, id_), count in found.items() if count > 1]


# ---------------------------------------------------------------- alerts


def _alerts(machine: Machine, events: list[Recorded]) -> list[str]:
    """Derive all alerts again, and look for each in the chat."""
    fold, wrong = Alerts(machine.config.alerts), []
    messages = machine.chat.messages
    arrived = Counter(_body(one) for one in messages)
    unmarked = Counter(_body(one) for one in messages if not one.text.endswith(REPEAT_MARK))
    digests = [tuple(map(int, SPAN.findall(one.text)[0])) for one in messages if one.text.startswith(DIGEST)]
    for recorded in events:
        fold.apply(recorded)
        alert = fold.alert_of(recorded)
        if alert is None:
            continue
        body = _body_of_text(plain_text(alert.html), is_start=isinstance(recorded.event, EngineStarted))
        if recorded is events[-1] and isinstance(recorded.event, EngineStopped):
            continue  # Where the chat's pace leaves no time for it, the next start sends it.
        if not arrived[body] and not any(first <= alert.seq <= last for first, last in digests):
            wrong.append(f"alerts: {alert.key} never arrived")
        if unmarked[body] > 1:
            wrong.append(f"alerts: {alert.key} came {unmarked[body]} times unmarked")
    return wrong


def _body(message: BotMessage) -> str:
    return _body_of_text(message.text, is_start=" started\n" in message.text)


def _body_of_text(text: str, *, is_start: bool) -> str:
    """Return a message without its mark; of a start only its last line, because others tell of the process."""
    lines = [line for line in text.splitlines() if line != REPEAT_MARK]
    return f"start {lines[-1]}" if is_start and lines else "\n".join(lines)


# ---------------------------------------------------------------- bounds


def _bounds(machine: Machine) -> list[str]:
    wrong = [f"unseen: {text}" for text in machine.unseen]
    if machine.streams_most > STREAMS_MAX:
        wrong.append(f"bounds: {machine.streams_most} streams of one process at once")
    if machine.tasks_most > TASKS_MAX:
        wrong.append(f"bounds: {machine.tasks_most} tasks at once")
    # A ping that the network has swallowed is not the client's fault.
    breaches = [one for one in machine.exchange.statistics.breaches if one.limit != "ping"]
    if breaches and not machine.was_skewed:
        wrong.append(f"bounds: the exchange's limits were exceeded {len(breaches)} times, first {breaches[0]}")
    return wrong
