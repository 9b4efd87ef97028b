"""Turn signals that arrive while the engine runs into facts.

A live signal counts from the candle that is forming when it is recorded: its event time lies within that candle, so a
backtest over the recorded facts knows it at the same decisions. The sender's own time only says how old the signal is.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.engine.feeds.playback import market_now_ms
from papertape.engine.reducer.signals import check_signal, is_repeated, newest_ms
from papertape.events.errors import CommandRefused
from papertape.events.facts import SignalReceived
from papertape.events.names import unknown_name_text
from papertape.events.signals import SignalReceipt, SignalsRecorded
from papertape.events.units import MINUTE_MS, SECOND_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.engine.reducer.state import EngineState
    from papertape.events.commands import Accepted
    from papertape.events.facts import Event
    from papertape.events.signals import Signal, SignalBatch

AGE_MAX_MS: Final = 15 * MINUTE_MS
"""An older signal is refused: it is too late to act on, and its id may be forgotten already."""
AHEAD_MAX_MS: Final = MINUTE_MS
"""How far a sender's clock may be ahead."""


class PreparedSignals:
    """Signals on their way into the log, and the answer to their sender."""

    def __init__(self, batch: SignalBatch, wall_ms: int) -> None:
        """Prepare signals that arrived at `wall_ms` of the machine's clock."""
        self._signals, self._wall_ms = batch.signals, wall_ms
        self._receipts: list[SignalReceipt] = []

    def inputs(self, state: EngineState) -> Sequence[Event]:
        """Return the facts for the signals that are not repeated. Raise CommandRefused, naming signal and field."""
        self._receipts, facts = [], list[SignalReceived]()
        for place, signal in enumerate(self._signals):
            try:
                fact = _fact(state, signal, self._wall_ms, facts)
            except CommandRefused as refused:
                where = f"signals[{place}]." if len(self._signals) > 1 else ""
                raise CommandRefused(f"{where}{refused}") from None
            if fact is not None:
                facts.append(fact)
            self._receipts.append(SignalReceipt(signal.id, fact is None, None if fact is None else fact.at_ms))
        return facts

    def answer(self, accepted: Accepted) -> SignalsRecorded:
        """Return the answer after the commit."""
        if accepted.last_seq < accepted.first_seq:
            return SignalsRecorded(True, None, None, tuple(self._receipts))
        return SignalsRecorded(False, accepted.first_seq, accepted.last_seq, tuple(self._receipts))


def _fact(state: EngineState, signal: Signal, wall_ms: int, before: Sequence[SignalReceived]) -> SignalReceived | None:
    """Return the fact of one signal, None if it is repeated. Raise CommandRefused if it does not fit.

    `before` are the facts of the same batch, which are not in the state yet.
    """
    if signal.symbol not in state.symbols:
        raise CommandRefused(f"symbol: {unknown_name_text('symbol', signal.symbol, list(state.symbols))}")
    if not isfinite(signal.value):
        raise CommandRefused("value: must be a finite number")
    fact = SignalReceived(0, signal.symbol, signal.name, signal.value, signal.source, signal.id)
    if is_repeated(state.signals, fact) or _repeats(before, fact):
        return None
    check_signal(state.signals, fact)
    return replace(fact, at_ms=_event_time_ms(state, signal, wall_ms))


def _event_time_ms(state: EngineState, signal: Signal, wall_ms: int) -> int:
    """Return the event time of a signal: its own, moved into the forming candle and behind its last one."""
    closed_ms = state.markets[state.symbols[signal.symbol]].close_time_ms
    if closed_ms < 0:
        raise CommandRefused(f"symbol: no candle of {signal.symbol} has arrived yet; send the signal again later")
    now_ms = _now_ms(state, wall_ms, closed_ms)
    sent_ms = now_ms if signal.at_ms is None else signal.at_ms
    _check_age(now_ms - sent_ms)
    after_ms = newest_ms(state.signals, signal.symbol, signal.name)
    return min(max(sent_ms, closed_ms, after_ms + 1), closed_ms + state.base_ms - 1)


def _now_ms(state: EngineState, wall_ms: int, closed_ms: int) -> int:
    """Return the market time by the machine's clock; for a market played at full speed, that of the newest candle."""
    anchor = state.anchor
    return closed_ms if anchor is None or anchor.speed == 0.0 else market_now_ms(anchor, wall_ms)


def _check_age(age_ms: int) -> None:
    """Raise CommandRefused for a signal that is too old, or from the future."""
    if age_ms > AGE_MAX_MS:
        minutes = AGE_MAX_MS // MINUTE_MS
        raise CommandRefused(f"at: the signal is {age_ms // MINUTE_MS} minutes old; at most {minutes} are accepted")
    if age_ms < -AHEAD_MAX_MS:
        raise CommandRefused(f"at: the signal lies {-age_ms // SECOND_MS} seconds ahead of the market's clock")


def _repeats(facts: Sequence[SignalReceived], fact: SignalReceived) -> bool:
    """Return whether a fact repeats an earlier one of its batch. Raise CommandRefused if it contradicts one."""
    for earlier in facts:
        if (earlier.source, earlier.id) == (fact.source, fact.id):
            if replace(earlier, at_ms=fact.at_ms) == fact:
                return True
            raise CommandRefused(f"id: {fact.id!r} stands for two different signals in this request")
    return False
