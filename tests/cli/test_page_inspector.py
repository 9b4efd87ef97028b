"""The pages' inspector: its digest equals replay's, its causes equal `why`'s, its numbers equal the decisions'."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.cli.explainer import Explainer
from papertape.cli.render.strategies import parameters_schema, strategy_views
from papertape.cli.service.page_inspector import QUERY_S_MAX, LogInspector
from papertape.engine.runner_settings import RunnerSettings, runner_configurations
from papertape.engine.strategy_registry import load_strategies
from papertape.events.bus import Bus
from papertape.events.errors import LogBusy, UsageError
from papertape.events.facts import CandleClosed, OrderPlaced, OrderRejected
from papertape.events.log import Entry
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteLogReader
from papertape.events.tail import make_tail
from papertape.projections.site.ports import Inspector, Progress, ReadinessView
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views
from papertape.projections.text.reasons import REASONS, hold_words, reason_words
from tests.build import DAY_0_MS, FIVE_MINUTES_MS
from tests.cli.written_log import ORDER, REJECTED, entries, write_log
from tests.engine.logs import recorded
from tests.engine.parts import busy, live, settings
from tests.patience import PATIENCE_S
from tests.reducer.random_market import Recipe
from tests.reducer.runs import BUILT_IN, eager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from papertape.events.log import Recorded

pytestmark = pytest.mark.system

STRATEGIES = load_strategies()
FIFTEEN_MS = 3 * FIVE_MINUTES_MS


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a log of the built-in strategies in a market of 5m candles in which all of them trade."""
    path = tmp_path_factory.mktemp("inspected") / "log.db"
    what = settings(path, strategies=STRATEGIES, runners=eager(BUILT_IN))
    asyncio.run(live(what, busy(Recipe(3, 3, 500, FIVE_MINUTES_MS, holes=1))))
    return path


@asynccontextmanager
async def inspector_of(db: Path, query_s_max: float = QUERY_S_MAX) -> AsyncIterator[LogInspector]:
    """Yield an inspector beside a timeline, as in the page's process."""
    timeline = LogTimeline(lambda: (make_tail(db, 0.005), LogThread(lambda: SqliteLogReader(db))), Views)
    running = asyncio.ensure_future(timeline.run())
    inspector = LogInspector(db, STRATEGIES, timeline, query_s_max)
    try:
        await timeline.wait_beyond(recorded(db)[-1].seq - 1)
        yield inspector
    finally:
        inspector.close()
        timeline.close()
        await running


def inspected(db: Path, use: Callable[[LogInspector], Awaitable[None]]) -> None:
    """Run a test with an inspector."""

    async def main() -> None:
        async with inspector_of(db) as inspector:
            await use(inspector)

    asyncio.run(main())


def entries_of(db: Path, name: str) -> list[Recorded]:
    """Return the entry orders of a strategy."""
    orders = [one for one in recorded(db) if isinstance(one.event, OrderPlaced) and one.event.action == "entry"]
    return [one for one in orders if isinstance(one.event, OrderPlaced) and one.event.strategy == name]


