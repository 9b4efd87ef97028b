"""What the recorded processes do. Run as `python -m tests.power.roles ROLE FOLDER`.

Each says a line for what it has promised to the outside world: `head SEQ HASH` for an acknowledged commit, `alert TEXT`
for one that the chat accepted, `backup NAME SEQ HASH` and `restored SEQ HASH` when that is done. The variable
`POWER_BREACH` names a promise to break (`tests.power.breaches`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.cli.__main__ import main as run_papertape
from papertape.engine.backup import make_backup
from papertape.engine.ports.clock import ManualClock
from papertape.engine.startup import open_engine
from papertape.events.bus import Bus
from papertape.events.segments.sealing import write_next_segment
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.host import Cursor, follow
from tests.engine.parts import BUSY, busy_tape, settings
from tests.power.breaches import BREACHES
from tests.power.followers import alert_line, fold_store, notifier, page_views
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from papertape.engine.startup import Engine
    from papertape.events.facts import FeedFact
    from papertape.events.log import Head
    from papertape.events.sqlite_log import SqliteEventLog

LOG: Final = "log.db"
BACKUPS: Final = "backups"
BREACH_VARIABLE: Final = "POWER_BREACH"
FACTS_A_BATCH: Final = 7
BATCHES_A_BACKUP: Final = 12
BATCHES_A_SEGMENT: Final = 6
ROWS_DELETED: Final = 3
SNAPSHOT_EVERY_EVENTS: Final = 120
NOW_MS: Final = 1_700_000_000_000


def say(line: str) -> None:
    """Promise something to the outside world."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_head(head: Head) -> None:
    """Acknowledge every event up to the head."""
    say(f"head {head.seq} {head.hash.hex()}")


class SayingBus(Bus):
    """A bus that acknowledges each commit when the engine publishes it."""

    def __init__(self, log: SqliteEventLog) -> None:
        super().__init__(log.head.seq)
        self._log = log

    def publish(self, head_seq: int) -> None:
        """See `Bus.publish`."""
        say_head(self._log.head)
        super().publish(head_seq)


def batches(first: int, last: int) -> list[list[FeedFact]]:
    """Return some facts of a busy market, a few at a time."""
    facts: list[FeedFact] = [*busy_tape(BUSY).events()[first:last]]
    return [facts[begin : begin + FACTS_A_BATCH] for begin in range(0, len(facts), FACTS_A_BATCH)]


async def live(folder: Path, first: int, last: int) -> None:
    """Run an engine over some facts, with the page's views kept beside it and its alerts delivered."""
    db, tape = folder / LOG, busy_tape(BUSY)
    what = settings(db, snapshot_every_events=SNAPSHOT_EVERY_EVENTS)
    async with open_engine(what, tape.contracts, ManualClock(NOW_MS), warn) as engine:
        engine.bus = engine.loop.bus = SayingBus(engine.log)
        say_head(engine.log.head)
        followers = asyncio.ensure_future(follow_log(engine))
        for batch in batches(first, last):
            await engine.loop.take(batch)
            await asyncio.sleep(0)
        await engine.finish()
        await followers


async def follow_log(engine: Engine) -> None:
    """Keep views and deliver alerts until the bus is closed."""
    db = engine.log.path
    with closing(engine.log.reader()) as reader, closing(engine.log.reader()) as other:
        store = fold_store(db, "web", reader, warn)
        (views,), seq = store.restore((page_views(),))
        chat, cursors = notifier(db, other, engine.bus, lambda text: say(alert_line(text)), warn)
        with closing(cursors):
            await asyncio.gather(follow(reader, engine.bus, [views], Cursor(seq), store), chat.run())


async def back_up(folder: Path) -> None:
    """Run an engine and make backups meanwhile, of which only one is kept."""
    db, tape = folder / LOG, busy_tape(BUSY)
    what = settings(db, snapshot_every_events=SNAPSHOT_EVERY_EVENTS)
    async with open_engine(what, tape.contracts, ManualClock(NOW_MS), warn) as engine:
        engine.bus = engine.loop.bus = SayingBus(engine.log)
        copying: asyncio.Future[None] | None = None
        for number, batch in enumerate(batches(0, 300)):
            await engine.loop.take(batch)
            if number % BATCHES_A_BACKUP == 0:
                await (copying or asyncio.sleep(0))
                copying = asyncio.ensure_future(asyncio.to_thread(copy_once, db, NOW_MS + number * 60_000))
            await asyncio.sleep(0)
        await (copying or asyncio.sleep(0))


def copy_once(db: Path, now_ms: int) -> None:
    """Make one backup and tell of it."""
    made = make_backup(db, db.parent / BACKUPS, 1, STRATEGIES, None, now_ms)
    say(f"backup {made.path.name} {made.seq} {made.hash}")


async def seal(folder: Path) -> None:
    """Run an engine and seal everything but the newest events meanwhile, in several segments."""
    db, tape = folder / LOG, busy_tape(BUSY)
    what = settings(db, snapshot_every_events=SNAPSHOT_EVERY_EVENTS)
    async with open_engine(what, tape.contracts, ManualClock(NOW_MS), warn) as engine:
        engine.bus = engine.loop.bus = SayingBus(engine.log)
        for number, batch in enumerate(batches(0, 300)):
            await engine.loop.take(batch)
            if number % BATCHES_A_SEGMENT == 0:
                end_seq = await asyncio.to_thread(seal_end, db)
                info = await asyncio.to_thread(write_next_segment, db, end_seq, lambda _: None)
                await engine.log.add_segment(info)
            await engine.log.delete_sealed_rows(ROWS_DELETED)


def seal_end(db: Path) -> int:
    """Return the end of the next segment: that of the last row but one."""
    with closing(SqliteLogReader(db)) as reader:
        return reader.end_at_or_before(reader.head().seq - 1).seq


def restore(folder: Path) -> None:
    """Put the one backup in the place of the log, by the command of the owner."""
    [backup] = (folder / BACKUPS).iterdir()
    with closing(SqliteLogReader(folder / LOG)) as reader:
        replaced = reader.head()
    say(f"replaces {replaced.seq} {replaced.hash.hex()}")
    command(["restore", str(backup), "--db", str(folder / LOG), "--new-epoch", "--why", "a test", "--json"])
    with closing(SqliteLogReader(folder / LOG)) as reader:
        head = reader.head()
    say(f"restored {head.seq} {head.hash.hex()}")


def command(arguments: list[str]) -> None:
    """Run a command of papertape in this process."""
    sys.argv[1:] = arguments
    code: object = None
    try:
        run_papertape()
    except SystemExit as ended:
        code = ended.code
    assert not code, f"{arguments}: {code}"


def warn(text: str) -> None:
    """Fail: nothing is wrong before the power cut."""
    raise AssertionError(text)


def main(role: str, folder: str, *arguments: str) -> None:
    """Play the role."""
    if breach := os.environ.get(BREACH_VARIABLE):
        BREACHES[breach].apply()
    match role:
        case "live":
            asyncio.run(live(Path(folder), *map(int, arguments)))
        case "backup":
            asyncio.run(back_up(Path(folder)))
        case "seal":
            asyncio.run(seal(Path(folder)))
        case "restore":
            restore(Path(folder))
        case "papertape":
            command(list(arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
