"""Given events with causes, then the chain from an event back to its root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papertape.events.facts import GapFound
from papertape.events.log import Recorded
from papertape.projections.text.causes import CHAIN_LINKS_MAX, ConditionView, cause_chain, explain_chain
from tests.build import DAY_0_MS, candle, configured, opened, ordered

if TYPE_CHECKING:
    from papertape.events.facts import Event, OrderPlaced, OrderRejected, RunnerConfigured


def log(*rows: tuple[Event, int]) -> dict[int, Recorded]:
    return {seq: Recorded(seq, 0, cause, event) for seq, (event, cause) in enumerate(rows, start=1)}


STORY = log((candle(0, 100.0), 0), (ordered(), 1), (candle(1, 100.0), 0), (opened(), 2))


def test_the_chain_goes_from_the_event_to_its_root() -> None:
    chain = cause_chain(4, STORY.__getitem__, {})
    assert [link.recorded.seq for link in chain.links] == [4, 2, 1]
    assert chain.complete
    assert chain.links[0].line.text.startswith("LONG BTCUSDT: momentum opened")


def test_an_order_shows_the_readings_of_its_decision() -> None:
    order = cause_chain(4, STORY.__getitem__, {}).links[1]
    assert [(reading.name, reading.value) for reading in order.readings] == [
        ("adx_15m", 31.5),
        ("rolling_high", 84_000.0),
    ]
    assert cause_chain(1, STORY.__getitem__, {}).links[0].readings == ()


def test_conditions_come_from_the_explain_function() -> None:
    then = configured("momentum")

    def in_force(strategy: str, seq: int) -> RunnerConfigured | None:
        return then if (strategy, seq) == ("momentum", 2) else None

    def explain(order: OrderPlaced | OrderRejected, runner: RunnerConfigured | None) -> tuple[list[ConditionView], str]:
        assert runner is then
        return [ConditionView("adx_15m", order.readings["adx_15m"], ">=", 25.0, met=True)], "changed since"

    chain = explain_chain(cause_chain(4, STORY.__getitem__, {}), in_force, explain)
    assert [link.conditions for link in chain.links] == [
        (),
        (ConditionView("adx_15m", 31.5, ">=", 25.0, met=True),),
        (),
    ]
    assert [link.note for link in chain.links] == ["", "changed since", ""]


def test_a_root_event_is_a_chain_of_one() -> None:
    chain = cause_chain(1, STORY.__getitem__, {})
    assert (len(chain.links), chain.complete) == (1, True)


def test_a_chain_with_a_later_cause_is_cut() -> None:
    rows = log((candle(0, 100.0), 2), (candle(1, 100.0), 1))
    chain = cause_chain(2, rows.__getitem__, {})
    assert ([link.recorded.seq for link in chain.links], chain.complete) == ([2, 1], False)


def test_a_chain_has_a_bounded_length() -> None:
    gap = GapFound(DAY_0_MS, "BTCUSDT", 0, 1, 1)
    rows = log(*[(gap, seq) for seq in range(CHAIN_LINKS_MAX + 10)])
    chain = cause_chain(CHAIN_LINKS_MAX + 10, rows.__getitem__, {})
    assert (len(chain.links), chain.complete) == (CHAIN_LINKS_MAX, False)
