"""Sections 2 and 3 by hand: refusals of an entry in their order, and the size of what is placed."""

from __future__ import annotations

from typing import Any

import pytest

from papertape.events.facts import OrderPlaced, OrderRejected
from tests.oracle.exchange import Order, size_entry
from tests.oracle.settings import RISK

from .answers import entry_of
from .refusals import planned_entry
from .scene import FREE, Scene, X, reasons
from .scene_engine import engine_run
from .simulate import Outcome
from .sizing import Plan, plan_entry

SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
QUIET = (100.0, 100.0, 100.0, 100.0)
MARKET: dict[str, Any] = {"side": 1, "stop_price": 98.0, "quantity": 10.0}
LIMIT: dict[str, Any] = MARKET | {"kind": "limit", "price": 99.0}
STOP: dict[str, Any] = MARKET | {"kind": "stop", "price": 101.0}
NAN = float("nan")
FULL = [(102.0, 0.5), (104.0, 0.5)]

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a stop that is no number": (MARKET | {"stop_price": NAN}, "not_a_number"),
    "a fraction that is no number": ({"side": 1, "stop_fraction": NAN}, "not_a_number"),
    "a target that is no number": (MARKET | {"targets": [(NAN, 1.0)]}, "not_a_number"),
    "a part that is no number": (MARKET | {"targets": [(102.0, NAN)]}, "not_a_number"),
    "an expiry of nothing": (LIMIT | {"expires": 0}, "not_a_number"),
    "an expiry of 289": (LIMIT | {"expires": 289}, "not_a_number"),
    "trailing by everything": (MARKET | {"trailing": (1.0,)}, "not_a_number"),
    "trailing from a loss": (MARKET | {"trailing": (0.1, -0.1)}, "not_a_number"),
    "break-even from a loss": (MARKET | {"trailing": (0.0, 0.0, -0.1)}, "not_a_number"),
    "an add of more than four": (MARKET | {"adds": [{"kind": "limit", "price": 99.0, "size": 4.001}]}, "not_a_number"),
    "no number before a stop on the wrong side": (
        MARKET | {"stop_price": 101.0, "targets": [(NAN, 1.0)]},
        "not_a_number",
    ),
    "a stop on the wrong side": (MARKET | {"stop_price": 100.1, "targets": [(99.0, 1.0)]}, "stop_wrong_side"),
    "a limit's stop above the limit": (LIMIT | {"stop_price": 99.5}, "stop_wrong_side"),
    "a negative fraction": ({"side": 1, "stop_fraction": -0.01}, "stop_wrong_side"),
    "a target on the wrong side": (LIMIT | {"price": 100.0, "targets": [(99.0, 1.0)]}, "target_wrong_side"),
    "a negative target fraction": (MARKET | {"target_fractions": [(-0.01, 1.0)]}, "target_wrong_side"),
    "a limit at the close": (LIMIT | {"price": 100.0}, "limit_beyond_market"),
    "a limit above the close before a bad ladder": (
        LIMIT | {"price": 101.0, "targets": [(104.0, 1.0), (103.0, 1.0)]},
        "limit_beyond_market",
    ),
    "a stop entry at the close": (STOP | {"price": 100.0}, "stop_behind_market"),
    "five targets": (MARKET | {"targets": [(101.0 + n, 0.2) for n in range(5)]}, "ladder"),
    "targets that come back": (MARKET | {"targets": [(103.0, 0.5), (102.0, 0.5)]}, "ladder"),
    "fractions that come back": (MARKET | {"target_fractions": [(0.03, 0.5), (0.03, 0.5)]}, "ladder"),
    "more than the whole": (MARKET | {"targets": [(102.0, 0.5), (103.0, 0.5001)]}, "ladder"),
    "a part of nothing": (MARKET | {"targets": [(102.0, 0.0)]}, "ladder"),
    "a part of more than all": (MARKET | {"targets": [(102.0, 1.1)]}, "ladder"),
    "five adds": (MARKET | {"adds": [{"kind": "limit", "price": 99.5 - n / 10} for n in range(5)]}, "ladder"),
    "a market add": (MARKET | {"adds": [{"kind": "market"}]}, "ladder"),
    "a limit add at the entry": (MARKET | {"adds": [{"kind": "limit", "price": 100.0}]}, "ladder"),
    "a limit add between close and limit": (LIMIT | {"adds": [{"kind": "limit", "price": 99.5}]}, "ladder"),
    "a limit add at the stop": (MARKET | {"adds": [{"kind": "limit", "price": 98.0}]}, "ladder"),
    "a stop add at the entry": (STOP | {"adds": [{"kind": "stop", "price": 101.0}]}, "ladder"),
    "stop adds that come back": (
        MARKET | {"adds": [{"kind": "stop", "price": 103.0}, {"kind": "stop", "price": 102.0}]},
        "ladder",
    ),
    "a stop add at the last target": (MARKET | {"targets": FULL, "adds": [{"kind": "stop", "price": 104.0}]}, "ladder"),
    "a stop add at the only target, a fraction": (
        MARKET | {"target_fractions": [(0.04, 1.0)], "adds": [{"kind": "stop", "price": 104.0}]},
        "ladder",
    ),
    "a bad ladder before too many units": (
        MARKET | {"adds": [{"kind": "market", "size": 4.0}]},
        "ladder",
    ),
    "too many units": (MARKET | {"adds": [{"kind": "limit", "price": 99.0, "size": 2.1}]}, "units"),
    "units before the account's limits": (
        MARKET | {"stop_price": 100.0, "adds": [{"kind": "stop", "price": 101.0, "size": 3.0}]},
        "units",
    ),
    "a stop at the entry": (MARKET | {"stop_price": 100.0}, "stop_too_close"),
    "no stop": ({"side": 1}, "stop_too_close"),
    "a stop beyond liquidation": (MARKET | {"stop_price": 70.0}, "stop_beyond_liquidation"),
    "too small": (MARKET | {"quantity": 0.04}, "below_minimum"),
    "less than a lot": (MARKET | {"quantity": 0.0009}, "below_minimum"),
}


