"""A market time means the same everywhere: the timeline, `replay --at` and the chat's /asof."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.events.errors import UsageError
from papertape.events.facts import Timing
from papertape.events.log import Entry
from papertape.events.units import MINUTE_MS
from papertape.projections.site.market_time import MarketTimeCutoff
from papertape.projections.site.views import Views
from papertape.projections.telegram.answers import QueryHandler, ReplyChannel, RuntimeInfo
from papertape.projections.telegram.asof import as_of
from papertape.projections.telegram.parse import AsOfQuery
from tests.build import DAY_0_MS, candle, configured, recorded
from tests.cli.written_log import entries, write_log
from tests.projections.timeline_log import followed_log
from tests.sandbox.virtual_time import VirtualClock, run
from tests.telegram.rig import Tape

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.facts import Event

ROWS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(Timing)), min_size=1, max_size=30)
MINUTES = st.integers(0, 40)


def log_of(rows: list[tuple[int, Timing]]) -> list[Event]:
    return [configured("momentum"), *(candle(minute, 1.0, timing=timing) for minute, timing in rows)]


def by_moment(events: list[Event], at_ms: int) -> int | None:
    moment, seq = MarketTimeCutoff(at_ms), 0
    for one in recorded(events):
        if not moment.includes(one):
            break
        seq = one.seq
    try:
        moment.check_begun()
    except UsageError:
        return None
    return seq


@given(ROWS, MINUTES)
def test_a_market_time_includes_everything_before_the_first_later_close(
    rows: list[tuple[int, Timing]], minutes: int
) -> None:
    closes = [((minute + 1), seq) for seq, (minute, timing) in enumerate(rows, 2) if timing is not Timing.WARM_UP]
    later = next((seq for close, seq in closes if close > minutes), len(rows) + 2)
    begun = any(seq < later for _, seq in closes)
    assert by_moment(log_of(rows), DAY_0_MS + minutes * MINUTE_MS) == (later - 1 if begun else None)


@pytest.mark.system
@given(ROWS, MINUTES)
def test_timeline_and_chat_agree(rows: list[tuple[int, Timing]], minutes: int) -> None:
    events, at_ms = log_of(rows), DAY_0_MS + minutes * MINUTE_MS

    async def by_timeline() -> int | None:
        async with followed_log(*events) as (_, timeline):
            try:
                return await timeline.seq_at(at_ms)
            except UsageError:
                return None

    async def by_chat(clock: VirtualClock) -> int | None:
        tape = Tape(clock)
        tape.add(*events)
        try:
            return (await as_of(AsOfQuery(at_ms=at_ms), tape, len(events), _nobody)).views.seq
        except UsageError:
            return None

    expected = by_moment(events, at_ms)
    assert asyncio.run(by_timeline()) == expected
    assert run(by_chat) == expected


async def _nobody(_: int) -> None:
    """Ignore the progress."""


WARM = [candle(minute, 100.0, timing=Timing.WARM_UP) for minute in (-3, -2, 7)]


@pytest.mark.parametrize("minutes", [1, 2, 3, 4, 500])
def test_replay_agrees_with_the_timeline(tmp_path: Path, minutes: int) -> None:
    """This holds even if a warm-up candle has a later time than everything else."""
    head, *rest = entries()
    warm = [[Entry(one)] for one in WARM]
    shifted = [[Entry(one.event, one.cause and one.cause + len(WARM)) for one in commit] for commit in rest]
    db = write_log(tmp_path / "log.db", [head, *warm, *shifted])
    at_ms = DAY_0_MS + minutes * MINUTE_MS
    shown = CliRunner().invoke(app, ["replay", "--db", str(db), "--at", str(at_ms), "--json"])
    assert shown.exit_code == 0, shown.output
    expected = by_moment([one.event for commit in (head, *warm, *shifted) for one in commit], at_ms)
    assert json.loads(shown.stdout)["seq"] == expected
    assert expected is not None and expected > len(head) + len(WARM)


def test_a_time_before_the_log_is_refused_everywhere(tmp_path: Path) -> None:
    head, *rest = entries()
    db = write_log(tmp_path / "log.db", [head, *rest])
    shown = CliRunner().invoke(app, ["replay", "--db", str(db), "--at", str(DAY_0_MS - MINUTE_MS)])
    assert shown.exit_code == 2
    assert "the log begins later" in shown.output

    async def ask(clock: VirtualClock) -> list[str]:
        tape, posted = Tape(clock), list[str]()
        tape.add(*log_of([(5, Timing.WARM_UP), (9, Timing.ON_TIME)]))

        async def post(html: str) -> None:
            posted.append(html)

        async def other(*_: object) -> None:
            raise AssertionError

        answering = QueryHandler(Views(), RuntimeInfo(), tape, clock)
        later = answering.answer(AsOfQuery(at_ms=DAY_0_MS + 7 * MINUTE_MS), 3).later
        assert later is not None
        await later(ReplyChannel(post, other, other))
        return posted

    assert run(ask) == ["nothing to show for that time: the log begins later, at 2025-01-01 00:10 UTC"]


def test_a_log_with_only_warm_up_candles_has_no_candles(tmp_path: Path) -> None:
    db = write_log(tmp_path / "log.db", [entries()[0], *([Entry(one)] for one in WARM)])
    shown = CliRunner().invoke(app, ["replay", "--db", str(db), "--at", str(DAY_0_MS)])
    assert shown.exit_code == 2
    assert "the log holds no candle yet" in shown.output
