"""What must hold on the disk that a power cut left: nothing promised is lost, and everything starts by itself."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec
import pytest

from papertape.cli.render.event_json import json_fields
from papertape.engine.leftover_files import reject_leftovers
from papertape.engine.ports.clock import ManualClock
from papertape.engine.recovery import recover
from papertape.engine.reducer.snapshot_codec import state_digest
from papertape.engine.startup import open_engine, snapshot_store
from papertape.events.beside import sibling_path
from papertape.events.bus import Bus
from papertape.events.copying import REPLACED
from papertape.events.cursors import stored_positions
from papertape.events.facts import CandleClosed, FundingRateSettled, OpenInterestObserved
from papertape.events.segments.sealing import write_next_segment
from papertape.events.sqlite_log import SqliteEventLog, SqliteLogReader
from papertape.projections.alerts.derive import Alerts
from papertape.projections.telegram.text import REPEAT_MARK
from tests.engine.parts import BUSY, busy_tape, settings
from tests.engine.processes import papertape
from tests.power.followers import fold_store, notifier, page_views
from tests.power.roles import BACKUPS, LOG, NOW_MS, ROWS_DELETED, seal_end
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import Recorded
    from tests.power.crash import CrashState

SIM: Final = (
    *("--feed", "sim", "--until-end", "--json"),
    *("--set", "feed.sim.days=1", "feed.sim.warm_up_days=0", "feed.sim.symbols=BTCUSDT"),
)
"""The market of the whole program."""
FACTS: Final = (CandleClosed, FundingRateSettled, OpenInterestObserved)
PROGRAMS_EVERY: Final = 4
"""How many states of the program are checked for each one that is run to its end."""
NO_HEAD_FILE: Final = "was missing or torn and was created anew"
OTHER_SNAPSHOT: Final = "the log has another event at seq"


def check_engine(state: CrashState) -> None:
    """Check a log with its engine, its chat and its page."""
    db = state.folder / LOG
    check_cursors(db, asyncio.run(open_log(db)))
    assert not (warnings := start(db)), warnings
    assert_held(db, state.said)
    assert state_digest(recovered(db, snapshots=True)) == state_digest(recovered(db, snapshots=False))
    check_alerts(db, [json.loads(line[6:]) for line in state.said if line.startswith("alert ")])
    check_folds(db)


def check_sealed(state: CrashState) -> None:
    """Check a log that was being sealed, and go on sealing it."""
    check_engine(state)
    db = state.folder / LOG
    before = verify(db)
    info = write_next_segment(db, seal_end(db), lambda _: None)

    async def complete() -> None:
        log = await SqliteEventLog.open(db, clock_ms=lambda: NOW_MS)
        await log.add_segment(info)
        while await log.delete_sealed_rows(ROWS_DELETED):
            pass
        await log.close()

    asyncio.run(complete())
    assert verify(db) == before


def check_backups(state: CrashState) -> None:
    """Check a log and its backups: what has a backup's name is whole, and the newest one that was told of is there."""
    folder = state.folder / BACKUPS
    promised = [line.split()[1:] for line in state.said if line.startswith("backup ")]
    for path in folder.glob("*.backup"):
        verify(path)
    if promised:
        name, seq, row_hash = promised[-1]
        newer = [path for path in folder.glob("*.backup") if path.name >= name]
        assert newer, f"the backup {name} is lost"
        assert_row(newer[0], int(seq), row_hash)
    assert not (warnings := start(state.folder / LOG)), warnings
    assert_held(state.folder / LOG, state.said)


def check_restore(state: CrashState) -> None:
    """Check that a restore has left the old log or the new one, and that the old one is not lost."""
    db = state.folder / LOG
    warnings = start(db)
    assert all(NO_HEAD_FILE in warning or OTHER_SNAPSHOT in warning for warning in warnings), warnings
    verify(db)
    promises = [line.split() for line in state.said if line.startswith("re")]
    for promise, seq, row_hash in promises:
        if promise == "restored":
            assert_row(db, int(seq), row_hash)
            assert not warnings
        else:
            places = [db, *db.parent.glob(f"{LOG}{REPLACED}*/{LOG}")]
            assert any(hash_at(place, int(seq)) == row_hash for place in places), "the old log is lost"


def check_program(state: CrashState) -> None:
    """Check the log of the whole program; some states go on to the end of the market."""
    db, told = state.folder / LOG, [json.loads(line) for line in state.said if line.startswith("{")]
    asyncio.run(open_log(db))
    held = {item.seq: json.loads(msgspec.json.encode(json_fields(item))) for item in verify(db)}
    for event in told:
        assert held.get(event["seq"]) == event, f"the event {event['seq']} was told of and is lost"
    if state.seed % PROGRAMS_EVERY == 0:
        done = papertape(state.folder, "run", "--speed", "max", *SIM, "--db", str(db))
        assert done.returncode == 0, done.stderr
        facts = Counter(
            (type(item.event), item.event.symbol, item.event.at_ms)
            for item in verify(db)
            if isinstance(item.event, FACTS)
        )
        assert set(facts.values()) == {1}, "a fact of the market is in the log twice"


