"""A report says what the folds say, needs nothing but itself, escapes every name, and overwrites nothing."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser
from math import fsum, prod
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from papertape.cli.config.sections import Config
from papertape.cli.offline.backtest_log import write_log as write_backtest
from papertape.cli.offline.report import ReportOptions, write_report
from papertape.cli.offline.report import _strategies as strategies_of
from papertape.cli.offline.report_luck import luck_of
from papertape.cli.offline.report_redraws import redrawn
from papertape.engine.inspect.entry_regimes import UNKNOWN, EntryRegimes
from papertape.engine.kernel.codes import REGIME_NAMES
from papertape.engine.research.backtest import backtest_tape
from papertape.engine.research.recorded_tape import tape_of_log
from papertape.events.errors import LogForeign, UsageError
from papertape.events.facts import EngineStarted, OrderPlaced
from papertape.events.log import Entry
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import fold
from papertape.projections.site.report import TRADES_MAX, year_rows
from papertape.projections.text.formats import gain, gain_percent
from tests.build import DAY_0_MS, FIVE_MINUTES_MS, candle, closed, listed, opened, ordered
from tests.cli.research_market import call, study_of, sweep_line, write_market
from tests.cli.written_log import entries, write_log
from tests.engine.logs import recorded
from tests.reducer.random_market import Recipe, market
from tests.reducer.runs import eager
from tests.support import NO_LIMITS, STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.site.report import StrategyReport

PLAYERS = ("vwap_rsi", "momentum", "funding")
FETCHING = ("script", "link", "img", "image", "iframe", "form", "object", "embed", "use", "base")
ELSEWHERE = ("src", "srcset", "href", "xlink:href", "action", "style", "onload", "onerror", "onclick")
VOID = ("meta", "br", "hr", "path", "rect", "line", "circle", "polyline", "polygon")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a backtest of three strategies over ten days."""
    path = tmp_path_factory.mktemp("report") / "log.db"
    tape = market(Recipe(7, 2, candles=10 * 288, timeframe_ms=FIVE_MINUTES_MS, holes=2, warm_up=200))
    run = backtest_tape(tape, STRATEGIES, eager(PLAYERS, NO_LIMITS), "python")
    asyncio.run(write_backtest(run, path, Config(), lambda _: None))
    return path


@pytest.fixture(scope="module")
def reports(db: Path) -> tuple[StrategyReport, ...]:
    return strategies_of(db, ReportOptions(str(db), db.with_suffix(".html")))