def asked(enter: dict[str, Any], side: int = 1, settings: dict[str, float] | None = None) -> Outcome:
    """The run of one question."""
    return Scene(enter, [], settings=settings or {}, units_max=3.0).play(side)


@SIDES
@pytest.mark.parametrize(("enter", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_entry_is_refused(enter: dict[str, Any], reason: str, side: int) -> None:
    outcome = asked(enter, side)
    assert [(r["action"], r["reason"]) for r in outcome.log.refusals] == [("entry", reason)]
    assert outcome.entries == {}


@pytest.mark.parametrize(
    "enter",
    [
        MARKET | {"targets": [(102.0, 0.5), (103.0, 0.5 + 5e-10)]},
        MARKET | {"targets": [(102.0, 0.5)], "adds": [{"kind": "stop", "price": 110.0}]},
        MARKET | {"adds": [{"kind": "limit", "price": 99.0, "size": 2.0}]},
        MARKET | {"targets": [(100.0, 1.0)]},
        LIMIT | {"price": 99.9, "adds": [{"kind": "limit", "price": 99.8}]},
        LIMIT | {"expires": 288},
    ],
)
@SIDES
def test_what_is_just_allowed(enter: dict[str, Any], side: int) -> None:
    assert reasons(asked(enter, side)) == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"target_fractions": [(0.02, 1.0)], "targets": [(103.0, 0.5)]}, "ladder"),
        ({"target_fractions": [(0.02, 0.3), (0.03, 0.3)], "targets": [(104.0, 0.3)]}, "ladder"),
        ({"stop_fraction": 0.02}, "not_a_number"),
    ],
    ids=["a target of either kind", "targets of either kind", "two stops"],
)
def test_stop_and_targets_are_given_in_one_way(more: dict[str, Any], reason: str) -> None:
    """The oracle's answers cannot say both."""
    _, events = engine_run([(0, *QUIET, 1.0, False)], {0: MARKET | more}, {}, {}, FREE, 1.0, 60_000, ())
    assert [event.reason for event in events if isinstance(event, OrderRejected)] == [reason]


def test_sizes_that_add_up_in_tenths_are_not_too_many_units() -> None:
    """1 + (0.1 + 1.3) is 2.4000000000000004."""
    adds = [{"kind": "limit", "price": 99.5, "size": 0.1}, {"kind": "limit", "price": 99.0, "size": 1.3}]
    assert reasons(Scene(MARKET | {"adds": adds}, [], units_max=2.4).play()) == []


def test_a_limit_pays_less_to_its_stop() -> None:
    """99 to 98: 0.0002*99 + 0.0011*98 = 0.1276; a market order of 100 to 99 pays 0.0011*199 = 0.2189."""
    costs = {"maker_fee_percent": 0.02, "taker_fee_percent": 0.06, "slippage_percent": 0.05}
    assert reasons(asked(LIMIT, 1, costs | {"max_cost_to_stop": 0.13})) == []
    assert reasons(asked(LIMIT, 1, costs | {"max_cost_to_stop": 0.12})) == ["cost_to_stop"]
    assert reasons(asked(MARKET | {"stop_price": 99.0}, 1, costs | {"max_cost_to_stop": 0.13})) == ["cost_to_stop"]