# ---------------------------------------------------------------- starting


def start(db: Path) -> list[str]:
    """Start an engine the way the program does, and stop it; return what it warned of."""
    reject_leftovers(db, db.parent / BACKUPS, "")

    async def run() -> list[str]:
        warnings: list[str] = []
        async with open_engine(settings(db), busy_tape(BUSY).contracts, ManualClock(NOW_MS), warnings.append):
            pass
        return warnings

    return asyncio.run(run())


def recovered(db: Path, *, snapshots: bool) -> EngineState:
    """Return the state that an engine recovers from its snapshots, or from the log alone."""
    with closing(SqliteLogReader(db)) as reader:
        return recover(reader, snapshot_store(db, pytest.fail) if snapshots else None, STRATEGIES).state


async def open_log(db: Path) -> int:
    """Open the log for writing, as the program does, and close it; return its newest seq."""
    reject_leftovers(db, db.parent / BACKUPS, "")
    log = await SqliteEventLog.open(db, clock_ms=lambda: NOW_MS)
    assert not log.warnings, log.warnings
    await log.close()
    return log.head.seq


# ---------------------------------------------------------------- the log


def verify(db: Path) -> list[Recorded]:
    """Return every event of a log whose rows and tail have been checked."""
    with closing(SqliteLogReader(db)) as reader:
        reader.verify_tail()
        return [item for commit in reader.commits() for item in commit.recorded()]


def hash_at(db: Path, seq: int) -> str:
    """Return the hash of the row that ends at `seq`; "" if there is none."""
    with closing(SqliteLogReader(db)) as reader:
        return (reader.hash_at(seq) or b"").hex()


def assert_row(db: Path, seq: int, row_hash: str) -> None:
    """Check that the log holds what was promised up to `seq`: the chain of hashes covers all rows before it."""
    assert hash_at(db, seq) == row_hash, f"{db.name} has lost the row that ended at seq {seq}"


def assert_held(db: Path, said: Sequence[str]) -> None:
    """Check that a log is whole and holds every commit that was acknowledged."""
    verify(db)
    for seq, row_hash in [line.split()[1:] for line in said if line.startswith("head ")]:
        assert_row(db, int(seq), row_hash)


# ---------------------------------------------------------------- the followers


def check_cursors(db: Path, head_seq: int) -> None:
    """Check that no cursor is ahead of the log, whose newest event is `head_seq`."""
    positions = stored_positions(sibling_path(db, ".cursors"))
    ahead = {name: seq for name, seq in positions.items() if name.endswith(".sent") and seq > head_seq}
    assert not ahead, f"the log ends at seq {head_seq}, but {ahead}"


def check_alerts(db: Path, delivered: Sequence[str]) -> None:
    """Check that every alert of the log is delivered, before the cut or now, and that a repeated one is marked."""
    events, alerts = verify(db), Alerts()
    expected: Counter[str] = Counter()
    for event in events:
        alerts.apply(event)
        if alert := alerts.alert_of(event):
            expected[alert.html] += 1
    texts: list[str] = []
    warnings: list[str] = []
    asyncio.run(_deliver(db, len(events), texts.append, warnings.append))
    assert not warnings, warnings
    once = Counter([*delivered, *(text for text in texts if REPEAT_MARK not in text)])
    marked = Counter(text.removesuffix(f"\n{REPEAT_MARK}") for text in texts if REPEAT_MARK in text)
    assert once <= expected, f"delivered without a mark, but not in the log or twice: {once - expected}"
    assert once + marked >= expected, f"never delivered: {expected - once - marked}"


async def _deliver(db: Path, head_seq: int, accept: Callable[[str], None], warn: Callable[[str], None]) -> None:
    bus = Bus(head_seq)
    bus.close()
    with closing(SqliteLogReader(db)) as reader:
        chat, cursors = notifier(db, reader, bus, accept, warn)
        with closing(cursors):
            await chat.run()


def check_folds(db: Path) -> None:
    """Check that the page's kept views are whole and belong to the log."""
    warnings: list[str] = []
    with closing(SqliteLogReader(db)) as reader:
        (views,), seq = fold_store(db, "web", reader, warnings.append).restore((page_views(),))
        assert views.seq == seq <= reader.head().seq
    assert not warnings, warnings
