"""Restored folds continue as if they had never stopped; an invalid snapshot is set aside."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.events.bus import Bus
from papertape.events.checkpoints.store import REFUSED
from papertape.events.errors import SnapshotRefused
from papertape.events.log import Entry
from papertape.events.memory_log import MemoryEventLog
from papertape.projections.alerts.derive import Alerts
from papertape.projections.alerts.settings import AlertSettings
from papertape.projections.folds.arena import Arena
from papertape.projections.folds.excursions import Excursions
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.trades import Trades
from papertape.projections.host import Cursor, fold, follow
from papertape.projections.persistence.code_version import digest_of, modules_of
from papertape.projections.persistence.fold_store import (
    KEEP_EVENTS_MIN,
    KEEP_MS_MIN,
    KEPT_MAX,
    FoldStore,
    code_version,
)
from papertape.projections.persistence.packing import pack, unpack
from papertape.projections.site.views import Views
from papertape.projections.watchdog.anomalies import Anomalies, AnomalyTimings
from papertape.projections.watchdog.liveness import Liveness
from papertape.projections.watchdog.settings import WatchdogSettings
from tests.alerts.random_log import PLAIN, lengths, pools, random_log, seeds
from tests.build import candle, closed, configured, opened
from tests.projections.portrait import portrait
from tests.support import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.facts import Event
    from papertape.events.log import Recorded

TIMEFRAMES = {PLAIN[0]: 900_000, PLAIN[2]: 60_000}
RULES = AnomalyTimings.of(WatchdogSettings())
STORY: list[Event] = [configured(), candle(0, 100.0), opened(), candle(1, 105.0), closed(5.0), candle(2, 90.0)]


def everything(names: Sequence[str] = PLAIN) -> tuple[Any, ...]:
    """Return every kind of kept fold."""
    return (Alerts(), Views(dict.fromkeys(names, 60_000)), Liveness(TIMEFRAMES), Anomalies(RULES, names), Portfolio())


# ---------------------------------------------------------------- the state


def repacked(folds: Any) -> Any:
    """Return folds as after a restart."""
    packed = pack(folds)
    return unpack(packed.state, load=lambda key: unpack(packed.contents[key]))


@pytest.mark.system
@given(seeds, lengths, st.data())
@examples(150)
def test_folding_with_a_pause_at_any_event_equals_folding_at_once(seed: int, length: int, data: st.DataObject) -> None:
    log = random_log(seed, length)
    cut = data.draw(st.integers(0, len(log)))
    whole, before = everything(), everything()
    fold(whole, log)
    fold(before, log[:cut])
    after = repacked(before)
    assert portrait(after) == portrait(before)
    fold(after, log[cut:])
    assert portrait(after) == portrait(whole)
    assert after[0].portfolio.view() == whole[4].view()
    assert after[1].arena.rows() == whole[1].arena.rows()


@given(seeds, lengths, pools)
@examples(60)
def test_alerts_after_a_restore_are_the_same_for_any_names_and_reasons(seed: int, length: int, pool: list[str]) -> None:
    log = random_log(seed, length, pool)
    whole, resumed = Alerts(), Alerts()
    for recorded in log:
        whole.apply(recorded)
        resumed = repacked(resumed)
        resumed.apply(recorded)
        assert resumed.alert_of(recorded) == whole.alert_of(recorded)


def test_cycles_of_many_accounts_and_symbols_do_not_exceed_the_recursion_limit() -> None:
    symbols = tuple(f"S{number}" for number in range(100))
    events = [configured(f"runner{number}", symbols) for number in range(64)]
    portfolio = Portfolio()
    fold([portfolio], recorded_of(events))
    assert portrait(repacked(portfolio)) == portrait(portfolio)


def recorded_of(events: Sequence[Event]) -> list[Recorded]:
    log = asyncio.run(logged(events))
    return log.reader().read(0, 10_000)


def test_a_cached_breakdown_is_not_kept() -> None:
    portfolio, trades = Portfolio(), Trades()
    arena = Arena(portfolio, trades)
    fold([portfolio, trades], recorded_of(STORY))
    seen = arena.rows()
    assert arena.breakdown(seen[0].strategy).trades == seen[0].trades
    _, _, found = repacked((portfolio, trades, arena))
    assert found._parts == {}
    assert found.rows() == seen


def test_the_calm_time_of_an_anomaly_restarts_after_a_restore() -> None:
    anomalies = Anomalies(RULES)
    anomalies._calm_since_ms["data_stale", "BTCUSDT"] = 1
    assert repacked(anomalies)._calm_since_ms == {}


@pytest.mark.parametrize("thing", [print, pickle.Pickler, Path("/"), open, type, Bus.close])
def test_a_state_that_names_a_foreign_object_is_refused(thing: object) -> None:
    with pytest.raises(SnapshotRefused):
        unpack(pickle.dumps(thing))


class Reaching:
    """An object whose pickle would run a program when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        import os  # noqa: PLC0415 - only to be named in the pickle

        return os.system, ("false",)