def test_liquidation_before_costs() -> None:
    """Costs of 0.3 are more than a thousandth of 10 and of 30; liquidation is 33 away, and 45 are asked for."""
    limits = {"taker_fee_percent": 0.1, "slippage_percent": 0.05, "max_cost_to_stop": 0.001}
    assert reasons(asked(MARKET | {"stop_price": 90.0}, 1, limits)) == ["cost_to_stop"]
    assert reasons(asked(MARKET | {"stop_price": 70.0}, 1, limits)) == ["stop_beyond_liquidation"]


def plan(answer: dict[str, Any], units_max: float = 1.0, close: float = 100.0, **settings: float) -> Plan:
    """The plan for a signal with all capital free; the engine's order is the same."""
    values = {**RISK, **settings}
    entry = entry_of(answer, X.tick)
    assert entry is not None
    s, capital = values["slippage_percent"] / 100.0, values["capital_usdt"]
    planned = planned_entry(entry, close, s, X.tick)
    ours = plan_entry(values, X, entry, planned, s, capital, capital, units_max)
    row = (0, close, close, close, close, 1.0, False)
    _, (placed,) = engine_run([row], {0: answer}, {}, {}, values, units_max, 60_000, ())
    assert isinstance(placed, OrderPlaced)
    theirs = (placed.quantity_base, placed.planned_price_usdt, placed.risk_usdt)
    assert theirs == (ours.quantity, ours.price, ours.r1)
    return ours


def test_a_market_entry_is_sized_as_the_model_does_it() -> None:
    for leverage in (3.0, 20.0):
        order = Order("X", 0, d=1, stop_fraction=0.003)
        size_entry({**RISK, "leverage": leverage}, X, order, 100.0, 0.0005, 10_000.0, 10_000.0)
        ours = plan({"side": 1, "stop_fraction": 0.003}, leverage=leverage)
        assert (ours.quantity, ours.price, ours.r1) == (order.quantity, order.planned, order.r1)


def test_risk_and_slot_are_shared_among_the_units() -> None:
    """The slot: 8,000*3/3/99 = 80.808, a fourth of it 20.202. The risk at leverage 20: 200/u/4."""
    enter = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 98.0}
    assert plan(enter).quantity == 80.808
    assert plan(enter, 4.0).quantity == 20.202
    u = 1.0 + 0.0002 * 99.0 + 0.0011 * 98.0
    assert plan(enter, leverage=20.0).quantity == pytest.approx(200.0 / u, abs=1e-3)
    assert plan(enter, 4.0, leverage=20.0).quantity == pytest.approx(50.0 / u, abs=1e-3)
    assert plan(enter, 4.0).r1 == pytest.approx(20.202 * u)


def test_the_margin_is_not_shared() -> None:
    """One slot, all margin: 10,000/(100/3 + 0.0012*100) is 298.9; a seventeenth of the slot is far below."""
    settings = {**FREE, "capital_usdt": 10_000.0, "max_concurrent_positions": 1.0, "free_margin_percent": 0.0}
    settings |= {"taker_fee_percent": 0.06, "slippage_percent": 0.0}
    enter = {"side": 1, "stop_price": 90.0}
    assert plan(enter, **settings).quantity == pytest.approx(10_000.0 / (100.0 / 3.0 + 0.12), abs=1e-3)
    assert plan(enter, 17.0, **settings).quantity == pytest.approx(300.0 / 17.0, abs=1e-3)


def test_the_margin_of_a_limit_order_knows_its_lower_fee() -> None:
    """One slot, all margin at leverage 20: 10,000/(99/20 + 0.0008*99), where the slot would allow 2,020."""
    settings = {"max_concurrent_positions": 1.0, "free_margin_percent": 0.0, "max_risk_per_trade_percent": 100.0}
    enter = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 98.0}
    quantity = plan(enter, leverage=20.0, **settings).quantity
    assert quantity == pytest.approx(10_000.0 / (99.0 / 20.0 + 0.0008 * 99.0), abs=1e-3)


def test_an_own_size_stays_under_the_caps() -> None:
    enter = {"side": 1, "kind": "limit", "price": 99.0, "stop_price": 98.0}
    u = 1.0 + 0.0002 * 99.0 + 0.0011 * 98.0
    assert plan(enter | {"size_usdt": 990.0}).quantity == 10.0
    assert plan(enter | {"size_usdt": 1e9}).quantity == 80.808
    assert plan(enter | {"risk_percent": 0.1}).quantity == pytest.approx(10.0 / u, abs=1e-3)
    assert plan(enter | {"risk_percent": 0.1, "size_usdt": 99.0}).quantity == 1.0
    assert plan(enter | {"risk_percent": 50.0}).quantity == 80.808


def test_a_stop_entry_is_planned_at_its_slipped_price() -> None:
    """101*1.0005 = 101.0505, raised to 101.1."""
    assert plan({"side": 1, "kind": "stop", "price": 101.0, "stop_price": 99.0}).price == 101.1
