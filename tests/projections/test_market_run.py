"""Folding a whole run of market facts gives the state of folding them one by one, to the last bit."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.facts import CandleClosed, OpenInterestObserved, Timing
from papertape.events.log import Commit, EventStretch, stretch_of
from papertape.events.units import DAY_MS, MINUTE_MS
from papertape.projections.site.views import Views
from tests.alerts.random_log import PLAIN, random_log
from tests.build import NOON_MS, candle_at, configured
from tests.projections.portrait import portrait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import Event
    from papertape.projections.market_run import MarketRun

TIMEFRAMES_MS = {PLAIN[0]: MINUTE_MS, PLAIN[2]: 5 * MINUTE_MS}
SYMBOLS = (PLAIN[1], PLAIN[3], "ETHUSDT", "SOLUSDT")
PAGE_EVENTS = 64


def market_log(seed: int, decisions: int) -> list[Event]:
    """Return decisions of any kind with minutes of several symbols between them: held, dropped, late, with gaps."""
    chance, at_ms = Random(seed), NOON_MS
    prices = dict.fromkeys(SYMBOLS, 100.0)
    log: list[Event] = []
    for fact in (one.event for one in random_log(seed, decisions)):
        log.append(_told(fact, at_ms, chance))
        if chance.random() < 0.05:
            some = tuple(chance.sample(SYMBOLS, chance.randrange(1, 4)))
            log.append(replace(configured(chance.choice((PLAIN[0], PLAIN[2])), some), at_ms=at_ms))
        for _ in range(chance.choice((0, 1, 1, 3, 12))):
            at_ms += chance.choice((MINUTE_MS, MINUTE_MS, MINUTE_MS, 7 * MINUTE_MS, DAY_MS // 3))
            log += _minute(at_ms, prices, chance)
    return log


def _told(fact: Event, at_ms: int, chance: Random) -> Event:
    """Let a decision happen at the time of the market, or let its candle come late."""
    if isinstance(fact, CandleClosed):
        return replace(fact, at_ms=at_ms - chance.choice((0, MINUTE_MS, DAY_MS)))
    return replace(fact, at_ms=at_ms)


def _minute(at_ms: int, prices: dict[str, float], chance: Random) -> list[Event]:
    facts: list[Event] = []
    timing = chance.choice((Timing.ON_TIME,) * 30 + (Timing.LATE, Timing.WARM_UP))
    for symbol in SYMBOLS:
        if chance.random() < 0.03:
            continue
        prices[symbol] *= 1.0 + chance.gauss(0.0, 0.01)
        fact = candle_at(at_ms, symbol, prices[symbol], timing)
        low, high = prices[symbol] * 0.99, prices[symbol] * 1.01
        facts.append(replace(fact, low=low, high=high) if isinstance(fact, CandleClosed) else fact)
        if chance.random() < 0.1:
            facts.append(OpenInterestObserved(at_ms, symbol, 1.0))
    return facts


def committed(events: Sequence[Event], cuts: Random) -> list[EventStretch]:
    """Return the events in commits and pages of any length."""
    stretches, seq = [], 1
    while seq <= len(events):
        rows: list[Commit] = []
        for _ in range(cuts.randrange(1, 9)):
            row = list(events[seq - 1 : seq - 1 + cuts.randrange(1, PAGE_EVENTS)])
            rows += [Commit(seq, 1_000 + seq, row, [0] * len(row))] if row else []
            seq += len(row)
        stretches.append(stretch_of(rows))
    return stretches


@pytest.mark.system
@given(st.integers(0, 2**32), st.integers(1, 60))
@example(2_884_074_812, 3)  # A position is valued in the run in which other symbols have their first candle.
def test_a_run_leaves_the_state_of_its_events_one_by_one(seed: int, decisions: int) -> None:
    at_once, one_by_one = Views(TIMEFRAMES_MS), Views(TIMEFRAMES_MS)
    for stretch in committed(market_log(seed, decisions), Random(seed)):
        at_once.take(stretch)
        for recorded in stretch.recorded():
            one_by_one.apply(recorded)
        assert portrait(at_once) == portrait(one_by_one), stretch.last_seq


def test_most_of_the_drawn_logs_is_folded_in_calm_stretches_with_positions() -> None:
    """Otherwise the property above would compare a path with itself."""
    calm = held = events = 0

    class Counted(Views):
        def _take_run(self, run: MarketRun) -> None:
            nonlocal calm, held
            calm += len(run.candles)
            held += len(run.places_of({one.symbol for one in self.portfolio.positions()}))
            super()._take_run(run)

    for seed in range(20):
        views = Counted(TIMEFRAMES_MS)
        for stretch in committed(market_log(seed, 40), Random(seed)):
            events += len(stretch)
            views.take(stretch)
    assert calm > events / 4
    assert held > calm / 50