class SelfContained(HTMLParser):
    """Checks that every element is closed, and that none of them fetches or runs anything."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in FETCHING
        assert all((value or "").startswith("#") for name, value in attrs if name in ELSEWHERE), attrs
        if tag not in VOID:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.opened.pop() == tag


def page_of(subject: Path | str, html: Path, **more: object) -> str:
    """The page of a subject, which is well formed and asks nobody for anything."""
    write_report(ReportOptions(str(subject), html, **more))  # type: ignore[arg-type]
    text = html.read_text("utf-8")
    assert re.search(r"url\(|@import|//[a-z]", text[: text.index("</style>")]) is None
    parser = SelfContained()
    parser.feed(text)
    assert parser.opened == []
    return text


@pytest.mark.system
def test_the_figures_are_the_arena_s_and_the_groups_add_up(
    db: Path, reports: tuple[StrategyReport, ...], tmp_path: Path
) -> None:
    portfolio = Portfolio()
    trades = Trades(portfolio.excursions)
    fold([portfolio, trades], recorded(db))
    arena, text = Arena(portfolio, trades), page_of(db, tmp_path / "r.html")
    assert [one.account.strategy for one in reports] == [row.strategy for row in arena.rows()]
    assert len(trades.closed()) > 50
    for one in reports:
        name = one.account.strategy
        assert one.performance == arena.performance(name)
        net = fsum(trade.net_usdt for trade in trades.closed(name))
        costs = one.costs
        taken = costs.fees_usdt + costs.slippage_usdt - costs.funding_usdt
        assert costs.net_usdt == pytest.approx(net)
        assert costs.gross_usdt - taken == pytest.approx(net)
        for table in one.groups:
            assert fsum(row.group.net_usdt for row in table.rows) == pytest.approx(net), table.title
            assert sum(row.group.trades for row in table.rows) == one.performance.trades
            assert all(0.0 <= row.x <= row.x + row.width <= 100.01 for row in table.rows)
        grown = prod(1.0 + row.whole / 100.0 for row in one.years)
        assert grown == pytest.approx(1.0 + one.performance.net_return_percent / 100.0)
        assert gain_percent(one.performance.net_return_percent) in text
        assert gain(costs.net_usdt) in text
        assert len(one.trades) == min(TRADES_MAX, one.performance.trades)


def test_the_regime_at_an_entry_is_the_one_its_strategy_read(db: Path) -> None:
    regimes, read = EntryRegimes(), {}
    for item in recorded(db):
        regimes.apply(item)
        event = item.event
        if isinstance(event, OrderPlaced) and event.action == "entry" and event.strategy == "vwap_rsi":
            read[item.seq] = REGIME_NAMES[int(event.readings["regime"])]
    assert len(read) > 10
    assert len(set(regimes.by_order.values())) > 2, "the others enter in other regimes"
    assert {seq: regimes.by_order[seq] for seq in read} == read
    assert UNKNOWN not in read.values()


def test_months_are_measured_from_the_end_of_the_month_before() -> None:
    equities = [1_100.0] * 31 + [880.0] * 28 + [968.0]
    (row,) = year_rows(DAY_0_MS, 1_000.0, equities)
    assert row.year == 2025
    assert [round(one, 6) for one in row.months if one is not None] == [10.0, -20.0, 10.0]
    assert (row.months[3:], round(row.whole, 6)) == ((None,) * 9, -3.2)
    older, newer = year_rows(DAY_0_MS - 86_400_000, 1_000.0, [500.0, 1_000.0])
    assert (older.year, older.months[11], newer.months[0], newer.whole) == (2024, -50.0, 100.0, 100.0)
    assert year_rows(DAY_0_MS, 1_000.0, [0.0] * 31 + [5.0])[0].months[:2] == (-100.0, 0.0)


def test_luck_is_drawn_from_the_seed(db: Path, reports: tuple[StrategyReport, ...]) -> None:
    pytest.importorskip("numpy")
    name, first = reports[0].account.strategy, reports[0].luck
    portfolio, trades = Portfolio(), Trades()
    fold([portfolio, trades], recorded(db))
    closed_trades, curve = trades.closed(name), portfolio.equity_curve(name)
    assert luck_of(closed_trades, curve, 0) == first
    other = luck_of(closed_trades, curve, 1)
    assert (other.seed, other.draws) == (1, 2_000)
    assert other.shuffled_drawdown != first.shuffled_drawdown
    assert first.yearly is not None
    assert first.yearly[0] < first.yearly[1] < first.yearly[2]
    assert first.shuffled_drawdown is not None
    assert 0.0 < first.shuffled_drawdown < 1.0


def test_one_strategy_and_unknown_names(db: Path, tmp_path: Path) -> None:
    text = page_of(db, tmp_path / "one.html", strategy="funding")
    assert 'id="funding"' in text
    assert 'id="momentum"' not in text
    with pytest.raises(UsageError, match="there is no strategy 'fundin'; did you mean funding"):
        page_of(db, tmp_path / "none.html", strategy="fundin")
    with pytest.raises(UsageError, match="neither a log nor a study"):
        page_of("nothing", tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_names_from_outside_are_text(tmp_path: Path) -> None:
    symbol, strategy = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'
    contract = listed(symbol)
    _, *_, runner = (entry.event for entry in entries()[0])
    facts = [contract, replace(runner, strategy=strategy, symbols=(symbol,)), candle(0, 101.0, symbol)]
    trade = [replace(one, symbol=symbol, strategy=strategy) for one in (ordered(), opened(), closed(5.0))]
    path = write_log(tmp_path / "log.db", [[Entry(one) for one in (*facts, *trade, candle(1, 105.0, symbol))]])
    text = page_of(path, tmp_path / "r.html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "onerror=alert(2)&gt;" in text


def test_a_log_without_strategies_and_one_without_trades(tmp_path: Path) -> None:
    empty = write_log(tmp_path / "empty.db", [[Entry(EngineStarted(DAY_0_MS, "0.1.0", "code", "config"))]])
    assert "No strategy in this log" in page_of(empty, tmp_path / "empty.html")
    idle = write_log(tmp_path / "idle.db", [*entries()[:1], [Entry(candle(0, 101.0))]])
    assert "No closed trades" in page_of(idle, tmp_path / "idle.html")


def test_outputs_that_exist_or_cannot_be_written_are_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.db")
    (tmp_path / "old.html").write_text("mine")
    for html, words in {
        tmp_path / "old.html": "already exists",
        tmp_path / "none" / "r.html": "there is no folder",
        tmp_path / "log.db.head2" / "r.html": "there is no folder",
        path.with_name("log.db.snapshots"): "this file is also an input",
    }.items():
        with pytest.raises(UsageError, match=words):
            write_report(ReportOptions(str(path), html))
    assert (tmp_path / "old.html").read_text() == "mine"
    (tmp_path / "text.db").write_text("not a log")
    with pytest.raises(LogForeign):
        write_report(ReportOptions(str(tmp_path / "text.db"), tmp_path / "r.html"))
    assert not (tmp_path / "r.html").exists()


def test_a_study_s_report_shows_its_verdict_gates_and_folds(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    config = write_market(tmp_path)
    study = study_of(call(*sweep_line(tmp_path, "--study", "first", "--json")))
    text = page_of("first", tmp_path / "study.html", config=config)
    verdict = study["document"]["verdict"]
    assert verdict["outcome"] in text
    assert all(gate["title"] in text for gate in verdict["gates"])
    assert text.count("<svg") > 5
    (file,) = tmp_path.rglob("first.db")
    assert verdict["outcome"] in page_of(file, tmp_path / "file.html", config=config)


@pytest.mark.system
def test_strategies_run_again_over_redrawn_markets_with_their_recorded_settings(db: Path, tmp_path: Path) -> None:
    options = ReportOptions(str(db), tmp_path / "r.html", "momentum", redraws=3)
    [luck] = [one.luck for one in strategies_of(db, options)]
    settings = eager(("momentum",), NO_LIMITS)
    runs = [backtest_tape(redrawn(tape_of_log(db), seed), STRATEGIES, settings, "python") for seed in range(3)]
    nets = sorted(run.summaries[0].end_equity_usdt - NO_LIMITS.capital_usdt for run in runs)
    assert luck.redraws == 3 and luck.redrawn is not None
    assert luck.redrawn[1] == pytest.approx(nets[1], abs=1e-6)
    assert len(set(nets)) == 3
    assert "3 redrawn markets" in page_of(db, tmp_path / "again.html", strategy="momentum", redraws=3)


def test_a_redrawn_market_keeps_times_symbols_and_the_start_of_trading(db: Path) -> None:
    recorded_tape = tape_of_log(db)
    drawn = redrawn(recorded_tape, 1)
    for before, after in zip(recorded_tape.candles, drawn.candles, strict=True):
        assert after.open_time_ms == before.open_time_ms
        assert after.close != before.close
        assert after.close[0] / after.open[0] == pytest.approx(after.close[0] / before.open[0])
    assert drawn.start_ms == recorded_tape.candles[0].open_time_ms[recorded_tape.warm_ups[0]]
