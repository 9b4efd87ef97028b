"""`papertape whynot` and `backtest --funnel`: a moment and a span, for people and as JSON, on real logs."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from papertape.cli.service.funnel_process import FRESH_S, RUNNING_MAX, WAITING_MAX, FunnelProcesses
from papertape.engine.inspect.entry_conditions import entry_conditions
from papertape.engine.inspect.funnel_reader import FunnelQuery, read_funnel
from papertape.engine.recovery import recover
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import LogBusy, UsageError
from papertape.events.facts import CandleClosed, OrderPlaced, Timing
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.funnel import FunnelRequest, FunnelView
from tests.engine.logs import recorded
from tests.engine.processes import ok, papertape
from tests.events.loop import in_loop
from tests.support import DATA, needs_data

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

RUN = (
    "run", "--feed", "sim", "--speed", "max", "--until-end", "--db", "log.db", "--set", "feed.sim.days=2",
    "feed.sim.symbols=BTCUSDT,ETHUSDT", "strategies.enabled=momentum,vwap_rsi",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log of two days on which two strategies ran."""
    found = tmp_path_factory.mktemp("whynot")
    ok(found, *RUN)
    return found


def asked(folder: Path, *more: str) -> Any:
    return json.loads(ok(folder, "whynot", "--db", "log.db", "--json", *more))


def test_a_moment_shows_both_sides_of_every_strategy_as_of_the_newest_event(folder: Path) -> None:
    report = asked(folder)
    with closing(SqliteLogReader(folder / "log.db")) as reader:
        state = recover(reader, None, load_strategies()).state
        assert report["seq"] == reader.head().seq
    shown = [(one["strategy"], one["symbol"], one["side"]) for one in report["conditions"]]
    pairs = [(name, symbol) for name in ("vwap_rsi", "momentum") for symbol in ("BTCUSDT", "ETHUSDT")]
    assert sorted(shown) == sorted((*pair, side) for pair in pairs for side in ("long", "short"))
    for one in report["conditions"]:
        sides = {side.side: side for side in entry_conditions(state, one["strategy"], one["symbol"])}
        known = [msgspec.to_builtins(condition) for condition in sides[one["side"]].conditions]
        assert one["conditions"] == known


