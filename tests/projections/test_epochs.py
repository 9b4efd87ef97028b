"""Given facts, then the results of each configuration: they add up to the whole, and each change begins an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.facts import ConfigurationReloaded
from papertape.projections.folds.epochs import EPOCHS_MAX, Epochs, EpochView, configuration_changes
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from tests.build import DAY_0_MS, candle, closed, configured, listed, opened, recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import Event, RunnerConfigured

MINUTE_MS = 60_000


def folded(events: Sequence[Event]) -> tuple[Portfolio, Epochs]:
    portfolio = Portfolio()
    epochs = Epochs(portfolio)
    fold([portfolio, epochs], recorded([listed("BTCUSDT"), *events]))
    return portfolio, epochs


def epochs_of(*events: Event, strategy: str = "momentum") -> tuple[EpochView, ...]:
    return folded(events)[1].of(strategy)


def changed(number: int, strategy: str = "momentum") -> RunnerConfigured:
    before = configured(strategy)
    return replace(before, parameters={**before.parameters, "stop_percent": float(number)})


def traded(minute: int, gross_usdt: float, strategy: str = "momentum") -> list[Event]:
    """Return a trade within a minute, and the candle that samples it."""
    at_ms = DAY_0_MS + minute * MINUTE_MS
    return [
        opened(strategy, at_ms=at_ms),
        closed(gross_usdt, strategy, entry_time_ms=at_ms, at_ms=at_ms),
        candle(minute, 100.0),
    ]


def test_a_log_without_a_change_is_one_epoch() -> None:
    (epoch,) = epochs_of(configured(), candle(0, 100.0), *traded(1, 50.0), configured())
    assert (epoch.number, epoch.is_last, epoch.changes) == (1, True, "first configuration")
    assert (epoch.trades, epoch.wins) == (1, 1)


def test_an_epoch_has_the_trades_that_closed_in_it() -> None:
    first, second = epochs_of(
        configured(), candle(0, 100.0), *traded(1, 50.0), *traded(2, -20.0), changed(3), *traded(4, -30.0)
    )
    assert (first.trades, first.wins, first.win_rate_percent) == (2, 1, 50.0)
    assert (second.trades, second.wins, second.win_rate_percent) == (1, 0, 0.0)
    assert second.changes.startswith("stop_percent ") and second.changes.endswith(" → 3")
    assert (first.is_last, second.is_last) == (False, True)
    assert first.until_ms == second.from_ms


def test_a_strategy_begins_no_epoch_when_another_one_changes() -> None:
    events = [configured(), configured("other"), candle(0, 100.0), changed(3, "other"), candle(1, 100.0)]
    _, epochs = folded(events)
    assert [len(epochs.of(name)) for name in ("momentum", "other")] == [1, 2]
    total = epochs.total()
    assert [one.changes.partition(" ")[0] for one in total] == ["first", "other:"]


def test_changes_at_one_time_are_one_epoch_with_the_reason_of_the_reload() -> None:
    reload = ConfigurationReloaded(DAY_0_MS, "anna", "tighter", "d1", ())
    _, epochs = folded(
        [configured(), configured("other"), candle(0, 100.0), reload, changed(3), changed(3, "other"), candle(1, 100.0)]
    )
    _, second = epochs.total()
    assert second.changes.startswith("all: stop_percent")
    assert second.reason == "anna: tighter"


def test_a_strategy_that_is_added_later_begins_with_its_capital() -> None:
    _, epochs = folded([configured(), candle(0, 100.0), *traded(1, 50.0), configured("late"), *traded(2, 70.0)])
    first, second = epochs.total()
    assert second.changes == "late: added"
    assert set(first.nets_usdt) == {"momentum"}
    assert second.nets_usdt["late"] == 0.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"at_ms": 5}, ""),
        ({"series": ("1h",)}, ""),
        ({"code_digest": "new"}, "code"),
        ({"symbols": ("BTCUSDT", "XYZUSDT")}, "with XYZUSDT"),
        ({"risk": {"leverage": 2, "capital_usdt": 1.0}}, "leverage 3 → 2"),
        ({"parameters": {"a": 1.5}, "symbol_parameters": {"BTCUSDT": {"a": 1.5}}}, "a 1 → 1.5"),
        ({"symbol_parameters": {"BTCUSDT": {"a": 2.0}}}, "BTCUSDT a 1 → 2"),
    ],
)
def test_a_change_is_told_in_words(fields: dict[str, object], words: str) -> None:
    before = replace(
        configured(),
        symbols=("BTCUSDT",),
        parameters={"a": 1.0},
        symbol_parameters={"BTCUSDT": {"a": 1.0}},
        risk={"leverage": 3, "capital_usdt": 1.0},
    )
    assert configuration_changes(before, replace(before, **fields)) == words


STEPS = st.lists(st.one_of(st.integers(1, 9), st.floats(-200.0, 200.0)), max_size=30)


@given(steps=STEPS)
def test_epochs_follow_each_other_and_add_up_to_the_whole(steps: list[int | float]) -> None:
    events: list[Event] = [configured(), candle(0, 100.0)]
    for minute, step in enumerate(steps, start=1):
        events += [changed(step), candle(minute, 100.0)] if isinstance(step, int) else traded(minute, step)
    portfolio, epochs = folded(events)
    views, account = epochs.of("momentum"), portfolio.account("momentum")
    assert sum(one.net_usdt for one in views) == pytest.approx(account.equity_usdt - account.capital_usdt)
    assert sum(one.costs_usdt for one in views) == pytest.approx(
        account.fees_usdt + account.slippage_usdt - account.funding_usdt
    )
    assert sum(one.trades for one in views) == sum(isinstance(step, float) for step in steps)
    assert [one.until_ms for one in views[:-1]] == [one.from_ms for one in views[1:]]
    assert [one.net_usdt for one in views] == pytest.approx([one.net_usdt for one in epochs.total()])


def test_the_oldest_epochs_are_joined_when_there_are_too_many() -> None:
    events: list[Event] = [configured(), candle(0, 100.0), *traded(1, 50.0)]
    for number in range(EPOCHS_MAX + 5):
        events += [changed(number + 1), candle(number + 2, 100.0)]
    views = epochs_of(*events)
    assert len(views) == EPOCHS_MAX
    assert views[0].changes == "first configuration"
    assert sum(one.trades for one in views) == 1
