"""The file of a study: what it holds, what it refuses, and that nothing is stored twice or lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from papertape.engine.research.set_result import TradedSpan
from papertape.events.errors import StudyDiffers, StudyForeign, StudyHeld, StudyMissing, StudyWriteFailed
from papertape.projections.folds.metrics import daily_returns, sharpe
from papertape.projections.studies.document import Costs, Document, Verdict
from papertape.projections.studies.reader import StudyFolder
from papertape.projections.studies.schema import FORMAT
from papertape.studies.choice import CHOSEN_TRADES_MIN
from papertape.studies.day_selection import DaySelection, eligible
from papertape.studies.plan import plan_key
from papertape.studies.store import StudyStore
from papertape.studies.tasks import TaskFailure, TaskOutcome
from tests.studies.chores import SPANS, outcome, plan, result
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    """A new study with three spans."""
    with StudyStore.create(tmp_path / "small.db", plan(), 1_000) as made:
        made.spans(SPANS)
        yield made


def test_a_study_is_resumed_with_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "small.db"
    with StudyStore.create(path, plan(), 1_000) as store:
        assert store.spans(SPANS) == [0, 1, 2]
        assert store.add(outcome([3, 4])) == 2
        store.set_state("interrupted", 2_000)
    with StudyStore.create(path, plan(), 3_000) as store:
        assert store.state == "interrupted"
        assert store.spans([SPANS[2], TradedSpan(1, 2)]) == [2, 3]
        assert store.missing(0, range(6)) == [0, 1, 2, 5]
        assert store.missing(1, range(6)) == [*range(6)]
    with StudyStore.open(path, plan_key(plan())) as store:
        assert store.all_spans() == {**dict(enumerate(SPANS)), 3: TradedSpan(1, 2)}


def test_a_study_says_how_to_resume_it_and_one_of_the_first_format_is_upgraded(tmp_path: Path) -> None:
    typed = "papertape walkforward small --train 90d --test 30d"
    path = tmp_path / "small.db"
    with StudyStore.create(path, plan(), 1_000) as store:
        store.begin(2_000, typed)
    assert StudyFolder(tmp_path).study("small").resume == typed
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("ALTER TABLE study DROP COLUMN resume; PRAGMA user_version = 1;")
    assert StudyFolder(tmp_path).study("small").resume == "papertape walkforward small"
    with StudyStore.open(path) as store:
        store.begin(3_000, typed)
    assert StudyFolder(tmp_path).study("small").resume == typed


def test_results_are_read_as_they_were_stored(store: StudyStore) -> None:
    store.add(outcome([5, 2]))
    days = [0.0] * 3
    for number, figures, value in store.rows(0):
        expected = result(number)
        days = list(memoryview(expected.day_equities).cast("d"))
        assert figures == expected._replace(day_equities=b"")
        assert value == sharpe(daily_returns(10_000.0, days))
    numbers, matrix = store.days(0)
    assert numbers == [2, 5]
    assert list(matrix[1]) == days
    assert store.days(1)[0] == []


def test_a_result_that_arrives_twice_is_stored_once(store: StudyStore) -> None:
    store.add(outcome([1, 2, 3]))
    before = store.digest()
    assert store.add(outcome([1, 2, 3], machine="another")) == 0
    assert store.add(outcome([2, 3, 4])) == 1
    long_way = TaskOutcome(0, [4], [result(4)._replace(long_way=-1)], "here", 0.1, {"a hook failed": 1})
    assert store.add(long_way) == 0
    assert [number for number, *_ in store.rows(0)] == [1, 2, 3, 4]
    assert store.digest() != before


def test_a_result_that_differs_from_the_stored_one_is_refused_by_name_and_nothing_of_its_chunk_is_stored(
    store: StudyStore,
) -> None:
    store.add(outcome([1, 2]))
    other = TaskOutcome(0, [2, 3], [result(2)._replace(trades=999), result(3)], "broken", 0.1, {})
    with pytest.raises(StudyDiffers, match=r"set 2 over span 0 .* 999.*is stored in .*small\.db"):
        store.add(other)
    assert [number for number, *_ in store.rows(0)] == [1, 2]


def test_the_digest_depends_on_results_alone_not_on_chunks_their_order_or_the_machine(tmp_path: Path) -> None:
    digests = set()
    for seed, size in ((1, 1), (2, 3), (3, 40)):
        chunks = [(span, range(at, min(at + size, 40))) for span in range(3) for at in range(0, 40, size)]
        Random(seed).shuffle(chunks)
        with StudyStore.create(tmp_path / f"{seed}.db", plan(), seed) as store:
            store.spans(SPANS if seed > 1 else SPANS[::-1])
            for span, numbers in chunks:
                store.add(outcome(numbers, span if seed > 1 else 2 - span, machine=f"machine {seed}"))
            digests.add(store.digest())
            store.set_state("complete", 9_000)
            digests.add(store.digest())
    assert len(digests) == 1
    with StudyStore.open(tmp_path / "2.db") as store:
        store._connection.execute("UPDATE result SET wins = wins + 1 WHERE span = 2 AND number = 39")
        assert store.digest() not in digests


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (plan(code="c" * 32), "code_digest was .*, now c{32}"),
        (plan(tape="u" * 32), "tape_digest was t{32}, now u{32}"),
        (plan(sets=41), "space.sets was 40, now 41"),
        (plan(sets=2), "space.axes was name sl_percent values .*, now name sl_percent values 0.2, 1.2"),
        (plan(risk=5_000.0), "risk.capital_usdt was 10000.0, now 5000.0"),
    ],
)
def test_a_study_of_other_code_or_data_is_not_resumed(store: StudyStore, other: object, named: str) -> None:
    store.close()
    assert isinstance(other, type(store.plan))
    with pytest.raises(StudyDiffers, match=f"{store.key}.*{plan_key(other)}.*{named}"):
        StudyStore.create(store.path, other, 1)
    with pytest.raises(StudyDiffers, match=f"{store.key}, expected is {plan_key(other)}"):
        StudyStore.open(store.path, plan_key(other))


def test_a_second_writer_is_refused_by_name_until_the_first_one_ends(store: StudyStore) -> None:
    program = (
        "import sys; from pathlib import Path; from papertape.studies.store import StudyStore; "
        "from papertape.events.errors import StudyHeld\n"
        "try: StudyStore.open(Path(sys.argv[1])).close(); print('opened')\n"
        "except StudyHeld as error: print(error)"
    )
    for expected in (f"another process runs the study {store.path}", "opened"):
        command = [sys.executable, "-c", program, str(store.path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
        if expected == "opened":
            StudyStore.create(store.path, plan(), 1).close()
        else:
            with pytest.raises(StudyHeld):
                StudyStore.create(store.path, plan(), 1)
        store.close()


def test_a_page_reads_while_results_are_stored(store: StudyStore) -> None:
    with closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as reader:
        for count in range(1, 4):
            store.add(outcome([count]))
            assert reader.execute("SELECT COUNT(*) FROM result").fetchone() == (count,)


def test_a_full_disk_ends_the_chunk_and_nothing_before_it_is_lost(store: StudyStore) -> None:
    store.add(outcome(range(10)))
    before = store.digest()
    [[pages]] = store._connection.execute("PRAGMA page_count")
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StudyWriteFailed, match=r"small\.db: the disk is full"):
        store.add(outcome(range(10, 400)))
    assert store.digest() == before
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert store.add(outcome(range(10, 400))) == 390


def test_files_that_are_no_study_are_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with pytest.raises(StudyMissing):
        StudyStore.open(path)
    path.write_bytes(b"open_time,open,high\n" * 100)
    with pytest.raises(StudyForeign):
        StudyStore.create(path, plan(), 1)
    assert path.read_bytes() == b"open_time,open,high\n" * 100
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE events (seq INTEGER)")
    content = path.read_bytes()
    with pytest.raises(StudyForeign, match="is not a study"):
        StudyStore.create(path, plan(), 1)
    assert path.read_bytes() == content


def test_a_newer_format_is_refused(store: StudyStore) -> None:
    store._connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    store.close()
    with pytest.raises(StudyForeign, match=f"format {FORMAT + 1}.*up to {FORMAT}"):
        StudyStore.open(store.path)


def test_failures_are_recorded_and_not_missing_until_they_are_forgotten(store: StudyStore) -> None:
    store.add_failure(TaskFailure(0, [3, 4, 5], "SIGSEGV"))
    assert store.missing(0, range(7)) == [0, 1, 2, 6]
    assert store.failures() == [TaskFailure(0, range(3, 6), "SIGSEGV")]
    store.forget_failures()
    assert store.missing(0, range(7)) == [*range(7)]


def test_conclusions_are_replaced(store: StudyStore) -> None:
    assert store.document() is None
    for trials in (1, 2):
        verdict = Verdict("NO", "costs eat the edge", "costs", (), None, {}, trials)
        store.save_document(Document(verdict, Costs(1.0, 2.0, 3.0, 4.0, 5.0, 6)), 5_000)
    found = store.document()
    assert found is not None and found.verdict.trials == 2


def test_a_large_study_keeps_the_days_of_the_best_and_of_those_drawn_whatever_the_order(tmp_path: Path) -> None:
    sets, policy = 2_001, DaySelection(2_001, 7, keep_all_max=2_000, best=100, drawn=400)
    trades = {number: result(number).trades for number in range(sets)}
    days = {}
    for seed in (1, 2):
        chunks = [range(at, min(at + 300, sets)) for at in range(0, sets, 300)]
        Random(seed).shuffle(chunks)
        with StudyStore.create(tmp_path / f"{seed}.db", plan(sets), seed) as store:
            store.spans(SPANS[:1])
            store.days_policy = policy
            for numbers in chunks:
                found = outcome(numbers)
                found.sharpes = [number % 7.0 for number in numbers]
                if seed == 2:  # As a worker that leaves out what the study would drop.
                    rated = [eligible(number % 7.0, trades[number]) for number in numbers]
                    surplus = set(policy.surplus(numbers, rated))
                    pairs = zip(numbers, found.results, strict=True)
                    found.results = [one._replace(day_equities=b"") if n in surplus else one for n, one in pairs]
                store.add(found)
            days[seed] = store.days(0)[0]
            assert len(store.rows(0)) == sets
    assert days[1] == days[2]
    choosable = [number for number in range(sets) if trades[number] >= CHOSEN_TRADES_MIN]
    best = sorted(choosable, key=lambda number: (-(number % 7.0), number))[:100]
    assert set(best) <= set(days[1])
    assert len(set(days[1]) - set(best)) == pytest.approx(400 * 0.95, rel=0.15)


def test_a_run_begins_apart_after_one_that_died_or_had_sets_that_failed(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "new.db", plan(), 1) as store:
        assert not store.begin(1), "nothing was ever run"
        store.spans([TradedSpan(None, None)])
        assert store.begin(2), "it was running: its process died"
        store.set_state("complete", 3)
        assert not store.begin(4)
        store.set_state("interrupted", 5)
        store.add_failure(TaskFailure(0, [3], "SIGSEGV"))
        assert store.begin(6)
        assert store.failures() == []
