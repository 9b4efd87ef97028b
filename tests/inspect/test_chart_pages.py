"""Charts can be read backward in pages, as when somebody pans into the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.events.facts import Timing
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, listed
from tests.inspect.test_chart_reader import chart_of, given

if TYPE_CHECKING:
    from papertape.engine.inspect.chart_fold import Candle


@pytest.mark.system
@pytest.mark.parametrize("candles", [1, 7, 400])
def test_pages_backward_hold_each_complete_candle_once_as_one_long_chart_does(candles: int) -> None:
    late = range(900, 960)
    own = [candle(n, 100.0 + n % 17, "X", timing=Timing.LATE if n in late else Timing.ON_TIME) for n in range(2_003)]
    other = [candle(n, 50.0, "Y") for n in range(2_003)]
    # The other symbol went on while this one was silent.
    back_ms = own[late.stop].open_time_ms
    order = sorted([*own, *other], key=lambda one: back_ms if one.timing is Timing.LATE else one.at_ms)
    log = given([listed("X"), listed("Y"), *order])
    whole = [one for one in chart_of(log, candles=1_500).candles if one.complete]
    found: list[Candle] = []
    before_ms = whole[-1].open_time_ms + FIVE_MINUTES_MS
    while page := chart_of(log, candles=candles, before_ms=before_ms).candles:
        assert len(page) == min(candles, len(whole) - len(found))
        found = [*page, *found]
        before_ms = page[0].open_time_ms
    assert [(one.open_time_ms, one.close, one.late) for one in found] == [
        (one.open_time_ms, one.close, one.late) for one in whole
    ]
    assert any(one.late for one in found)


def test_a_candle_with_a_hole_takes_no_place_on_a_page() -> None:
    minutes = [minute for minute in range(40) if minute != 23]
    log = given([listed("X"), *(candle(minute, 100.0, "X", timeframe_ms=MINUTE_MS) for minute in minutes)])
    page = chart_of(log, candles=2, before_ms=DAY_0_MS + 5 * FIVE_MINUTES_MS)
    assert [one.open_time_ms - DAY_0_MS for one in page.candles] == [2 * FIVE_MINUTES_MS, 3 * FIVE_MINUTES_MS]
    assert (page.seq, all(one.complete for one in page.candles)) == (len(log.recorded), True)


def test_a_page_before_the_first_candle_is_empty() -> None:
    log = given([listed("X"), *(candle(number, 100.0, "X") for number in range(20))])
    assert chart_of(log, before_ms=DAY_0_MS).candles == ()
    assert chart_of(log, before_ms=1).candles == ()
    inside = chart_of(log, before_ms=DAY_0_MS + FIVE_MINUTES_MS + 1)
    assert [one.open_time_ms for one in inside.candles] == [DAY_0_MS], "a candle that closes later is none of the past"