@pytest.mark.parametrize(
    "state",
    [
        pickle.dumps(Reaching()),
        b"cpapertape.projections.host\nasyncio.run\n.",
        b"cpapertape.projections.persistence.packing\npickle.loads\n.",
        b"cpapertape.events.codec\nCODEC\n.",
        b"\x80\x05\x8c\x1apapertape.projections.host\x8c\x0basyncio.run\x93.",
        b"",
        b"\x80\x05.",
        pack(Portfolio()).state[:-20],
    ],
)
def test_a_state_cannot_reach_beyond_our_classes(state: bytes) -> None:
    with pytest.raises(SnapshotRefused):
        unpack(state)


def test_an_object_that_cannot_be_encoded_is_refused_by_name() -> None:
    with pytest.raises(SnapshotRefused, match="cannot be encoded"):
        pack({"a": (one for one in "")})


# ---------------------------------------------------------------- the store


async def logged(events: Sequence[Event], rows_of: int = 1) -> MemoryEventLog:
    """Return a log in memory with `rows_of` events per row."""
    log = MemoryEventLog(clock_ms=lambda: 0)
    for start in range(0, len(events), rows_of):
        await log.append(log.head.seq, [Entry(event) for event in events[start : start + rows_of]])
    return log


class Shelf:
    """A folder, a log, and a clock that stands still; `warned` holds the warnings."""

    def __init__(self, folder: Path, log: MemoryEventLog) -> None:
        self.folder, self.log = folder, log
        self.warned: list[str] = []
        self.now_ms = 0

    def keeping(self, made_with: object = None) -> FoldStore:
        """Return a store as after a start."""
        return FoldStore(self.folder / "folds", self.log.reader(), lambda: self.now_ms, self.warned.append, made_with)

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "folds").glob("*.checkpoints"))

    @property
    def seqs(self) -> list[int]:
        """The events at which states are kept."""
        found: list[int] = []
        for file in self.files:
            with closing(sqlite3.connect(file)) as connection:
                found += [seq for (seq,) in connection.execute("SELECT seq FROM checkpoints")]
        return found


def shelf_with_snapshot(folder: Path, seq: int = 6, made_with: object = None, **more: Any) -> Shelf:
    """Save a portfolio as of one event of a story of six."""
    shelf = Shelf(folder, asyncio.run(logged(STORY, **more)))
    portfolio = Portfolio()
    fold([portfolio], shelf.log.reader().read(0)[:seq])
    asyncio.run(shelf.keeping(made_with).save(seq, portfolio, last=True))
    return shelf


def test_kept_folds_are_restored_at_the_next_start(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path)
    found, seq = shelf.keeping().restore(Portfolio())
    whole = Portfolio()
    fold([whole], shelf.log.reader().read(0))
    assert (seq, found.view(), shelf.warned) == (6, whole.view(), [])


def test_an_empty_folder_restores_nothing(tmp_path: Path) -> None:
    fresh = Portfolio()
    found, seq = Shelf(tmp_path, asyncio.run(logged(STORY))).keeping().restore(fresh)
    assert found is fresh
    assert seq == 0


def test_a_limit_on_the_seq_restores_older_folds(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path, 3)
    keeper, portfolio = shelf.keeping(), Portfolio()
    fold([portfolio], shelf.log.reader().read(0))
    asyncio.run(keeper.save(6, portfolio, last=True))
    assert [keeper.restore(Portfolio(), until)[1] for until in (6, 5, 3, 2)] == [6, 3, 3, 0]


def spoil_header(file: Path) -> None:
    file.write_bytes(b"no database" * 1_000)
    file.with_name(file.name + "-wal").unlink(missing_ok=True)


def spoil_state(file: Path) -> None:
    """Flip one bit of the state."""
    with closing(sqlite3.connect(file)) as connection, connection:
        (packed,) = connection.execute("SELECT packed FROM checkpoints").fetchone()
        flipped = packed[:-9] + bytes([packed[-9] ^ 1]) + packed[-8:]
        connection.execute("UPDATE checkpoints SET packed = ?", (flipped,))


