"""If all conditions are met without an order, the result of the last evaluation explains why."""

from __future__ import annotations

from papertape.events.facts import CandleClosed, Event, OrderRejected, Timing
from papertape.events.units import MINUTE_MS
from papertape.projections.host import fold
from papertape.projections.site.last_evaluation import last_hold_reasons
from papertape.projections.site.views import Views
from tests.build import DAY_0_MS, configured, listed, recorded

SYMBOL = "BTCUSDT"
LATE = "its last evaluated candle arrived late: nothing is opened on it"


def close(minute: int, timing: Timing = Timing.ON_TIME) -> CandleClosed:
    return CandleClosed(DAY_0_MS + minute * MINUTE_MS, SYMBOL, MINUTE_MS, 1.0, 1.0, 1.0, 1.0, 1.0, timing)


def refused(minute: int) -> OrderRejected:
    return OrderRejected(DAY_0_MS + minute * MINUTE_MS, "momentum", SYMBOL, "long", "cost_to_stop", 0.5, {})


def hold_reasons(*events: Event, side: str = "long") -> tuple[str, ...]:
    """Return the reasons shown for a strategy that is evaluated every five minutes."""
    views = Views({"momentum": 5 * MINUTE_MS})
    fold([views], recorded([listed(SYMBOL, (1, 100), (1, 10_000)), configured("momentum", (SYMBOL,)), *events]))
    return last_hold_reasons(views, "momentum", SYMBOL, side)


def test_a_refusal_is_reported_until_the_next_evaluation_on_its_side_only() -> None:
    reasons = ("refused at its last evaluation: fees and slippage take too much of the distance to the stop",)
    assert hold_reasons(close(5), refused(5)) == reasons
    assert hold_reasons(close(5), refused(5), side="short") == ()
    assert hold_reasons(close(5), refused(5), *map(close, range(6, 10))) == reasons
    assert hold_reasons(close(5), refused(5), *map(close, range(6, 11))) == ()


def test_a_late_candle_is_reported_if_it_was_evaluated_last() -> None:
    assert hold_reasons(close(5, Timing.LATE)) == (LATE,)
    assert hold_reasons(close(4, Timing.LATE), close(5)) == ()
    assert hold_reasons(close(5, Timing.LATE), close(6)) == (LATE,)
    assert hold_reasons(close(5), close(6, Timing.LATE)) == ()


def test_nothing_is_reported_before_the_first_evaluation() -> None:
    assert hold_reasons() == ()
    assert hold_reasons(close(5, Timing.WARM_UP)) == ()