def replay(db: Path, *arguments: object) -> str:
    """Return the digest that `papertape replay` prints."""
    result = CliRunner().invoke(app, ["replay", "--db", str(db), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_a_digest_is_that_of_the_replay(db: Path) -> None:
    head = recorded(db)[-1].seq

    async def use(inspector: LogInspector) -> None:
        port: Inspector = inspector
        for seq in (head, 10, head // 2, entries_of(db, "momentum")[3].seq):
            assert await port.digest(seq) == replay(db, "--digest", "--to", seq)
        assert port.progress(head) == Progress(head, head)
        with pytest.raises(UsageError, match="there is no event"):
            await port.digest(head + 1)

    inspected(db, use)


def test_it_reads_the_log_before_anybody_looks(db: Path) -> None:
    head = recorded(db)[-1].seq

    async def use(inspector: LogInspector) -> None:
        assert inspector.progress(head) == Progress(0, head)
        reading = asyncio.ensure_future(inspector.run())
        async with asyncio.timeout(PATIENCE_S):
            while inspector.progress(head).seq < head:  # noqa: ASYNC110 - nothing tells of it, as nobody else needs it.
                await asyncio.sleep(0.01)
        assert not reading.done(), "it waits for more"
        inspector.close()
        reading.cancel()

    inspected(db, use)


def test_nobody_waits_long_for_a_log_that_is_being_read(db: Path) -> None:
    head = recorded(db)[-1].seq

    async def use(_: LogInspector) -> None:
        async with inspector_of(db, query_s_max=0.0) as hurried:
            with pytest.raises(LogBusy, match=f"for the first time: event [0-9,]+ of {head:,}; ask again"):
                await hurried.digest(head)

    inspected(db, use)


@pytest.mark.parametrize("name", BUILT_IN)
def test_conditions_behind_an_order_are_all_met_and_say_that_it_waits(db: Path, name: str) -> None:
    async def use(inspector: LogInspector) -> None:
        for one in entries_of(db, name)[::7]:
            event = one.event
            assert isinstance(event, OrderPlaced)
            sides = await inspector.conditions(one.seq, name, [event.symbol])
            assert [side.side for side in sides] == ["long", "short"]
            own = next(side for side in sides if side.side == event.side)
            assert (own.strategy, own.symbol, own.seq, own.at_ms) == (name, event.symbol, one.seq, event.at_ms)
            assert own.explained and own.conditions and all(condition.met for condition in own.conditions)
            assert own.holds[0] == "its entry waits to be filled"
            assert all(frame.ready_at_ms == 0 for frame in own.readiness)
            numbers = {condition.value for condition in own.conditions}
            assert numbers & set(event.readings.values()), "they are the very numbers of the decision"

    inspected(db, use)


def test_where_all_is_met_and_there_is_no_order_it_says_what_refused_it(db: Path) -> None:
    refused = [one for one in recorded(db) if isinstance(one.event, OrderRejected)]

    async def use(inspector: LogInspector) -> None:
        for one in refused[:: max(1, len(refused) // 10)]:
            event = one.event
            assert isinstance(event, OrderRejected)
            for side in await inspector.conditions(one.seq, event.strategy, [event.symbol]):
                said = f"refused at its last evaluation: {reason_words(event.reason)}"
                assert (said in side.holds) == (side.side == event.side)

    inspected(db, use)
    assert len(refused) > 5


def test_before_enough_candles_it_says_how_many_there_are_and_when_there_will_be_enough(db: Path) -> None:
    candles = [one for one in recorded(db) if isinstance(one.event, CandleClosed) and one.event.symbol == "AAA"]

    async def use(inspector: LogInspector) -> None:
        found = await inspector.conditions(candles[9].seq, "momentum", ["AAA"])
        assert found[0].readiness == (
            ReadinessView(FIVE_MINUTES_MS, 10, 28, DAY_0_MS + 28 * FIVE_MINUTES_MS),
            ReadinessView(FIFTEEN_MS, 3, 28, DAY_0_MS + 28 * FIFTEEN_MS),
        )
        for name, symbol, words in (("nobody", "AAA", "no strategy 'nobody'"), ("momentum", "ZZZ", "no symbol 'ZZZ'")):
            with pytest.raises(UsageError, match=words):
                await inspector.conditions(candles[9].seq, name, [symbol])

    inspected(db, use)


def test_a_chart_shows_the_numbers_of_the_orders_in_it(db: Path) -> None:
    async def use(inspector: LogInspector) -> None:
        for one in entries_of(db, "vwap_rsi")[::5]:
            event = one.event
            assert isinstance(event, OrderPlaced)
            chart = await inspector.chart(one.seq, event.symbol, FIVE_MINUTES_MS, 300)
            assert (chart.symbol, chart.timeframe_ms, chart.seq) == (event.symbol, FIVE_MINUTES_MS, one.seq)
            assert (chart.candles[-1].close, chart.vwap[-1], chart.rsi[-1]) == (
                event.readings["close"],
                event.readings["vwap"],
                event.readings["rsi"],
            )
            assert len(chart.candles) == len(chart.vwap) == len(chart.rsi)
        with pytest.raises(UsageError, match="there is no symbol 'ZZZ'; the log has: AAA, BBB, CCC"):
            await inspector.chart(5, "ZZZ", FIVE_MINUTES_MS, 300)
        with pytest.raises(UsageError, match="there are no candles of 60000 ms; there are 5m"):
            await inspector.chart(5, "AAA", 60_000, 300)
        for seq in (0, recorded(db)[-1].seq + 1):
            with pytest.raises(UsageError, match="there is no event"):
                await inspector.chart(seq, "AAA", FIVE_MINUTES_MS, 300)

    inspected(db, use)


def test_candles_and_causes_do_not_wait_for_the_views(db: Path) -> None:
    """Only the conditions of a decision do: they need the configurations up to there."""
    head, order = recorded(db)[-1].seq, entries_of(db, "momentum")[-1]
    event = order.event
    assert isinstance(event, OrderPlaced)

    async def use(inspector: LogInspector) -> None:
        timeline = LogTimeline(lambda: (Bus(head), LogThread(lambda: SqliteLogReader(db))), Views)
        early = LogInspector(db, STRATEGIES, timeline)
        try:
            assert timeline.folding == Progress(0, head), "nobody runs it"
            chart = await early.chart(head, event.symbol, FIVE_MINUTES_MS, 300)
            assert chart == await inspector.chart(head, event.symbol, FIVE_MINUTES_MS, 300)
            (link, *_), (whole, *_) = (await early.why(order.seq)).links, (await inspector.why(order.seq)).links
            assert (link.recorded, link.line) == (whole.recorded, whole.line)
            assert whole.conditions
            assert not link.conditions
        finally:
            early.close()
            timeline.close()

    inspected(db, use)


def test_causes_are_those_of_why_under_the_parameters_of_then(tmp_path: Path) -> None:
    """The configuration changed after the order: its conditions are those at the decision."""
    later = RunnerSettings(parameters={"trend_adx_threshold": 99.0})
    changed = runner_configurations(STRATEGIES, ("BTCUSDT",), DAY_0_MS, {"momentum": later})
    path = write_log(tmp_path / "log.db", [*entries(), [Entry(changed[0])]])
    reader = SqliteLogReader(path)
    explainer = Explainer(reader, None)

    async def use(inspector: LogInspector) -> None:
        for seq in (ORDER, REJECTED):
            chain = await inspector.why(seq)
            shown = [msgspec.to_builtins(one) for one in chain.links[0].conditions]
            assert shown == msgspec.to_builtins(explainer.explanation(chain.links[0].recorded).conditions)
            assert len(shown) == 5
            assert shown[0]["threshold"] == 31.0
            assert chain.complete and chain.links[-1].recorded.cause == 0
        with pytest.raises(UsageError, match="there is no event 999"):
            await inspector.why(999)
        with pytest.raises(UsageError, match="there is no event 0"):
            await inspector.why(0)

    inspected(path, use)
    reader.close()


def test_another_log_at_the_same_path_is_read_from_its_beginning(tmp_path: Path) -> None:
    path, other = write_log(tmp_path / "log.db"), write_log(tmp_path / "other.db", entries()[:3])

    async def use(inspector: LogInspector) -> None:
        before = await inspector.digest(9)
        take_its_place(other, path)
        assert await inspector.digest(9) == before
        with pytest.raises(UsageError, match="events 1 to 9"):
            await inspector.digest(12)

    async def main() -> None:
        timeline = LogTimeline(lambda: (make_tail(path), LogThread(lambda: SqliteLogReader(path))), Views)
        inspector = LogInspector(path, STRATEGIES, timeline)
        try:
            await use(inspector)
        finally:
            inspector.close()
            timeline.close()

    asyncio.run(main())


def take_its_place(other: Path, path: Path) -> None:
    """Replace a log by another one."""
    for suffix in ("", ".head"):
        other.with_name(other.name + suffix).replace(path.with_name(path.name + suffix))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


# ---------------------------------------------------------------- words and schemas


def test_every_hold_has_words() -> None:
    said = {
        ("inactive", ""): "it does not trade this symbol",
        ("kill_switch", "daily_loss"): "kill switch: daily loss",
        ("paused", ""): "it is paused",
        ("not_tradable", ""): "the symbol is not tradable",
        ("position", "short"): "a short position is open",
        ("order", "exit"): "its exit waits to be filled",
        ("max_positions", ""): REASONS["max_positions"],
        ("correlation", ""): REASONS["correlation"],
        ("own", "no settlement is known yet"): "no settlement is known yet",
    }
    assert {key: hold_words(*key) for key in said} == said


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_schema_of_parameters_says_what_is_accepted(name: str) -> None:
    schema = parameters_schema(STRATEGIES[name])
    parameters = STRATEGIES[name].parameters
    assert schema["additionalProperties"] is False
    for key, said in schema["properties"].items():
        assert said["description"] and said["unit"]
        bound = said.get("minimum", said.get("exclusiveMinimum"))
        assert msgspec.convert({key: said["default"]}, parameters) == parameters()
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({key: bound - 1}, parameters)


def test_strategies_show_their_schema() -> None:
    shown = CliRunner().invoke(app, ["strategies", "momentum", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["parameters_schema"] == parameters_schema(STRATEGIES["momentum"])
    views = {one.name: one for one in strategy_views(STRATEGIES)}
    assert tuple(views) == BUILT_IN
    assert views["momentum"].series == ("5m", "15m")
    assert views["momentum"].parameters_schema == parameters_schema(STRATEGIES["momentum"])
