"""A strategy knows the signals before a close, for its own symbol, and is asked once each of them has arrived."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from papertape.engine.inspect.entry_conditions import entry_conditions, missing_signals
from papertape.engine.kernel.signals import SignalValue
from papertape.engine.kernel.strategy import strategy_from
from papertape.engine.reducer.reducer import fold
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings, configuration
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from papertape.events.facts import OrderPlaced, PositionOpened, SignalReceived
from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS, candle, listed
from tests.support import NO_LIMITS, REPOSITORY, state_of, take

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.facts import Event
    from papertape.events.log import Recorded

FOLDER = REPOSITORY / "examples" / "strategies"
CLOSE_MS = DAY_0_MS + 5 * MINUTE_MS


@pytest.fixture(scope="module")
def strategies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Strategy]:
    """Only `follow_signals`, whatever else stands beside it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "follow_signals.py").write_text((FOLDER / "follow_signals.py").read_text())
    return {"follow_signals": load_strategies([folder])["follow_signals"]}


def begin(strategies: dict[str, Strategy], log: list[Recorded]) -> EngineState:
    world, contracts = new_state(strategies), [listed("A"), listed("B")]
    settings = {"follow_signals": RunnerSettings(risk=NO_LIMITS)}
    for event in [*contracts, *configuration(strategies, contracts, settings)][2:]:
        take(world, log, event)
    return world


def play(world: EngineState, log: list[Recorded], minutes: range) -> list[Event]:
    """Candles of both symbols; what was decided."""
    return [event for number in minutes for symbol in "AB" for event in take(world, log, candle(number, 100.0, symbol))]


def signal(at_ms: int, value: float, symbol: str = "A", name: str = "trend") -> SignalReceived:
    return SignalReceived(at_ms, symbol, name, value, "api", f"{at_ms} {symbol} {name}")


def test_a_signal_before_a_close_is_decided_on_there_and_filled_at_the_next_open(
    strategies: dict[str, Strategy],
) -> None:
    log: list[Recorded] = []
    world = begin(strategies, log)
    assert play(world, log, range(4)) == []
    assert take(world, log, signal(CLOSE_MS - 1, -1.0)) == [], "nothing trades on a signal by itself"
    (order,) = play(world, log, range(4, 5))
    assert isinstance(order, OrderPlaced)
    assert (order.at_ms, order.symbol, order.side, order.readings["trend"]) == (CLOSE_MS, "A", "short", -1.0)
    (filled,) = play(world, log, range(5, 6))
    assert isinstance(filled, PositionOpened) and filled.at_ms == CLOSE_MS


def test_a_signal_at_the_very_close_waits_for_the_next_decision(strategies: dict[str, Strategy]) -> None:
    log: list[Recorded] = []
    world = begin(strategies, log)
    assert play(world, log, range(5)) == []
    take(world, log, signal(CLOSE_MS, 1.0))
    assert play(world, log, range(5, 9)) == []
    (order,) = play(world, log, range(9, 10))
    assert isinstance(order, OrderPlaced) and order.at_ms == CLOSE_MS + 5 * MINUTE_MS


def test_a_strategy_is_not_asked_before_its_signal_has_arrived_and_says_so(strategies: dict[str, Strategy]) -> None:
    log: list[Recorded] = []
    world = begin(strategies, log)
    play(world, log, range(5))
    take(world, log, signal(CLOSE_MS, 1.0, name="other"))
    take(world, log, signal(CLOSE_MS, 1.0, symbol="B"))
    assert missing_signals(world.runners[0], 0) == ["trend"] and missing_signals(world.runners[0], 1) == []
    assert world.runners[0].signals == [[SignalValue()], [SignalValue(1.0, CLOSE_MS)]]
    long, _ = entry_conditions(world, "follow_signals", "A")
    assert [(one.reason, one.detail) for one in long.holds] == [("no_signal", "trend")]


def test_the_kernel_holds_back_a_strategy_that_would_enter_without_its_signal(tmp_path: Path) -> None:
    lines = (FOLDER / "follow_signals.py").read_text().splitlines(keepends=True)
    reckless = [line for line in lines if "strength_min:" not in line and line != "        return 0\n"]
    reckless = [line.replace("return 1 if answer.reading.trend > 0.0 else -1", "return 1") for line in reckless]
    text = "".join(line for line in reckless if not line.startswith("    if answer.reading.age_minutes"))
    (tmp_path / "follow_signals.py").write_text(text)
    log: list[Recorded] = []
    world = begin({"follow_signals": load_strategies([tmp_path])["follow_signals"]}, log)
    assert play(world, log, range(10)) == []
    take(world, log, signal(CLOSE_MS + 5 * MINUTE_MS, 0.0))
    assert [event.symbol for event in play(world, log, range(10, 15)) if isinstance(event, OrderPlaced)] == ["A"]


def test_a_strategy_that_is_new_knows_the_signals_before_it_and_a_replay_knows_them_too(
    strategies: dict[str, Strategy],
) -> None:
    log: list[Recorded] = []
    world = new_state(strategies)
    take(world, log, listed("A"))
    play_one = [take(world, log, candle(number, 100.0, "A")) for number in range(5)]
    assert play_one == [[]] * 5
    take(world, log, signal(CLOSE_MS, 0.75))
    for event in configuration(strategies, [listed("A")], {"follow_signals": RunnerSettings(risk=NO_LIMITS)})[1:]:
        take(world, log, event)
    assert world.runners[0].signals == [[SignalValue(0.75, CLOSE_MS)]]
    replayed = new_state(strategies)
    fold(replayed, log)
    assert state_of(replayed) == state_of(world)


@pytest.mark.parametrize("names", [["trend"], ("Trend",), ("a", "a"), tuple("abcdefghi"), (1,)])
def test_signals_that_a_strategy_cannot_list_are_refused_by_name(names: object) -> None:
    module = ModuleType("own")
    module.__file__ = "own.py"
    source = compile((FOLDER / "follow_signals.py").read_text(), "own.py", "exec")
    exec(source, module.__dict__)
    module.SIGNALS = names  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="SIGNALS must be a tuple of at most 8 different names"):
        strategy_from(module)
