"""/funnel: what is asked for, and how the answer reads."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from papertape.events.units import DAY_MS
from papertape.projections.alerts.markup import plain_text
from papertape.projections.site.funnel import ConditionTally, FunnelView, SideTally, StrategyTally
from papertape.projections.telegram.funnel import funnel_html
from papertape.projections.telegram.parse import FunnelQuestion, InvalidRequest, NoPositionQuery, request_of
from tests.build import DAY_0_MS

FULL = "the maximum number of positions is open"
NAMES = ("momentum", "vwap_rsi")
LONG = SideTally(
    "long", (ConditionTally("15m ADX", 62, 62), ConditionTally("5m volume", 9, 4)), 4, 4, {"max_positions": 1}, 3, 2,
    {"expired": 1}, 0, 2, 1, -15.45, 0,
)  # fmt: skip
SHORT = replace(LONG, side="short", met=0, signals=0, refused={}, placed=0, filled=0, cancelled={}, trades=0, won=0)
ONE = StrategyTally("momentum", "BTCUSDT", 70, 62, {"position": 3, "late": 5}, True, LONG, SHORT)
VIEW = FunnelView(DAY_0_MS, DAY_0_MS + DAY_MS, 4_711, (ONE,))


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("/funnel", FunnelQuestion()),
        ("/funnel 30", FunnelQuestion(None, 30.0)),
        ("/funnel momentum", FunnelQuestion("momentum")),
        ("/funnel MOMENTUM 14d", FunnelQuestion("momentum", 14.0)),
        ("/funnel 9000d", FunnelQuestion(None, 400.0)),
        ("/whynot vwap_rsi 7d", FunnelQuestion("vwap_rsi", 7.0)),
        ("/whynot vwap_rsi", FunnelQuestion("vwap_rsi", 7.0)),
        ("/whynot BTC", NoPositionQuery("BTC")),
        (
            "/funnel momentun",
            InvalidRequest("there is no strategy 'momentun'; did you mean momentum?", ("/funnel momentum",)),
        ),
        ("/funnel momentum x", InvalidRequest("'x' is not a number of days", ("/funnel [strategy] [days]",))),
        ("/funnel 0", InvalidRequest("'0' is not a number of days", ("/funnel [strategy] [days]",))),
    ],
)
def test_a_funnel_is_asked_for(said: str, asked: object) -> None:
    assert request_of(said, NAMES) == asked


def test_a_misspelt_strategy_is_answered_with_the_one_that_was_meant() -> None:
    found = request_of("/funnel momentun 3d", NAMES)
    assert isinstance(found, InvalidRequest)
    assert found.instead == ("/funnel momentum 3d",)


def test_one_strategy_is_shown_with_its_conditions() -> None:
    assert plain_text(funnel_html(VIEW)).splitlines() == [
        "funnel of entries",
        "2025-01-01 00:00 to 2025-01-02 00:00 UTC",
        "",
        "momentum · BTCUSDT",
        "asked on 62 of 70 candles; not asked: late candle 5, position open 3",
        "▲ long: 15m ADX 62 → 5m volume 4",
        f"   4 signals, refused 1 ({FULL}), cancelled 1 (it expired), filled 2, 2 trades, 1 won, -15.45",
        "▼ short: 15m ADX 62 → 5m volume 4",
        "   0 signals",
        "",
        "after each condition: how often it and all before it held",
    ]


def test_several_strategies_are_shown_without_conditions() -> None:
    other = replace(ONE, strategy="vwap_rsi")
    shown = plain_text(funnel_html(replace(VIEW, funnels=(ONE, other))))
    assert "15m ADX" not in shown
    assert shown.count("signals") == 4
    assert shown.endswith("/funnel STRATEGY shows its conditions")
    assert "no strategy had a candle" in funnel_html(replace(VIEW, funnels=()))
