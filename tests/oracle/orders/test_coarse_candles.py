"""A coarse candle never does better than both fine-grained walks through it: high first, and low first.

Trailing is left out, because a stop that follows the close of a candle follows more often on finer candles (section 7);
so are expiries of adds, which count from the close of the candle that filled the entry.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import CandleClosed, PositionOpened
from tests.build import DAY_0_MS, listed
from tests.reducer.runs import begin
from tests.support import NO_LIMITS, examples, take

from .dictation import ADDS, EXPIRY, TRAILING, dictated_volume, digit
from .engine_runs import dictated_strategies

if TYPE_CHECKING:
    from papertape.engine.kernel.risk_settings import RiskSettings

Bar = tuple[float, float, float, float]
FINE_MS, COARSE_MS = 300_000, 900_000
QUIET: Bar = (100.0, 100.0, 100.0, 100.0)
LEAVE = 1e12 + 3.0
SLOW = dictated_strategies("15m")
FREE = replace(NO_LIMITS, taker_fee_percent=0.0, maker_fee_percent=0.0, slippage_percent=0.0)


def legs(bar: Bar, high_first: bool) -> list[Bar]:
    """The three straight legs of a walk through a candle."""
    o, high, low, close = bar
    turns = (o, high, low, close) if high_first else (o, low, high, close)
    return [(a, max(a, b), min(a, b), b) for a, b in pairwise(turns)]


def walked(bars: list[tuple[Bar, float]], risk: RiskSettings, high_first: bool | None) -> tuple[float, bool]:
    """The cash at the end, and whether anything was opened; None walks in coarse candles."""
    step_ms = COARSE_MS if high_first is None else FINE_MS
    run = begin([listed("X", tick=(1, 100), timeframe_ms=step_ms)], {"dictated": RunnerSettings(risk=risk)}, SLOW)
    at_ms = DAY_0_MS
    for bar, volume in bars:
        parts = [bar] if high_first is None else legs(bar, high_first)
        for number, prices in enumerate(parts, start=1):
            at_ms += step_ms
            dictated = volume if number == len(parts) else 0.0
            take(run.world, run.log, CandleClosed(at_ms, "X", step_ms, *prices, dictated))
    assert run.world.runner("dictated").desks[0].position.side == 0
    return run.world.runner("dictated").account.cash_usdt, any(isinstance(e, PositionOpened) for e in run.events())


def without(volume: float, *places: int) -> float:
    """A volume with these digits set to 0."""
    return volume - sum(digit(volume, place) * 10.0**place for place in places)


def wild_bar(random: Random) -> Bar:
    """A candle that opens at or near 100."""
    o = round(100.0 + random.choice([0.0, 0.0, random.gauss(0.0, 0.5)]), 2)
    close = round(o + random.gauss(0.0, 0.7), 2)
    rise, fall = (abs(random.gauss(0.0, 0.5)) for _ in range(2))
    return o, round(max(o, close) + rise, 2), round(min(o, close) - fall, 2), close


def check_never_better(volume: float, quiet: int, bar: Bar, risk: RiskSettings) -> bool:
    """Compare the three ways through the bar; the position is left at the next open. Return whether there was one."""
    close = (bar[3],) * 4
    bars = [(QUIET, volume), *[(QUIET, 0.0)] * quiet, (bar, LEAVE), (close, 0.0)]
    coarse, opened = walked(bars, risk, None)
    fine = max(walked(bars, risk, high_first)[0] for high_first in (True, False))
    assert coarse <= fine + 1e-6, (volume, bar)
    return opened


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from([FREE, NO_LIMITS]))
def test_the_candle_of_an_entry(seed: int, risk: RiskSettings) -> None:
    """Adds are placed at its close, so they are none of its business."""
    random = Random(seed)
    check_never_better(without(dictated_volume(random), TRAILING, ADDS), 0, wild_bar(random), risk)


@examples(300)
@given(st.integers(0, 2**32), st.sampled_from([FREE, NO_LIMITS]))
def test_a_candle_into_which_a_position_was_carried(seed: int, risk: RiskSettings) -> None:
    """A market entry, with whatever ladder of targets and adds."""
    random = Random(seed)
    volume = without(dictated_volume(random), TRAILING, EXPIRY, 1)
    check_never_better(volume, 1, wild_bar(random), risk)


@pytest.mark.parametrize("quiet", [0, 1])
def test_many_of_those_candles_have_a_position(quiet: int) -> None:
    opened = 0
    for seed in range(60):
        random = Random(seed)
        places = (TRAILING, ADDS) if quiet == 0 else (TRAILING, EXPIRY, 1)
        opened += check_never_better(without(dictated_volume(random), *places), quiet, wild_bar(random), FREE)
    assert opened > 15