def test_a_past_moment_is_named_by_its_time_or_its_event_and_shows_the_order_that_waits(folder: Path) -> None:
    order = next(one for one in recorded(folder / "log.db") if isinstance(one.event, OrderPlaced))
    assert isinstance(order.event, OrderPlaced)
    only = (order.event.strategy, "--symbol", order.event.symbol)
    report = asked(folder, *only, "--at", f"#{order.seq}")
    assert report["seq"] == order.seq
    side = next(one for one in report["conditions"] if one["side"] == order.event.side)
    assert all(condition["met"] for condition in side["conditions"])
    assert "its entry waits to be filled" in side["holds"]
    by_time = asked(folder, *only, "--at", str(order.event.at_ms))
    assert by_time["at_ms"] == order.event.at_ms
    text = ok(folder, "whynot", "--db", "log.db", *only, "--at", f"#{order.seq}")
    assert f"{order.event.strategy} · {order.event.symbol}" in text
    assert "! its entry waits to be filled" in text
    assert "✓" in text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("momentun",), "did you mean momentum?"),
        (("--symbol", "XUSDT"), "there is no symbol 'XUSDT'"),
        (("--at", "#99999999"), "the log contains events 1 to"),
        (("--at", "soon"), "--at 'soon': not a time"),
        (("--at", "2025-01-01", "--days", "1"), "use either --at for a moment"),
        (("--days", "1", "--from", "2025-01-01"), "use either --from or --days"),
        (("--from", "2025-01-02", "--to", "2025-01-01"), "the span ends before it begins"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(folder: Path, options: tuple[str, ...], text: str) -> None:
    done = papertape(folder, "whynot", "--db", "log.db", *options)
    assert done.returncode == 2
    assert text in done.stderr


def test_a_funnel_of_days_and_of_a_span_agree_with_the_log(folder: Path) -> None:
    whole = msgspec.convert(asked(folder, "--days", "30"), FunnelView)
    events = [one.event for one in recorded(folder / "log.db")]
    placed = [event for event in events if isinstance(event, OrderPlaced) and event.action == "entry"]
    assert placed
    assert sum(side.placed for one in whole.funnels for side in (one.long, one.short)) == len(placed)
    newest_ms = max(event.at_ms for event in events if isinstance(event, CandleClosed))
    assert whole.until_ms == newest_ms
    first_ms = next(
        event.at_ms for event in events if isinstance(event, CandleClosed) and event.timing is not Timing.WARM_UP
    )
    middle_ms = (first_ms + newest_ms) // 2
    spans = [("--days", "30", "--to", str(middle_ms)), ("--from", str(middle_ms))]
    parts = [msgspec.convert(asked(folder, *span), FunnelView) for span in spans]
    for name in ("candles", "asked"):
        total = sum(getattr(one, name) for part in parts for one in part.funnels)
        assert total == sum(getattr(one, name) for one in whole.funnels)
    text = ok(folder, "whynot", "momentum", "--symbol", "BTCUSDT", "--days", "30", "--db", "log.db")
    assert "momentum · BTCUSDT" in text
    assert "ETHUSDT" not in text
    assert "orders filled" in text


@needs_data
def test_the_funnel_of_a_backtest_is_that_of_its_log(tmp_path: Path) -> None:
    file = DATA / "binance_BTCUSDT_5m_2024-09-13_2024-09-18.csv.gz"
    options = ("backtest", "--candles", str(file), "--engine", "python", "--strategy", "momentum", "vwap_rsi")
    report = json.loads(ok(tmp_path, *options, "--funnel", "--json", "--db", "bt.db"))
    span = ("--from", str(report["funnel"]["from_ms"]))
    of_log = json.loads(ok(tmp_path, "whynot", "--db", "bt.db", "--json", *span))
    assert report["funnel"]["funnels"] == of_log["funnels"]
    assert sum(one["asked"] for one in of_log["funnels"]) > 2_000
    assert "funnel" not in json.loads(ok(tmp_path, *options, "--json"))
    assert "15m ADX" in ok(tmp_path, *options, "--funnel")


@in_loop
async def test_the_page_and_the_chat_count_in_a_process_of_their_own(folder: Path) -> None:
    db = folder / "log.db"
    clock_s = [0.0]
    source = FunnelProcesses(db, "", lambda: clock_s[0])
    try:
        request = FunnelRequest("momentum", None, 30.0)
        assert await source.funnel(request, 0.0) is None
        clock_s[0] = 2.0 * FRESH_S
        view = await source.funnel(request, 60.0)
        with closing(SqliteLogReader(db)) as reader:
            known = read_funnel(reader, None, load_strategies(), FunnelQuery(days=30.0, strategy="momentum"))
        assert view == msgspec.convert(msgspec.to_builtins(known), FunnelView)
        clock_s[0] += FRESH_S
        assert await source.funnel(request, 0.0) is view
        clock_s[0] += 1.0
        assert await source.funnel(request, 0.0) is None
        with pytest.raises(UsageError, match="momentun"):
            await source.funnel(FunnelRequest("momentun", None, 30.0), 60.0)
        refused = 0
        for days in range(1, 2 * (RUNNING_MAX + WAITING_MAX)):
            try:
                assert await source.funnel(FunnelRequest(None, None, days), 0.0) is None
            except LogBusy:
                refused += 1
            assert refused == 0 or days >= RUNNING_MAX + WAITING_MAX, "one is refused before the queue is full"
        assert refused > 0
    finally:
        started = asyncio.get_running_loop().time()
        await source.close()
        assert asyncio.get_running_loop().time() - started < 5.0
