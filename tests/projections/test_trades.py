"""Given closes, then trades and the trades file."""

from __future__ import annotations

import csv
from io import StringIO
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from papertape.events.errors import UsageError
from papertape.events.units import HOUR_MS
from papertape.projections.folds.performance import trade_figures
from papertape.projections.folds.trades import Trades, TradeView, write_trades_csv
from papertape.projections.host import fold
from papertape.projections.persistence.append_only import CHUNK_LENGTH
from papertape.projections.persistence.packing import pack, unpack
from tests.build import DAY_0_MS, closed, configured, opened, ordered, recorded, trade

if TYPE_CHECKING:
    from papertape.events.facts import Event

HEADER = (
    "strategy,symbol,side,quantity_base,entry_time_ms,entry_price_usdt,exit_time_ms,exit_price_usdt,reason,"
    "gross_usdt,fees_usdt,funding_usdt,slippage_usdt,net_usdt,r_multiple,ambiguous,parts,max_quantity_base"
)


def trades(*events: Event) -> Trades:
    view = Trades()
    fold([view], recorded(events))
    return view


def written(*chosen: TradeView) -> str:
    file = StringIO()
    write_trades_csv(file, chosen)
    return file.getvalue()


def test_an_open_position_is_no_trade() -> None:
    assert trades(configured(), ordered(), opened()).closed() == ()


def test_a_trade_has_the_seqs_of_its_order_opening_and_close() -> None:
    trade = trades(configured(), ordered(), opened(), ordered("exit"), closed(5.0)).closed()[0]
    assert (trade.order_seq, trade.opened_seq, trade.seq, trade.entry_reason) == (2, 3, 5, "signal")
    assert trade.net_usdt == pytest.approx(4.88)
    assert trade.risk_usdt == 2.0
    assert trade.holding_ms == HOUR_MS
    assert trade.turnover_usdt == 205.0


def test_a_trade_is_found_by_the_event_that_closed_it() -> None:
    many = trades(*[opened(), closed(1.0)] * 200)
    assert [many.closed_by(trade.seq) for trade in many.closed()] == list(many.closed())
    for seq in (0, 1, 399, 401):
        with pytest.raises(UsageError, match=f"no trade closed at event {seq}"):
            many.closed_by(seq)


def test_a_trade_does_not_inherit_from_the_one_before() -> None:
    second = trades(ordered(), opened(), closed(5.0), closed(1.0)).closed()[1]
    assert (second.order_seq, second.opened_seq) == (0, 0)


def test_trades_are_filtered_by_strategy_and_symbol() -> None:
    view = trades(closed(1.0, "a"), closed(2.0, "b"), closed(3.0, "a", "ETHUSDT"))
    assert [t.gross_usdt for t in view.closed()] == [1.0, 2.0, 3.0]
    assert [t.gross_usdt for t in view.closed("a")] == [1.0, 3.0]
    assert [t.gross_usdt for t in view.closed("a", "ETHUSDT")] == [3.0]
    assert [t.gross_usdt for t in view.closed(symbol="BTCUSDT")] == [1.0, 2.0]
    assert view.closed("nobody") == ()
    assert (view.count("a"), view.count("nobody"), view.count()) == (2, 0, 3)
    for strategy, symbol in product((None, "a", "b", "nobody"), (None, "BTCUSDT", "ETHUSDT")):
        chosen = view.closed(strategy, symbol)
        assert tuple(view.newest(strategy, symbol)) == chosen[::-1]
        assert view.figures(strategy, symbol) == trade_figures(chosen)


@given(st.lists(st.floats(-1e4, 1e4), max_size=150), st.integers(0, 150))
def test_figures_are_those_of_all_trades_also_after_a_restart(results: list[float], restart_after: int) -> None:
    before, after = (tuple(map(closed, part)) for part in (results[:restart_after], results[restart_after:]))
    state = pack(trades(*before))
    continued: Trades = unpack(state.state, load=lambda key: unpack(state.contents[key]))
    fold([continued], recorded(after, first_seq=len(before) + 1))
    assert continued.figures() == trade_figures(trades(*before, *after).closed())


def test_figures_and_the_newest_trades_read_no_older_ones() -> None:
    packed, read = pack(trades(*map(closed, range(10 * CHUNK_LENGTH)))), []

    def load(key: bytes) -> tuple[object, ...]:
        read.append(key)
        items: tuple[object, ...] = unpack(packed.contents[key])
        return items

    kept: Trades = unpack(packed.state, load=load)
    assert kept.figures().trades == kept.figures("momentum").trades == kept.count() == 10 * CHUNK_LENGTH
    assert read == []
    assert [trade.gross_usdt for trade in kept.latest(20)] == [10.0 * CHUNK_LENGTH - 1.0 - n for n in range(20)]
    assert len(read) == 1


def test_the_latest_trades_come_newest_first() -> None:
    view = trades(closed(1.0), closed(2.0), closed(3.0))
    assert [t.gross_usdt for t in view.latest(2)] == [3.0, 2.0]
    assert view.latest(0) == ()


def test_the_file_without_trades_is_its_header() -> None:
    assert written() == HEADER + "\n"


def test_a_line_of_the_file() -> None:
    line = written(*trades(closed(0.1 + 0.2, funding_usdt=-0.5, ambiguous=True)).closed()).splitlines()[1]
    net = (0.1 + 0.2) - 0.12 - 0.5
    entry_ms, exit_ms = DAY_0_MS, DAY_0_MS + HOUR_MS
    expected = f"momentum,BTCUSDT,long,1.0,{entry_ms},100.0,{exit_ms},100.3,stop,0.30000000000000004,0.12,-0.5,0.1"
    assert line == f"{expected},{net!r},{net / 2.0!r},1,1,1.0"


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.sampled_from(["long", "short"]))
def test_every_column_reads_back_equal(number: float, ambiguous: bool, side: str) -> None:
    original = replace(trade(1.0), gross_usdt=number, ambiguous=ambiguous, side=side)
    (row,) = csv.DictReader(StringIO(written(original)))
    for column, text in row.items():
        value = getattr(original, column)
        assert (bool(int(text)) if column == "ambiguous" else type(value)(text)) == value
