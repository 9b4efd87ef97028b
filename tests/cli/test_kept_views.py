"""Commands answer from the page's checkpoints as from the whole log; what a killed page leaves is right."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from papertape.cli.kept_views import VIEWS_FOLDER, kept_views
from papertape.cli.log_reader import OpenedLog
from papertape.cli.render.arena import show_arena
from papertape.cli.render.positions import show_positions
from papertape.cli.render.trades import TradeFiles, TradeListOptions, show_trades
from papertape.events.beside import sibling_path
from papertape.events.failpoints import VARIABLE
from papertape.events.log import Entry
from papertape.events.log_thread import LogThread
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.events.tail import make_tail
from papertape.projections.host import fold
from papertape.projections.persistence.fold_store import FoldCheckpoints
from papertape.projections.site.timeline import LogTimeline
from papertape.projections.site.views import Views
from tests.build import candle, listed
from tests.projections.portrait import portrait
from tests.projections.timeline_log import DISTANCE_EVENTS, story
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from papertape.events.facts import Event

pytestmark = pytest.mark.system

COMMANDS: dict[str, Callable[[OpenedLog, bool], None]] = {
    "arena": lambda reader, as_json: show_arena(reader, as_json=as_json),
    "positions": lambda reader, as_json: show_positions(reader, as_json=as_json),
    "trades": lambda reader, as_json: show_trades(
        reader, TradeListOptions("momentum", "BTCUSDT", None), TradeFiles(), as_json=as_json
    ),
}


async def write(db: Path, events: list[Event], a_commit: int = 40) -> None:
    log = await SqliteEventLog.open(db, clock_ms=lambda: 0)
    for first in range(0, len(events), a_commit):
        await log.append(log.head.seq, [Entry(event) for event in events[first : first + a_commit]])
    await log.close()


async def follow(db: Path) -> None:
    """Do what the page does, up to the head."""
    checkpoints = FoldCheckpoints(sibling_path(db, ".folds") / VIEWS_FOLDER, Views(), print)
    timeline = LogTimeline(
        lambda: (make_tail(db, 0.005), LogThread(lambda: SqliteLogReader(db))), Views, checkpoints, DISTANCE_EVENTS
    )
    following = asyncio.ensure_future(timeline.run())
    seq = await timeline.wait_beyond(0)
    while timeline.folding is not None:
        seq = await timeline.wait_beyond(seq)
    while not timeline.statistics().near_everywhere:  # noqa: ASYNC110 - it tells nobody.
        await asyncio.sleep(0.01)
    timeline.close()
    await following


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    asyncio.run(write(path, [listed("BTCUSDT"), *story(1_500)]))
    return path


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_the_same_from_kept_views(
    db: Path, name: str, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    def printed() -> str:
        with closing(OpenedLog(db)) as reader:
            COMMANDS[name](reader, as_json)
        return capsys.readouterr().out

    asyncio.run(follow(db))
    asyncio.run(write(db, [candle(2_000, 103.0)]))
    from_kept = printed()
    with closing(OpenedLog(db)) as reader, kept_views(reader) as views:
        assert views is not None and views.seq == reader.head().seq
    shutil.rmtree(sibling_path(db, ".folds") / VIEWS_FOLDER)
    with closing(OpenedLog(db)) as reader, kept_views(reader) as views:
        assert views is None
    assert from_kept == printed() != ""


def test_views_of_another_log_are_not_believed(db: Path) -> None:
    asyncio.run(follow(db))
    for file in db.parent.glob("log.db*"):
        if file.is_file():
            file.unlink()
    asyncio.run(write(db, story(1_400)))
    with closing(OpenedLog(db)) as reader, kept_views(reader) as views:
        assert views is None


PROGRAM = """
import asyncio, pathlib, sys
from tests.cli.test_kept_views import follow
asyncio.run(follow(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.parametrize("nth", [1, 4, 5])
def test_a_page_killed_while_it_saves_loses_only_the_newest_checkpoint(db: Path, nth: int) -> None:
    """States of the views and parts of the index are saved side by side, so which comes first is not known."""
    environment = {**os.environ, VARIABLE: f"during_checkpoint:{nth}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(db)], cwd=REPOSITORY, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    whole, at = Views(), {}
    checkpoints = FoldCheckpoints(sibling_path(db, ".folds") / VIEWS_FOLDER, Views(), print)
    with closing(SqliteLogReader(db)) as reader, closing(checkpoints.store), closing(checkpoints.index):
        seqs = checkpoints.store.seqs()
        assert len(seqs) + len(checkpoints.index.seqs()) == nth - 1
        for recorded in reader.read(0, 10_000):
            fold([whole], [recorded])
            if recorded.seq in seqs:
                at[recorded.seq] = portrait(whole)
        for seq in seqs:
            assert portrait(checkpoints.load(seq)) == at[seq]
    asyncio.run(follow(db))
    with closing(OpenedLog(db)) as reader, kept_views(reader) as views:
        assert views is not None
        assert portrait(views.portfolio) == portrait(whole.portfolio)
