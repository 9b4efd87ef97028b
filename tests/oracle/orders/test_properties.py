"""What holds in every market, whatever is ordered: ledgers, parts, margins, candles, replay and mirrors."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.engine.reducer.reducer import fold, groups
from papertape.engine.reducer.snapshot_codec import decode, encode
from papertape.engine.reducer.state import new_state
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.facts import (
    CandleClosed,
    Closing,
    Event,
    FundingPaid,
    Liquidated,
    OrderCancelled,
    OrderRejected,
    PositionIncreased,
    PositionOpened,
    PositionReduced,
)
from tests.reducer.random_market import Recipe, recipes
from tests.reducer.runs import Run, begin
from tests.support import NO_LIMITS, examples, feed, state_of

from .dictation import mirrored_volume
from .engine_runs import dictated_strategies, fills_of
from .tapes import dictated_market

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.engine.kernel.risk_settings import RiskSettings
    from tests.reducer.random_market import RandomTape

Opening = PositionOpened | PositionIncreased
Part = PositionReduced | Closing
MARKETS = recipes(candles=200)
ALL_MARGIN = replace(NO_LIMITS, max_concurrent_positions=1, free_margin_percent=0.0, max_risk_per_trade_percent=100.0)


def played(tape: RandomTape, risk: RiskSettings = NO_LIMITS, absolute: int = 0) -> Run:
    """The dictated strategy's run of a tape, through the functions that run live."""
    settings = {"dictated": RunnerSettings({"absolute": absolute}, risk=risk)}
    run = begin(tape.contracts, settings, dictated_strategies())
    feed(run.world, run.log, tape.events())
    return run


def trades(run: Run) -> Iterator[list[Event]]:
    """The events of every trade that ended, from flat to flat."""
    held: dict[str, list[Event]] = defaultdict(list)
    for event in run.events():
        if isinstance(event, Opening | Part | FundingPaid):
            held[event.symbol].append(event)
            if isinstance(event, Closing):
                yield held.pop(event.symbol)


@examples(20)
@given(MARKETS)
def test_the_parts_of_a_trade_add_up_to_the_whole(recipe: Recipe) -> None:
    for events in trades(played(dictated_market(recipe))):
        whole = events[-1]
        assert isinstance(whole, Closing)
        reduced = [event for event in events if isinstance(event, PositionReduced)]
        opened = sum(event.quantity_base for event in events if isinstance(event, Opening))
        closed = sum(event.quantity_base for event in reduced) + whole.part_quantity_base
        assert opened == pytest.approx(whole.quantity_base, abs=1e-9)
        assert closed == pytest.approx(whole.quantity_base, abs=1e-9)
        assert whole.parts == len(reduced) + 1
        for name in ("gross_usdt", "fees_usdt", "funding_usdt", "slippage_usdt", "net_usdt"):
            parts = sum(getattr(event, name) for event in reduced) + getattr(whole, f"part_{name}")
            assert parts == pytest.approx(getattr(whole, name), abs=1e-6), name
        paid = sum(event.amount_usdt for event in events if isinstance(event, FundingPaid))
        assert paid == pytest.approx(whole.funding_usdt, abs=1e-6)
        fees = sum(event.fee_usdt for event in events if isinstance(event, Opening | Part))
        assert fees == pytest.approx(whole.fees_usdt, abs=1e-6)
        assert whole.net_usdt == pytest.approx(whole.gross_usdt - whole.fees_usdt + whole.funding_usdt, abs=1e-9)


@examples(20)
@given(MARKETS)
def test_cash_is_the_capital_and_every_line_of_the_ledger(recipe: Recipe) -> None:
    run = played(dictated_market(recipe))
    lines = [fill["gross_usdt"] - fill["fee_usdt"] for fill in fills_of(run.events())]
    lines += [event.amount_usdt for event in run.events() if isinstance(event, FundingPaid)]
    account = run.world.runner("dictated").account
    assert account.cash_usdt == pytest.approx(10_000.0 + sum(lines), abs=1e-6)
    held = zip(run.world.runner("dictated").desks, run.world.markets, strict=True)
    marked = [p.side * p.quantity_base * (m.close - p.entry_price_usdt) for p, m in ((d.position, m) for d, m in held)]
    assert account.equity_usdt == pytest.approx(account.cash_usdt + sum(marked), abs=1e-6)


@examples(20)
@given(MARKETS, st.sampled_from([NO_LIMITS, ALL_MARGIN, replace(ALL_MARGIN, leverage=20.0)]))
def test_the_margin_never_exceeds_the_equity_at_an_opening(recipe: Recipe, risk: RiskSettings) -> None:
    """Of the position against the equity of the last close, and of all of them against the cash."""
    tape = dictated_market(recipe)
    run = begin(tape.contracts, {"dictated": RunnerSettings(risk=risk)}, dictated_strategies())
    account, margins, cash = run.world.runner("dictated").account, dict[str, float](), risk.capital_usdt
    for fact in tape.events():
        equity, known = account.equity_usdt, len(run.log)
        feed(run.world, run.log, [fact])
        for event in (item.event for item in run.log[known:]):
            if isinstance(event, FundingPaid):
                cash += event.amount_usdt
            elif isinstance(event, Closing):
                cash += event.part_gross_usdt - event.fee_usdt
                del margins[event.symbol]
            elif isinstance(event, PositionReduced):
                cash += event.gross_usdt - event.fee_usdt
                margins[event.symbol] = event.margin_usdt
            elif isinstance(event, Opening):
                cash -= event.fee_usdt
                margins[event.symbol] = event.margin_usdt
                assert event.margin_usdt <= equity
                assert sum(margins.values()) <= cash


