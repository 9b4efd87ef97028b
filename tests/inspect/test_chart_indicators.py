"""The indicators of a chart are the kernel's, from the candle on which each is ready."""

from __future__ import annotations

from random import Random

import pytest

from papertape.engine.inspect.chart_fold import ChartFold
from papertape.engine.inspect.chart_indicators import INDICATOR_LINES
from papertape.events.units import MINUTE_MS
from tests.build import BTC, candle

COUNT = 120
READY_AT = {
    "EMA 20": 20,
    "EMA 50": 50,
    "Bollinger upper": 20,
    "Bollinger middle": 20,
    "Bollinger lower": 20,
    "MACD": 34,
    "MACD signal": 34,
    "ATR": 15,
}


def lines(closes: list[float]) -> dict[str, list[float | None]]:
    fold = ChartFold(BTC, MINUTE_MS, MINUTE_MS, len(closes), 0, whole=True)
    for number, close in enumerate(closes):
        fold.apply(candle(number, close))
    rows = fold.chart(1, len(closes)).candles
    return {name: [row.others[at] for row in rows] for at, (name, _) in enumerate(INDICATOR_LINES)}


def test_each_is_shown_from_the_candle_on_which_it_is_ready() -> None:
    found = lines([100.0] * COUNT)
    assert {
        name: values.index(next(v for v in values if v is not None)) + 1 for name, values in found.items()
    } == READY_AT
    assert [found[name][-1] for name in ("EMA 20", "EMA 50", "Bollinger upper", "Bollinger lower")] == [100.0] * 4
    assert [found[name][-1] for name in ("MACD", "MACD signal", "ATR")] == pytest.approx([0.0] * 3, abs=1e-9)


def test_averages_and_bands_follow_their_definition() -> None:
    random = Random(4)
    closes = [100.0 + random.random() for _ in range(COUNT)]
    found = lines(closes)
    average = sum(closes[:20]) / 20
    for close in closes[20:]:
        average += (close - average) * 2 / 21
    last = closes[-20:]
    mean = sum(last) / 20
    deviation = (sum((close - mean) ** 2 for close in last) / 20) ** 0.5
    assert found["EMA 20"][-1] == pytest.approx(average, rel=1e-6)
    assert found["Bollinger upper"][-1] == pytest.approx(mean + 2 * deviation, rel=1e-6)
    assert found["Bollinger lower"][-1] == pytest.approx(mean - 2 * deviation, rel=1e-6)
