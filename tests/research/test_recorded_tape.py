"""A backtest over a log decides what the live run that wrote it decided, to the bit."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.cli.config.sections import Config
from papertape.cli.offline.backtest_log import write_log
from papertape.engine.kernel.codes import CANDLE, ON_TIME, WARM_UP
from papertape.engine.research.backtest import Backtest, backtest_tape
from papertape.engine.research.excerpt import excerpt
from papertape.engine.research.long_way import run_long_way
from papertape.engine.research.recorded_tape import ROW, RecordedTape, tape_of_log
from papertape.engine.research.set_result import TradedSpan
from papertape.engine.research.set_runs import SetRunner
from papertape.engine.research.tape import MARKET_CHANGE
from papertape.engine.verify import verify
from papertape.events.errors import LogMissing, UsageError
from papertape.events.facts import (
    CONFIGURATION,
    ContractDelisted,
    ContractListed,
    KillSwitchTripped,
    RunnerConfigured,
    RunnerPaused,
    SignalReceived,
    SymbolResumed,
    SymbolSuspended,
    Timing,
)
from papertape.events.log import Entry, Recorded
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.projections.folds.coverage import Coverage
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.host import fold
from papertape.studies.tape_store import TapeStore
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, listed, settled
from tests.engine.logs import recorded, story, write
from tests.engine.parts import Given, live, settings
from tests.events.loop import in_loop
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import BUILT_IN, eager
from tests.support import NO_LIMITS, STRATEGIES, examples

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.engine.research.tape import Tape
    from papertape.engine.runner_settings import RunnerSettings
    from papertape.events.facts import Event

pytestmark = pytest.mark.system

SESSIONS = replace(NO_LIMITS, max_session_loss_percent=3.0, global_max_loss_percent=2.0)


def out_of_order(recipe: Recipe) -> tuple[list[ContractListed], list[Any]]:
    """A market as a live feed may bring it: facts delayed, symbols behind each other, contracts changed on the way."""
    random, tape = Random(recipe.seed), market(recipe)
    facts: list[Any] = list(tape.events())
    delays = {(contract.symbol, hour): random.choice([0, 0, 7, 61]) for contract in tape.contracts for hour in range(9)}

    def arrival_ms(fact: Any) -> int:
        return int(fact.at_ms + delays[fact.symbol, fact.at_ms // HOUR_MS % 9] * MINUTE_MS)

    facts.sort(key=arrival_ms)
    for contract in tape.contracts:
        at = random.randrange(len(facts) // 4, len(facts))
        at_ms = facts[at].at_ms
        coarse = replace(
            contract, at_ms=at_ms, tick_denominator=4, lot_denominator=50, maintenance_tiers=((0.0, 0.02),)
        )
        changes: list[Any] = [
            coarse,
            replace(coarse, lot_denominator=10, maintenance_tiers=((0.0, 0.01), (1_000.0, 0.05))),
            SymbolSuspended(at_ms, contract.symbol, "maintenance"),
            SymbolResumed(at_ms, contract.symbol, "over"),
            ContractDelisted(at_ms, contract.symbol, "it is no longer listed"),
            ContractDelisted(at_ms + 2 * DAY_MS, contract.symbol, "it is no longer listed"),
        ]
        for place, change in enumerate(changes[: random.randrange(len(changes) + 1)]):
            facts.insert(min(len(facts), at + place * random.randrange(1, 90)), change)
    return tape.contracts, facts


def paper(folder: Path, recipe: Recipe, runners: dict[str, RunnerSettings], lives: int = 2) -> Path:
    """The log of a live run over such a market, which is stopped and started on the way."""
    contracts, facts = out_of_order(recipe)
    what = settings(folder / f"{recipe.seed}.db", runners=runners)
    if not what.db.exists():
        share = len(facts) // lives + 1
        for first in range(0, len(facts), share):
            asyncio.run(live(what, Given(contracts, facts[first : first + share])))
    return what.db


def made_again(db: Path, runners: dict[str, RunnerSettings], engine: str = "python") -> Backtest:
    return backtest_tape(tape_of_log(db), STRATEGIES, runners, engine)


def written(run: Backtest, path: Path) -> Path:
    """The run as a log of its own."""
    path.unlink(missing_ok=True)
    asyncio.run(write_log(run, path, Config(), lambda _: None))
    return path


def assert_same_story(db: Path, run: Backtest) -> None:
    again = written(run, db.with_suffix(".again.db"))
    assert story(again) == story(db)
    with closing(SqliteLogReader(again)) as reader:
        assert verify(reader, None, STRATEGIES).difference is None


@examples(8)
@given(seed=st.integers(0, 2**32), symbols=st.integers(1, 3), warm_up=st.sampled_from([0, 60]))
def test_a_log_in_any_order_is_decided_again_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, seed: int, symbols: int, warm_up: int
) -> None:
    recipe = Recipe(seed, symbols, candles=240, holes=2, long_holes=1, late_share=0.1, told_of=0.1, warm_up=warm_up)
    runners = eager(["scripted"], SESSIONS)
    db = paper(tmp_path_factory.mktemp("log"), recipe, runners)
    assert_same_story(db, made_again(db, runners))


def test_these_logs_are_as_unruly_as_live_ones(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    runners = eager(["scripted"], SESSIONS)
    for seed in (0, 4, 5):
        db = paper(tmp_path, Recipe(seed, 3, candles=240, holes=2, late_share=0.1, told_of=0.1, warm_up=60), runners)
        times_ms = made_again(db, runners).facts.time_ms
        found["backwards"] += sum(later < earlier for earlier, later in pairwise(times_ms))
        for item in recorded(db):
            found[type(item.event).__name__] += 1
            found[str(getattr(item.event, "timing", ""))] += 1
            found[str(getattr(item.event, "reason", ""))] += 1
    for name in ("backwards", str(Timing.LATE), str(Timing.WARM_UP), "delisted", "KillSwitchTripped", "FundingPaid",
                 "GapFound", "OpenInterestObserved", "OrderCancelled", "SymbolResumed"):  # fmt: skip
        assert found[name] > 0, (name, found)


def test_the_built_in_strategies(tmp_path: Path) -> None:
    recipe = Recipe(3, 2, 500, FIVE_MINUTES_MS, holes=2, late_share=0.05, warm_up=100)
    runners = eager(BUILT_IN, SESSIONS)
    db = paper(tmp_path, recipe, runners, lives=3)
    run = made_again(db, runners)
    assert_same_story(db, run)
    assert {item.runner for item in run.decided} >= {-1, 1, 2, 3}, "three strategies and the global switch"


def test_both_engines_run_a_log_alike_and_cut_it_alike(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    from tests.research.ways import assert_same_bits  # noqa: PLC0415 - belongs to an extra

    runners = eager(["scripted", "momentum"], NO_LIMITS)
    recipe = Recipe(4, 3, 700, holes=2, late_share=0.05, told_of=0.1, warm_up=100)
    columns = tape_of_log(paper(tmp_path, recipe, runners))
    assert_same_bits(columns, runners, at_least=50)
    assert columns.changes(columns.columns())
    for start_ms, end_ms in (
        (None, None),
        (DAY_0_MS + 3 * HOUR_MS, None),
        (DAY_0_MS + HOUR_MS, DAY_0_MS + 6 * HOUR_MS),
    ):
        part = replace(columns, start_ms=start_ms, end_ms=end_ms)
        for plain, numbers in zip(part.columns(), part.arrays(), strict=True):
            assert plain.tolist() == numbers.tolist()


def test_the_excerpt_of_a_log_folds_to_the_end_of_the_whole(tmp_path: Path) -> None:
    runners = eager(["scripted"], NO_LIMITS)
    recipe = Recipe(5, 3, candles=240, holes=2, late_share=0.1, told_of=0.1, warm_up=60)
    db = paper(tmp_path, recipe, runners)
    for start_ms in (None, DAY_0_MS + 2 * HOUR_MS):
        tape = tape_of_log(db, (), start_ms, DAY_0_MS + 5 * HOUR_MS)
        run = backtest_tape(tape, STRATEGIES, runners, "python")
        whole = [entry.event for group in run.entries([]) for entry in group]
        assert views(list(excerpt(run))) == views(whole)
        assert run.decided


def views(events: list[Event]) -> tuple[Any, ...]:
    """What a backtest shows of its end."""
    portfolio = Portfolio()
    coverage = Coverage(portfolio)
    fold([portfolio, coverage], (Recorded(0, 0, 0, event) for event in events))
    return portfolio.positions(), portfolio.orders(), coverage.of("scripted"), coverage.data()


@in_loop
async def test_signals_keep_their_source_and_only_the_wanted_symbols_are_taken(tmp_path: Path) -> None:
    signal = SignalReceived(DAY_0_MS + 90_000, "BBB", "trend", 1.5, "anna", "7")
    facts: list[Any] = [listed("AAA"), candle(0, 1.0, "AAA"), listed("BBB"), candle(0, 2.0, "BBB"), signal]
    facts += [settled(120_000, 0.001, "AAA"), candle(1, 1.0, "AAA"), candle(1, 2.0, "BBB", Timing.LATE)]
    await write(tmp_path / "log.db", [Entry(fact) for fact in facts])
    tape = tape_of_log(tmp_path / "log.db", ["BBB"])
    assert [contract.symbol for contract in tape.contracts] == ["BBB"]
    run = backtest_tape(tape, STRATEGIES, eager(["scripted"]), "python")
    told = [
        entry.event for group in run.entries([]) for entry in group if not isinstance(entry.event, RunnerConfigured)
    ]
    assert told == [facts[2], facts[3], signal, facts[7]]
    assert run.world.signals.names == ["trend"]


@in_loop
async def test_a_log_that_an_engine_is_writing_is_read_up_to_its_head(tmp_path: Path) -> None:
    log = await SqliteEventLog.open(tmp_path / "log.db", clock_ms=lambda: 1)
    try:
        await log.append(0, [Entry(listed("S00")), Entry(candle(0, 1.0, "S00"))])
        seen: list[int] = []
        total = tape_of_log(tmp_path / "log.db", on_progress=seen.append).total()
        await log.append(2, [Entry(candle(1, 1.0, "S00"))])
        assert (total, seen) == (1, [2])
        assert tape_of_log(tmp_path / "log.db").total() == 2
    finally:
        await log.close()


@in_loop
async def test_what_cannot_be_run_over_is_refused_by_name(tmp_path: Path) -> None:
    await write(tmp_path / "log.db", [Entry(listed("AAA"))])
    with pytest.raises(UsageError, match=r"there is no symbol 'CCC'; .*has: AAA"):
        tape_of_log(tmp_path / "log.db", ["CCC"])
    with pytest.raises(UsageError, match=r"log\.db holds no candle"):
        tape_of_log(tmp_path / "log.db")
    with pytest.raises(LogMissing):
        tape_of_log(tmp_path / "none.db")


@in_loop
async def test_the_owner_s_commands_are_counted_and_not_repeated(tmp_path: Path) -> None:
    by_hand = KillSwitchTripped(DAY_0_MS, "global", "manual", 1.0, 1.0, 1.0, 0.0)
    commands = [RunnerPaused(DAY_0_MS, "scripted", "anna", "news"), by_hand]
    own = [RunnerPaused(DAY_0_MS, "scripted", CONFIGURATION, "not enabled")]
    await write(tmp_path / "log.db", [Entry(one) for one in (listed("A"), candle(0, 1.0, "A"), *commands, *own)])
    tape = tape_of_log(tmp_path / "log.db")
    assert (tape.commands, tape.total()) == (2, 1)


def test_a_stored_tape_of_a_log_comes_back_as_it_was(tmp_path: Path) -> None:
    runners = eager(["scripted"], SESSIONS)
    recipe = Recipe(4, 3, candles=240, holes=2, late_share=0.1, told_of=0.1, warm_up=60)
    tape, store = tape_of_log(paper(tmp_path, recipe, runners)), TapeStore(tmp_path)
    again = store.get(store.put(tape))
    assert isinstance(again, RecordedTape)
    for name in ("contracts", "rows", "events", "warm_ups", "commands"):
        assert getattr(again, name) == getattr(tape, name)
    decided = [backtest_tape(one, STRATEGIES, runners, "python").decided for one in (tape, again)]
    assert decided[0] == decided[1] != []


@pytest.mark.parametrize(("symbols", "late_share", "warm_up"), [(1, 0.1, 0), (3, 0.1, 0), (3, 0.0, 1_500)])
@pytest.mark.parametrize("begin_ms", [None, DAY_0_MS + HOUR_MS + MINUTE_MS])
def test_sets_over_a_log_are_prepared_and_equal_a_backtest(
    tmp_path: Path, symbols: int, late_share: float, warm_up: int, begin_ms: int | None
) -> None:
    runners = eager(["scripted"], NO_LIMITS)
    made = market(
        Recipe(4, symbols, candles=240 + warm_up, holes=2, late_share=late_share, told_of=0.1, warm_up=warm_up)
    )
    asyncio.run(write(tmp_path / "log.db", [Entry(one) for one in (*made.contracts, *made.events())]))
    tape, values = tape_of_log(tmp_path / "log.db"), [{"stop_percent": 0.5}, {"stop_percent": 2.0}]
    assert_like_backtests(tape, runners["scripted"], values, TradedSpan(begin_ms, None), "")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [(100, 101, "candles out of order in the log"), (100, None, "a contract changes in the log")],
)
def test_sets_over_a_log_in_another_order_are_walked(
    tmp_path: Path, first: int, second: int | None, reason: str
) -> None:
    runners = eager(["scripted"], SESSIONS)
    made = market(Recipe(4, candles=240, told_of=0.1))
    asyncio.run(write(tmp_path / "log.db", [Entry(one) for one in (*made.contracts, *made.events())]))
    tape = tape_of_log(tmp_path / "log.db")
    candles = [f for f, kind in enumerate(tape.columns().kind) if kind == CANDLE]
    rows = [tape.rows[at : at + ROW.size] for at in range(0, len(tape.rows), ROW.size)]
    if second is None:
        tape.events.append(tape.contracts[0])
        rows.insert(first, ROW.pack(MARKET_CHANGE, 0, 0, len(tape.events) - 1, DAY_0_MS, *[0.0] * 5))
    else:
        rows[candles[first]], rows[candles[second]] = rows[candles[second]], rows[candles[first]]
    values = [{"stop_percent": 0.5}, {"stop_percent": 2.0}]
    assert_like_backtests(replace(tape, rows=b"".join(rows)), runners["scripted"], values, TradedSpan(), reason)


def test_a_candle_that_is_repeated_or_warms_up_later_is_out_of_order(tmp_path: Path) -> None:
    made = market(Recipe(4, candles=3))
    asyncio.run(write(tmp_path / "log.db", [Entry(one) for one in (*made.contracts, *made.events())]))
    tape = tape_of_log(tmp_path / "log.db")
    rows = list(ROW.iter_unpack(tape.rows))
    newest = next(row for row in reversed(rows) if row[0] == CANDLE)
    kind, symbol, _, opened_ms, at_ms, *prices = newest
    minute_ms = at_ms - opened_ms
    following = [kind, symbol, ON_TIME, opened_ms + minute_ms, at_ms + minute_ms, *prices]
    for added, is_disorder in ((following, False), (newest, True), ([*following[:2], WARM_UP, *following[3:]], True)):
        longer = replace(tape, rows=tape.rows + ROW.pack(*added))
        assert longer.disorder == ("candles out of order in the log" if is_disorder else "")


def assert_like_backtests(
    tape: Tape, settings: RunnerSettings, values: list[dict[str, float]], span: TradedSpan, reason: str
) -> None:
    """Sets bring what each brings fact by fact, which they are for a reason, if there is one."""
    runner = SetRunner(tape, STRATEGIES, "scripted", settings, "python")
    found = [one._replace(long_way=1) for one in runner.run(values, span)]
    how = tape, STRATEGIES, "scripted", settings
    assert found == [run_long_way(*how, one, span, "python") for one in values]
    assert found[0].trades > 0
    assert dict(runner.long_way) == ({reason: 2} if reason else {})
