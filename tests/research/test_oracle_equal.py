"""The engine and the oracle, which share no line of code, write the same trades file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import KillSwitchTripped, OrderCancelled, OrderPlaced, OrderRejected
from papertape.events.log import Recorded
from papertape.events.units import DAY_MS
from papertape.projections.folds.trades import Trades, write_trades_csv
from tests.build import FIVE_MINUTES_MS
from tests.oracle.rounding import Contract, Step
from tests.oracle.run import Result, simulate, write_trades
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, EAGER, eager
from tests.research.ways import outcome_of
from tests.support import NO_LIMITS, file_tape, needs_data, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.research.guarded import TapeRunResult
    from papertape.events.facts import Event
    from tests.reducer.random_market import RandomTape

pytestmark = pytest.mark.system

GRID = Contract(Step(1, 100), Step(1, 1_000))
ORDER = ("t_c", "strategy", "symbol", "side", "quantity", "planned_price", "r1")
Settings = dict[str, float]
OFF: Settings = {
    "risk.max_session_loss_percent": 100.0,
    "risk.max_daily_loss_percent": 100.0,
    "risk.global_max_loss_percent": 100.0,
}


def our_file(outcome: TapeRunResult) -> str:
    """The trades file of a run."""
    trades, text = Trades(), io.StringIO()
    for seq, item in enumerate(outcome.decided, start=1):
        trades.apply(Recorded(seq, 0, 0, item.event))
    write_trades_csv(text, trades.closed())
    return text.getvalue()


def their_file(result: Result, folder: Path) -> str:
    """The trades file of the oracle."""
    write_trades(folder / "oracle.csv", result.trades)
    return (folder / "oracle.csv").read_text(encoding="utf-8")


def assert_same(outcome: TapeRunResult, result: Result, folder: Path, at_least: int) -> None:
    """The same file, letter by letter, and the same orders, refusals, cancellations and trips."""
    theirs = their_file(result, folder)
    assert our_file(outcome) == theirs
    assert theirs.count("\n") > at_least, "too few trades to prove anything"
    events = [item.event for item in outcome.decided]
    entries = [event for event in events if isinstance(event, OrderPlaced) and event.action == "entry"]
    assert [order_of(event) for event in entries] == [tuple(order[name] for name in ORDER) for order in result.orders]
    assert [event.score for event in entries] == pytest.approx([order["score"] for order in result.orders])
    assert reasons(events, OrderRejected) == [(r["strategy"], r["symbol"], r["reason"]) for r in result.rejections]
    assert sorted(reasons(events, OrderCancelled)) == sorted(
        (c["strategy"], c["symbol"], c["reason"]) for c in result.cancellations
    )
    trips = [(event.at_ms, event.scope, event.reason) for event in events if isinstance(event, KillSwitchTripped)]
    assert trips == [(trip["t_c"], trip["scope"], trip["reason"]) for trip in result.trips]


def order_of(event: OrderPlaced) -> tuple[int | float | str, ...]:
    """What the oracle says of an order."""
    where = (event.at_ms, event.strategy, event.symbol, event.side)
    return (*where, event.quantity_base, event.planned_price_usdt, event.risk_usdt)


def reasons(events: list[Event], kind: type[OrderRejected | OrderCancelled]) -> list[tuple[str, str, str]]:
    """Who, where and why."""
    return [(event.strategy, event.symbol, event.reason) for event in events if isinstance(event, kind)]


# ---------------------------------------------------------------- recorded markets

FIVE_MINUTES = "binance_{}_5m_2024-12-31_2025-09-30.csv.gz"
RATES = "binance_{}_funding_2024-12-31_2025-09-30.csv.gz"
FIRST_FIVE_MS = 1_735_603_200_000
FIRST_MINUTE_MS = 1_746_372_780_000


def compare_files(
    folder: Path,
    candles: dict[str, str],
    rates: dict[str, str],
    interest: dict[str, str],
    settings: Settings,
    runners: dict[str, RunnerSettings],
    window_ms: tuple[int | None, int | None],
    at_least: int,
) -> None:
    """Both over the same files, parts and settings."""
    start_ms, end_ms = window_ms
    tape = file_tape(list(candles.values()), list(rates.values()), list(interest.values()), start_ms, end_ms)
    given = [(symbol, path_of(name)) for symbol, name in candles.items()]
    settled, observed = ({symbol: path_of(name) for symbol, name in files.items()} for files in (rates, interest))
    result = simulate(given, settled, observed, list(runners), settings, start_ms, end_ms)
    assert_same(outcome_of(tape, runners), result, folder, at_least)


@needs_data
def test_february_of_two_symbols_with_limits_off(tmp_path: Path) -> None:
    symbols = ("ETHUSDT", "SOLUSDT")
    window = (FIRST_FIVE_MS + 30 * DAY_MS, FIRST_FIVE_MS + 60 * DAY_MS)
    compare_files(
        tmp_path,
        {symbol: FIVE_MINUTES.format(symbol) for symbol in symbols},
        {symbol: RATES.format(symbol) for symbol in symbols},
        {},
        OFF,
        {name: RunnerSettings(risk=NO_LIMITS) for name in BUILT_IN},
        window,
        40,
    )


@needs_data
def test_the_defaults_with_their_kill_switches(tmp_path: Path) -> None:
    runners = {name: RunnerSettings() for name in BUILT_IN}
    window = (FIRST_FIVE_MS + 5 * DAY_MS, FIRST_FIVE_MS + 70 * DAY_MS)
    candles, rates = {"SOLUSDT": FIVE_MINUTES.format("SOLUSDT")}, {"SOLUSDT": RATES.format("SOLUSDT")}
    compare_files(tmp_path, candles, rates, {}, {}, runners, window, 20)


@needs_data
def test_minutes_with_funding(tmp_path: Path) -> None:
    runners = {name: RunnerSettings(risk=NO_LIMITS) for name in ("vwap_rsi", "momentum")}
    candles = {"ETHUSDT": "binance_ETHUSDT_1m_2025-05-04_2025-06-24.csv.gz"}
    window = (FIRST_MINUTE_MS + 2 * DAY_MS, FIRST_MINUTE_MS + 12 * DAY_MS)
    compare_files(tmp_path, candles, {"ETHUSDT": RATES.format("ETHUSDT")}, {}, OFF, runners, window, 10)


@needs_data
def test_open_interest(tmp_path: Path) -> None:
    settings = {**OFF, "liquidation.oi_change_threshold": 0.5, "liquidation.zone_buffer_percent": 1.5}
    parameters: dict[str, int | float] = {"oi_change_threshold": 0.5, "zone_buffer_percent": 1.5}
    candles = {"BTCUSDT": "binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz"}
    interest = {"BTCUSDT": "binance_BTCUSDT_open_interest_5m_2024-09-13_2024-09-18.csv.gz"}
    runners = {"liquidation": RunnerSettings(parameters, risk=NO_LIMITS)}
    compare_files(tmp_path, candles, {}, interest, settings, runners, (None, None), 2)


# ---------------------------------------------------------------- random markets


def oracle_on(tape: RandomTape, risk: RiskSettings) -> Result:
    """The oracle over a random market, holes, late candles and all."""
    names = [contract.symbol for contract in tape.contracts]
    rows = [
        (
            name,
            [
                (t, *prices, (symbol, t) in tape.late)
                for t, *prices in zip(table.open_time_ms, *table.values(), strict=True)
            ],
        )
        for symbol, (name, table) in enumerate(zip(names, tape.candles, strict=True))
    ]
    rates, interest = (
        {
            name: list(zip(s.time_ms, s.value, strict=True))
            for name, s in zip(names, tables, strict=True)
            if s is not None
        }
        for tables in (tape.funding, tape.open_interest)
    )
    given = {f"{name}.{key}": float(value) for name in BUILT_IN for key, value in EAGER[name].items()}
    given |= {f"risk.{key}": float(value) for key, value in vars_of(risk).items()}
    frame_ms = tape.contracts[0].timeframe_ms
    grids = dict.fromkeys(names, GRID)
    return simulate(rows, rates, interest, BUILT_IN, given, tape.start_ms, base_ms=frame_ms, contracts=grids)


def vars_of(risk: RiskSettings) -> dict[str, float]:
    """The limits that these tests move."""
    names = (
        "max_session_loss_percent",
        "max_daily_loss_percent",
        "global_max_loss_percent",
        "max_risk_per_trade_percent",
    )
    return {name: getattr(risk, name) for name in names}


@pytest.mark.parametrize("seed", range(4))
def test_five_minutes_with_holes_resets_and_late_candles(seed: int, tmp_path: Path) -> None:
    recipe = Recipe(seed, 3, 600, FIVE_MINUTES_MS, holes=4, long_holes=seed % 2, late_share=0.03, warm_up=50)
    tape = market(recipe)
    assert_same(outcome_of(tape, eager(BUILT_IN)), oracle_on(tape, NO_LIMITS), tmp_path, 20)


def test_minutes_with_holes_and_late_candles(tmp_path: Path) -> None:
    tape = market(Recipe(21, 2, 2_500, move_percent=0.1, holes=4, late_share=0.03, funding_minutes=30))
    assert_same(outcome_of(tape, eager(BUILT_IN)), oracle_on(tape, NO_LIMITS), tmp_path, 20)


@pytest.mark.parametrize("limit", ["session", "day", "global"])
def test_every_kill_switch(limit: str, tmp_path: Path) -> None:
    risks = {
        "session": replace(NO_LIMITS, max_session_loss_percent=1.0),
        "day": replace(NO_LIMITS, max_daily_loss_percent=0.7),
        "global": replace(NO_LIMITS, global_max_loss_percent=1.0),
    }
    tape = market(Recipe(31, 3, 600, FIVE_MINUTES_MS, holes=2, late_share=0.01, warm_up=50))
    result = oracle_on(tape, risks[limit])
    assert result.trips, "nothing tripped"
    assert_same(outcome_of(tape, eager(BUILT_IN, risks[limit])), result, tmp_path, 5)