@pytest.mark.parametrize("spoil", [spoil_header, spoil_state])
def test_a_corrupt_state_is_not_used(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    shelf = shelf_with_snapshot(tmp_path)
    (file,) = shelf.files
    spoil(file)
    assert shelf.keeping().restore(Portfolio())[1] == 0
    assert "set aside" in shelf.warned[0] or "does not match its digest" in shelf.warned[0]
    assert shelf.seqs == []
    assert spoil is spoil_state or file.with_name(file.name + REFUSED).exists()


def test_a_snapshot_of_another_log_is_set_aside(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path)
    shelf.log = asyncio.run(logged([*STORY[:5], candle(2, 91.0)]))
    assert shelf.keeping().restore(Portfolio())[1] == 0
    assert "another event at seq 6" in shelf.warned[0]


def test_a_state_of_other_folds_is_not_read(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path)
    assert shelf.keeping().restore((Portfolio(), Excursions()))[1] == 0


def test_a_snapshot_with_other_inputs_is_not_read(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path, made_with=AlertSettings())
    assert shelf.keeping(AlertSettings(entry="off")).restore(Portfolio())[1] == 0
    assert shelf.keeping(AlertSettings()).restore(Portfolio())[1] == 6


def test_the_version_covers_the_code_of_exactly_these_folds(tmp_path: Path) -> None:
    modules = modules_of([Portfolio]) | {"papertape.projections.persistence.packing"}
    assert code_version(Portfolio()) == digest_of(modules).hex()[:16]
    assert code_version((Portfolio(), Alerts())) != code_version(Portfolio())
    shelf = shelf_with_snapshot(tmp_path)
    assert shelf.files[0].name.startswith(code_version(Portfolio()))


def test_a_state_may_not_name_a_class_outside_the_digested_modules() -> None:
    state = pack(Alerts()).state
    with pytest.raises(SnapshotRefused, match=r"a state names papertape\.projections\.alerts"):
        unpack(state, modules_of([Portfolio]))
    assert isinstance(unpack(state, modules_of([Alerts])), Alerts)


@pytest.mark.parametrize("fold", everything(), ids=lambda fold: type(fold).__name__)
def test_every_kept_class_comes_from_a_digested_module(fold: Any) -> None:
    for one in random_log(7, 200):
        fold.apply(one)
    assert unpack(pack(fold).state, modules_of([type(fold)]))


def test_folds_are_saved_after_enough_events_and_enough_time(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path, 3)
    keeper = shelf.keeping()
    keeper.restore(Portfolio())
    assert [keeper.is_due(seq) for seq in (3, 2 + KEEP_EVENTS_MIN, 3 + KEEP_EVENTS_MIN)] == [False, False, True]
    asyncio.run(keeper.save(6, Portfolio(), last=True))
    assert not keeper.is_due(6 + KEEP_EVENTS_MIN)
    shelf.now_ms += KEEP_MS_MIN
    assert keeper.is_due(6 + KEEP_EVENTS_MIN)
    shelf.now_ms = -1
    assert keeper.is_due(6 + KEEP_EVENTS_MIN), "a clock that was set back is waited for never"
    assert [keeper.is_due(seq, last=True) for seq in (6, 7)] == [False, True]


def test_nothing_is_saved_inside_a_row(tmp_path: Path) -> None:
    assert shelf_with_snapshot(tmp_path, 3, rows_of=2).seqs == []
    assert shelf_with_snapshot(tmp_path, 4, rows_of=2).seqs == [4]


def test_a_failed_save_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "folds").write_text("a file where the folder should be")
    assert "were not kept" in shelf_with_snapshot(tmp_path).warned[0]


def test_losing_every_snapshot_loses_nothing(tmp_path: Path) -> None:
    shelf = shelf_with_snapshot(tmp_path)
    for file in shelf.files:
        file.unlink()
    assert shelf.keeping().restore(Portfolio())[1] == 0
    assert shelf.warned == []


# ---------------------------------------------------------------- followers


def test_a_follower_saves_at_its_end_and_continues_from_there(tmp_path: Path) -> None:
    async def story(events: Sequence[Event]) -> tuple[Portfolio, int, int]:
        log, bus = await logged(events), Bus()
        shelf = Shelf(tmp_path, log)
        keeper = shelf.keeping()
        (portfolio,), seq = keeper.restore((Portfolio(),))
        cursor = Cursor(seq)
        bus.publish(log.head.seq)
        bus.close()
        await follow(log.reader(), bus, [portfolio], cursor, keeper)
        return portfolio, seq, cursor.seq

    first, second = asyncio.run(story(STORY[:4])), asyncio.run(story(STORY))
    whole = Portfolio()
    fold([whole], recorded_of(STORY))
    assert (first[1:], second[1:]) == ((0, 4), (4, 6))
    assert second[0].view() == whole.view()


@pytest.mark.system
def test_a_save_cancelled_while_encoding_stores_nothing(tmp_path: Path) -> None:
    async def story() -> Shelf:
        shelf = Shelf(tmp_path, await logged(STORY))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0):
                await shelf.keeping().save(6, [Portfolio() for _ in range(20_000)], last=True)
        return shelf

    assert asyncio.run(story()).seqs == []


def test_only_the_newest_snapshots_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, asyncio.run(logged(STORY)))
    keeper = shelf.keeping()
    for seq in range(1, 7):
        asyncio.run(keeper.save(seq, Portfolio(), last=True))
    assert shelf.seqs == [4, 5, 6]
    assert len(shelf.seqs) == KEPT_MAX


def test_restored_folds_share_nothing_with_the_originals() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shelf = shelf_with_snapshot(Path(folder))
        keeper = shelf.keeping()
        first, _ = keeper.restore(Portfolio())
        second, _ = keeper.restore(Portfolio())
        assert first is not second
