"""Questions over the wire: the views' own texts, pictures after them, and the progress of re-reading the log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from papertape.engine.ports.clock import ManualClock
from papertape.events.facts import EngineStarted
from papertape.events.log import Recorded
from papertape.events.units import HOUR_MS, MINUTE_MS
from papertape.projections.alerts.markup import plain_text
from papertape.projections.folds.curve import EquityPoint
from papertape.projections.site.views import Views
from papertape.projections.telegram import explain, replies
from papertape.projections.telegram.answers import QueryHandler, ReplyChannel, RuntimeInfo
from papertape.projections.telegram.asof import as_of
from papertape.projections.telegram.parse import MENU, AsOfQuery
from papertape.projections.telegram.pictures import PlotSeries, nice_step, picture, total_of
from papertape.projections.telegram.wire import Chat, ChatMessage
from papertape.sandbox.telegram.chats import PNG
from papertape.sandbox.telegram.faults import TelegramFault
from tests.alerts.example_day import BOTH_OPEN, MOVED, market
from tests.build import BTC, DAY_0_MS, NOON_MS, candle_at, recorded
from tests.events.loop import in_loop
from tests.telegram.bot_rig import TELLING, Rig, rigged, views_of

OPEN = [*market(), *BOTH_OPEN, *MOVED]
THEN = views_of(TELLING)
SAYS = {
    "/status": replies.status(THEN),
    "/positions": replies.positions(THEN),
    "/profit": replies.profit_text(THEN, 0),
    "/profit 1": replies.profit_text(THEN, 1),
    "/arena": replies.arena(THEN),
    "/daily 2": replies.daily_text(THEN, 2),
    "/weekly": replies.weekly_text(THEN),
    "/trades 1": replies.last_trades(THEN, 1),
    "/risk": replies.risk(THEN),
    "/signals": replies.signals(THEN),
    "/health": explain.health_text(THEN),
    "/whynot gala": explain.why_not_text(THEN, "GALAUSDT"),
    "/log 3": explain.log_text(THEN, 3),
    "/version": explain.version_text(THEN, ""),
    "/help": explain.help_text(),
    "/asof 999": explain.as_of_text(THEN, reached=True),
}


def test_every_question_is_answered_with_what_the_views_say() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            for said, html in SAYS.items():
                answer = await rig.ask(said)
                assert answer.text.strip() == plain_text(html).strip(), said
                await asyncio.sleep(2.0)

    rigged(use)
    assert {said.split()[0][1:] for said in SAYS} | {"why", "config", "funnel"} >= set(MENU) - {
        "pause",
        "resume",
        "close",
        "kill",
        "reset",
        "reload",
    }


@pytest.mark.parametrize("said", ["/profit", "/arena"])
def test_a_picture_follows_the_text_and_the_text_never_waits_for_it(said: str) -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.faults.on(TelegramFault.SLOW, method="sendPhoto", value=9.0)
            asked_ms = rig.clock.now_ms()
            assert (await rig.ask(said)).kind == "text"
            assert rig.clock.now_ms() - asked_ms < 1_000
            assert (await rig.ask("/version")).kind == "text"
            await rig.until(lambda: rig.twin.messages[-1].kind == "photo")
            photo = rig.twin.messages[-1]
            assert photo.file is not None and photo.file.content.startswith(PNG)
            assert photo.silent

    rigged(use, [*OPEN, candle_at(NOON_MS + HOUR_MS, BTC, 84_500.0), candle_at(NOON_MS + 2 * HOUR_MS, BTC, 84_600.0)])


def test_too_many_pictures_are_refused() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.twin.faults.on(TelegramFault.SLOW, method="sendPhoto", value=30.0)
            for _ in range(8):
                rig.twin.say("/arena")
            await rig.until(lambda: any("busy with other charts" in text for text in rig.twin.texts))

    rigged(use, [*OPEN, candle_at(NOON_MS + HOUR_MS, BTC, 84_500.0), candle_at(NOON_MS + 2 * HOUR_MS, BTC, 84_600.0)])


def test_as_of_shows_how_it_stood() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            seq = len(market()) + 2
            for said, until in ((f"/asof {seq}", seq), ("/asof 2025-01-01 12:01", len(market()) + 4)):
                answer = await rig.ask(said)
                assert answer.text == plain_text(explain.as_of_text(views_of(TELLING[:until]), reached=True)), said
            assert "the log begins later" in (await rig.ask("/asof 2025-01-01 11:59")).text

    rigged(use)


class SlowSource:
    """A log in a list; each reading takes two seconds."""

    def __init__(self, events: list[Recorded], clock: ManualClock) -> None:
        self._events, self._clock = events, clock

    def read(self, after_seq: int, limit: int = 1_000) -> list[Recorded]:
        self._clock.advance(2.0)
        return self._events[after_seq : after_seq + limit]


@in_loop
async def test_the_progress_of_as_of_in_a_long_log_is_one_message_that_becomes_the_answer() -> None:
    log = recorded([*market(), *(candle_at(NOON_MS + minute * MINUTE_MS) for minute in range(8_000))])
    clock, said = ManualClock(), []

    async def post(html: str) -> ChatMessage:
        said.append(html)
        return ChatMessage(7, Chat(1))

    async def edit(message_id: int, html: str) -> None:
        assert message_id == 7
        said.append(html)

    answering = QueryHandler(Views(), RuntimeInfo(), SlowSource(log, clock), clock)
    given = answering.answer(AsOfQuery(seq=7_000), len(log))
    assert given.later is not None and not given.html
    await given.later(ReplyChannel(post, edit, photo=post))  # type: ignore[arg-type]
    assert [line for line in said if "2,000 of up to 7,000" in line]
    assert 3 <= len(said) <= 10
    assert "as of #7000" in said[-1]


@in_loop
async def test_a_log_too_long_for_a_question_is_read_in_part_and_that_is_reported() -> None:
    log = recorded([*market(), *(candle_at(NOON_MS + minute * MINUTE_MS) for minute in range(3_000))])

    async def told(_seq: int) -> None:
        """Nobody listens."""

    found = await as_of(AsOfQuery(seq=2_500), SlowSource(log, ManualClock()), len(log), told, events_max=1_500)
    assert not found.reached and found.views.seq == 1_500
    assert "too long to re-read" in explain.as_of_text(found.views, reached=found.reached)


def test_why_follows_the_causes_in_the_log() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            answer = await rig.ask(f"/why {len(market()) + 2}")
            assert "LONG BTCUSDT: momentum opened" in answer.text
            assert "there is no event #999" in (await rig.ask("/why 999")).text

    rigged(use)


def test_config_and_version_come_from_outside_in_as_many_parts_as_they_need() -> None:
    outside = RuntimeInfo(version=lambda: "9.9 <beta>", config=lambda: "key = '<&>'\n" * 800)

    async def use(rig: Rig) -> None:
        async with rig.running(runtime=outside):
            assert "9.9 <beta>" in (await rig.ask("/version")).text
            await rig.ask("/config")
            await asyncio.sleep(10.0)
            assert len(rig.twin.messages) > 2
            assert sum(text.count("key = '<&>'") for text in rig.twin.texts) == 800

    rigged(use)


def test_an_unknown_command_is_answered_with_what_is_near() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            assert "/status" in (await rig.ask("/stauts")).text
            assert "/help" in (await rig.ask("good morning")).text

    rigged(use)


class HeldBus:
    """A bus that says where the log ends, and lets nobody read on before `go` is set."""

    closed = False

    def __init__(self, head_seq: int) -> None:
        self.go = asyncio.Event()
        self._head_seq = head_seq

    async def wait_beyond(self, seq: int) -> int:
        if seq < 0:
            return self._head_seq
        await self.go.wait()
        if seq >= self._head_seq:
            await asyncio.Event().wait()
        return self._head_seq


def test_while_it_catches_up_it_says_how_far_it_is_and_takes_a_kill() -> None:
    async def use(rig: Rig) -> None:
        bus = HeldBus(len(TELLING))
        async with rig.running(bus=bus) as bot:
            assert f"still reading the log: 0 of {len(TELLING)}" in (await rig.ask("/status")).text
            assert "only /kill" in (await rig.ask("/pause")).text
            assert (await rig.ask("/kill")).buttons
            await rig.pressed("Confirm")
            assert len(rig.clerk.taken) == 1
            bus.go.set()
            await rig.until(lambda: bot.statistics().seq == len(TELLING))
            assert "still reading" not in (await rig.ask("/status")).text

    rigged(use)


def test_it_follows_the_log_live() -> None:
    async def use(rig: Rig) -> None:
        async with rig.running():
            rig.tape.add(EngineStarted(NOON_MS, "2.0.0", "c0de", "c0f1"))
            await asyncio.sleep(0.5)
            assert "papertape 2.0.0" in (await rig.ask("/version")).text

    rigged(use)


# ---------------------------------------------------------------- pictures


def curve(name: str, results: list[float], capital: float = 10_000.0) -> PlotSeries:
    points = tuple(EquityPoint(DAY_0_MS + i * HOUR_MS, capital + result) for i, result in enumerate(results))
    return PlotSeries(name, capital, DAY_0_MS, DAY_0_MS + max(0, len(results) - 1) * HOUR_MS, points)


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [curve("none", [])],
        [curve("flat", [0.0, 0.0])],
        [curve("one", [5.0])],
        [curve("lost everything", [0.0, -10_000.0])],
        [curve("tiny", [1e-9, 2e-9])],
        [curve("huge", [0.0, 1e12, float("inf"), -1e300])],
        [curve("no capital", [0.0, 1.0], 0.0)],
        [curve("<b>ⵣ\U0001d49c\n" * 9, [0.0, 1.0])],
    ],
)
def test_any_curves_become_a_picture_of_the_same_size(curves: list[PlotSeries], tmp_path: Path) -> None:
    png = picture("equity by strategy", curves)
    assert png.startswith(PNG) and len(png) < 1_500_000
    path = tmp_path / "x.png"
    path.write_bytes(png)
    with Image.open(path) as image:
        assert image.size == (1_000, 600)


def test_twenty_long_curves_become_a_picture(tmp_path: Path) -> None:
    curves = [curve(f"s{i}", [Random(i).uniform(-500, 500) for _ in range(2_000)]) for i in range(20)]
    test_any_curves_become_a_picture_of_the_same_size(curves, tmp_path)


def test_a_curve_holds_between_its_points_and_all_together_are_weighed_by_capital() -> None:
    one, other = curve("one", [0.0, 100.0]), curve("other", [300.0], 30_000.0)
    assert one.percents([DAY_0_MS - 1, DAY_0_MS + HOUR_MS - 1, DAY_0_MS + HOUR_MS]) == pytest.approx([0.0, 0.0, 1.0])
    total = total_of([one, other])
    assert [point.equity_usdt for point in total.points] == pytest.approx([40_300.0, 40_400.0])
    assert total.capital_usdt == 40_000.0


@pytest.mark.parametrize(
    ("raw", "step"), [(0.04, 0.05), (1.0, 1.0), (1.1, 2.0), (2.2, 2.5), (6.0, 10.0), (80.0, 100.0)]
)
def test_labels_stand_at_round_numbers(raw: float, step: float) -> None:
    assert nice_step(raw) == pytest.approx(step)