# ---------------------------------------------------------------- candles


def fills_by_candle(run: Run) -> Iterator[tuple[CandleClosed, Opening | Part]]:
    """Every fill with the candle in which it happened."""
    for group in groups(run.log):
        head = group[0].event
        if isinstance(head, CandleClosed):
            for item in group[1:]:
                if isinstance(item.event, Opening | Part) and not isinstance(item.event, Liquidated):
                    yield head, item.event


@examples(20)
@given(MARKETS)
def test_no_fill_lies_outside_its_candle_beyond_slippage(recipe: Recipe) -> None:
    """A limit or target that a gap went through fills at its own price, which is worse than the open.

    It fills at the open; a target only later in the candle if the position was opened in it.
    """
    seen, entered_ms = 0, -1
    for candle, event in fills_by_candle(played(dictated_market(recipe))):
        entered_ms = event.candle_open_ms if isinstance(event, PositionOpened) else entered_ms
        price = event.part_price_usdt if isinstance(event, Closing) else event.price_usdt
        reference, seen = event.reference_price_usdt, seen + 1
        buys = (event.side == "long") == isinstance(event, Opening)
        assert abs(price - reference) <= reference * 0.001 + 0.01 + 1e-9
        assert price >= reference if buys else price <= reference
        if candle.low <= reference <= candle.high:
            continue
        open_ms = candle.at_ms - candle.timeframe_ms
        assert open_ms in (event.at_ms, entered_ms), "it was filled by a gap"
        assert price == reference
        assert reference > candle.open if buys else reference < candle.open


# ---------------------------------------------------------------- the same again


@examples(15)
@given(MARKETS, st.integers(0, 10_000))
def test_feeding_facts_twice_changes_nothing(recipe: Recipe, cut: int) -> None:
    tape = dictated_market(recipe)
    run, facts = played(tape), tape.events()
    before, length = state_of(run.world), len(run.log)
    feed(run.world, run.log, facts[cut % len(facts) :])
    assert (state_of(run.world), len(run.log)) == (before, length)


@examples(15)
@given(MARKETS, st.integers(0, 10_000))
def test_folding_with_a_pause_anywhere_equals_folding_at_once(recipe: Recipe, cut: int) -> None:
    """The pause is a restart: what was folded goes through the bytes of a snapshot."""
    strategies = dictated_strategies()
    run = played(dictated_market(recipe))
    folded = list(groups(run.log))
    pause = 1 + cut % (len(folded) - 1)
    first = new_state(strategies)
    fold(first, [item for group in folded[:pause] for item in group])
    second = decode(encode(first), strategies)
    fold(second, [item for group in folded[pause:] for item in group])
    whole = new_state(strategies)
    fold(whole, run.log)
    assert encode(second) == encode(whole) == encode(run.world)


@examples(10)
@given(MARKETS, st.integers(0, 10_000))
def test_deciding_goes_on_after_a_pause_as_if_nothing_had_happened(recipe: Recipe, cut: int) -> None:
    tape = dictated_market(recipe)
    whole, facts = played(tape), tape.events()
    first = begin(tape.contracts, {"dictated": RunnerSettings(risk=NO_LIMITS)}, dictated_strategies())
    feed(first.world, first.log, facts[: cut % len(facts)])
    second = Run(decode(encode(first.world), dictated_strategies()), first.log)
    feed(second.world, second.log, facts)
    assert second.log == whole.log


# ---------------------------------------------------------------- mirrors


def mirrored_tape(tape: RandomTape) -> RandomTape:
    """The market mirrored about 100, and every order to the other side."""
    tables = []
    for table in tape.candles:
        mirrored = {
            name: type(column)(column.typecode, [round(200.0 - price, 2) for price in column])
            for name, column in zip(("open", "low", "high", "close"), table.values()[:4], strict=True)
        }
        volume = type(table.volume)(table.volume.typecode, map(mirrored_volume, table.volume))
        tables.append(replace(table, **mirrored, volume=volume))
    return replace(tape, candles=tables)


def story(run: Run, side: int) -> list[tuple[object, ...]]:
    """What happened, with prices as the long sees them; quantities differ with the price."""
    fills = iter(fills_of(run.events()))
    told: list[tuple[object, ...]] = []
    for event in run.events():
        if isinstance(event, Opening | Part):
            fill = next(fills)
            price = fill["price_usdt"] if side == 1 else round(200.0 - fill["price_usdt"], 2)
            told.append((event.at_ms, event.symbol, fill["action"], fill["reason"], fill["rung"], price))
        elif isinstance(event, OrderRejected):
            told.append((event.at_ms, event.symbol, event.action, event.reason))
        elif isinstance(event, OrderCancelled):
            told.append((event.at_ms, event.symbol, event.action, event.rung, event.reason))
    return told


@examples(20)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_long_and_short_mirror_each_other_for_every_kind_of_order(seed: int, symbols: int) -> None:
    tape = dictated_market(Recipe(seed, symbols, candles=200, move_percent=0.3, holes=2, late_share=0.02))
    free = replace(NO_LIMITS, taker_fee_percent=0.0, maker_fee_percent=0.0, slippage_percent=0.0)
    long, short = played(tape, free, absolute=1), played(mirrored_tape(tape), free, absolute=1)
    assert story(long, 1) == story(short, -1)
