"""A study's file: everything that was computed, stored by the one process that runs the study.

A chunk of results is one transaction, so that a process that is killed loses only what it was computing. The same
result may arrive twice, from a worker that was believed dead: it is stored once.
"""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from papertape.engine.research.set_result import SetResult, TradedSpan
from papertape.events.errors import (
    LogError,
    LogHeld,
    StudyDiffers,
    StudyError,
    StudyForeign,
    StudyHeld,
    StudyMissing,
    StudyWriteFailed,
)
from papertape.events.head_file import LogLock
from papertape.projections.studies.document import Document, StudyPlan
from papertape.projections.studies.schema import FORMAT, RESULT_COLUMNS, RESUME_COLUMN, RESUME_FORMAT, TABLES
from papertape.studies.day_selection import DaySelection, eligible
from papertape.studies.day_sharpes import day_sharpes
from papertape.studies.plan import plan_differences, plan_key
from papertape.studies.tasks import TaskFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from papertape.studies.tasks import TaskOutcome

_FIGURES: Final = ", ".join(RESULT_COLUMNS)
_INSERT_RESULT: Final = (
    f"INSERT OR IGNORE INTO result (span, number, {_FIGURES}, sharpe) "  # noqa: S608 - the names are ours
    f"VALUES ({', '.join('?' * (len(RESULT_COLUMNS) + 3))})"
)
_SELECT_RESULTS: Final = f"SELECT number, {_FIGURES}, sharpe FROM result WHERE span = ?"  # noqa: S608 - likewise
_HOW: Final = RESULT_COLUMNS.index("long_way") + 1
"""The place of the one column that says how a set was run: the sets run beside it may decide that."""
_NEW_STUDY: Final = "INSERT INTO study VALUES (1, ?, ?, ?, 'running', ?, ?, '')"


class StudyStore:
    """The file of one study, held by this process until `close`. Create one by `create` or `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, stack: ExitStack) -> None:
        self.path = path
        self._connection, self._stack = connection, stack
        self.key, content = connection.execute("SELECT key, plan FROM study").fetchone()
        self.plan = msgspec.json.decode(content, type=StudyPlan)
        space = self.plan.space
        sets = space.sets if space.drawn is None else min(space.sets, space.drawn)
        self.days_policy = DaySelection(sets, space.seed)

    @classmethod
    def create(cls, path: Path, plan: StudyPlan, now_ms: int) -> Self:
        """Create the file of a study, or open it if it is there with the same plan.

        Raise StudyDiffers if it has another plan, StudyHeld if another process writes it.
        """
        with ExitStack() as undo, _translate_errors(path):
            connection = _connection(path, undo)
            is_new = not _has_study(path, connection)
            _prepare(connection)
            if is_new:
                _begin(connection, plan, now_ms)
            else:
                _upgrade(connection)
            store = cls(path, connection, undo)
            store._refuse_other_plan(plan)
            store._stack = undo.pop_all()
        return store

    @classmethod
    def open(cls, path: Path, expected_key: str | None = None) -> Self:
        """Open a study. Raise StudyMissing, StudyHeld, or StudyDiffers if its key is not the expected one."""
        if not path.exists():
            raise StudyMissing(f"there is no study {path}")
        with ExitStack() as undo, _translate_errors(path):
            connection = _connection(path, undo)
            if not _has_study(path, connection):
                raise StudyMissing(f"{path} is empty: its study was never begun")
            _prepare(connection)
            _upgrade(connection)
            store = cls(path, connection, undo)
            if expected_key not in (None, store.key):
                raise StudyDiffers(f"{path} has the key {store.key}, expected is {expected_key}")
            store._stack = undo.pop_all()
        return store

    def close(self) -> None:
        """Merge the write-ahead log into the file, and release the study."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ work to do

    def spans(self, wanted: Sequence[TradedSpan]) -> list[int]:
        """Return the ids of spans, and add those that are new: 0, 1, ... in the order in which they were added."""
        with self._transaction() as connection:
            known = {TradedSpan(*span): number for number, *span in connection.execute("SELECT * FROM span")}
            for span in wanted:
                if span not in known:
                    known[span] = len(known)
                    connection.execute("INSERT INTO span VALUES (?, ?, ?)", (known[span], *span))
        return [known[span] for span in wanted]

    def all_spans(self) -> dict[int, TradedSpan]:
        """Return all spans by id."""
        rows = self._connection.execute("SELECT id, start_ms, end_ms FROM span ORDER BY id")
        return {number: TradedSpan(*span) for number, *span in rows}

    def missing(self, span_id: int, numbers: Iterable[int]) -> list[int]:
        """Return the sets that have neither a result over a span nor failed there, in the given order."""
        stored = {
            number for (number,) in self._connection.execute("SELECT number FROM result WHERE span = ?", (span_id,))
        }
        failed = [
            range(first, last + 1)
            for first, last in self._connection.execute("SELECT first, last FROM failed WHERE span = ?", (span_id,))
        ]
        return [number for number in numbers if number not in stored and not any(number in one for one in failed)]

    def add(self, outcome: TaskOutcome) -> int:
        """Store the results of a chunk, all or none; return how many are new.

        Raise StudyDiffers if one is stored with other figures, StudyWriteFailed if the disk refuses it.
        """
        span, numbers = outcome.span_id, outcome.numbers
        sharpes = outcome.sharpes or day_sharpes(
            float(self.plan.risk["capital_usdt"]), [result.day_equities for result in outcome.results]
        )
        rows = [
            (span, number, *map(_plain, result[:-1]), value)
            for number, result, value in zip(numbers, outcome.results, sharpes, strict=True)
        ]
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(_INSERT_RESULT, rows)
            added = connection.total_changes - before
            if added < len(rows):
                self._refuse_other_results(rows)
            days = (
                (span, number, one.day_equities)
                for number, one in zip(numbers, outcome.results, strict=True)
                if one.day_equities
            )
            connection.executemany("INSERT OR IGNORE INTO days VALUES (?, ?, ?)", days)
            connection.execute(
                "INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?)", (span, numbers[0], numbers[-1], outcome.machine)
            )
            self._drop_days(span)
        return added

    def add_failure(self, failure: TaskFailure) -> None:
        """Record that the sets of a task cannot be run, and why."""
        first, last = failure.numbers[0], failure.numbers[-1]
        with self._transaction() as connection:
            connection.execute("INSERT INTO failed VALUES (?, ?, ?, ?)", (failure.span_id, first, last, failure.error))

    def begin(self, now_ms: int, resume: str = "") -> bool:
        """Record that the study runs and the command line that resumes it; let failed sets count as missing again.

        Return whether a set failed in an earlier run, or that run died: then a set may be what ends a process.
        """
        suspect = bool(self.failures()) or (self.state == "running" and bool(self.all_spans()))
        self.forget_failures()
        with self._transaction() as connection:
            connection.execute("UPDATE study SET resume = ?", (resume,))
        self.set_state("running", now_ms)
        return suspect

    def forget_failures(self) -> None:
        """Let failed sets count as missing again."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM failed")

    def set_state(self, state: str, now_ms: int) -> None:
        """Record the state: running, interrupted, complete or failed."""
        with self._transaction() as connection:
            connection.execute("UPDATE study SET state = ?, updated_at_ms = ?", (state, now_ms))

    # ------------------------------------------------------------ results

    @property
    def state(self) -> str:
        """The state that was recorded last."""
        return str(self._connection.execute("SELECT state FROM study").fetchone()[0])

    def failures(self) -> list[TaskFailure]:
        """Return what could not be run; `numbers` is the range of the task's sets."""
        rows = self._connection.execute("SELECT span, first, last, error FROM failed ORDER BY span, first")
        return [TaskFailure(span, range(first, last + 1), error) for span, first, last, error in rows]

    def machines(self) -> list[str]:
        """Return the machines that computed the results."""
        return [text for (text,) in self._connection.execute("SELECT DISTINCT machine FROM chunk ORDER BY machine")]

    def rows(self, span_id: int) -> list[tuple[int, SetResult, float | None]]:
        """Return number, figures and Sharpe ratio of every set over a span, by number, without daily equities."""
        found = self._connection.execute(f"{_SELECT_RESULTS} ORDER BY number", (span_id,))
        return [(row[0], SetResult._make((*row[1:-1], b"")), row[-1]) for row in found]

    def days(self, span_id: int) -> tuple[list[int], Any]:
        """Return the sets whose daily equities over a span are stored, and these: a row a set.

        The rows are a matrix of numpy if it is installed, else plain arrays.
        """
        rows = self._connection.execute(
            "SELECT number, equities FROM days WHERE span = ? ORDER BY number", (span_id,)
        ).fetchall()
        numbers = [number for number, _ in rows]
        try:
            import numpy as np  # noqa: PLC0415 - belongs to an extra
        except ImportError:
            return numbers, [array("d", equities) for _, equities in rows]
        cells = np.frombuffer(b"".join(equities for _, equities in rows))
        return numbers, cells.reshape(len(rows), len(cells) // max(1, len(rows)))

    def digest(self) -> str:
        """Return a digest of plan and results. It depends neither on the order of chunks nor on who computed them."""
        digest = blake2b(self.key.encode(), digest_size=16)
        for span_id, span in sorted(self.all_spans().items(), key=lambda item: [bound or 0 for bound in item[1]]):
            digest.update(msgspec.msgpack.encode(span))
            for row in self._connection.execute(f"{_SELECT_RESULTS} ORDER BY number", (span_id,)):
                digest.update(msgspec.msgpack.encode(_result(row)))
        return digest.hexdigest()

    def save_document(self, document: Document, now_ms: int) -> None:
        """Store the conclusions in place of earlier ones."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO document VALUES (1, ?, ?)", (now_ms, _encoded(document)))

    def document(self) -> Document | None:
        """Return the conclusions, None before there are any."""
        row = self._connection.execute("SELECT content FROM document").fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Document)

    # ------------------------------------------------------------ inside

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _translate_errors(self.path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def _drop_days(self, span: int) -> None:
        """Drop the daily equities of sets that later ones pushed out of the best; they never come back."""
        if not self.days_policy.keeps_all:
            query = "SELECT number, sharpe, trades FROM days JOIN result USING (span, number) WHERE span = ?"
            kept = self._connection.execute(query, (span,)).fetchall()
            rated = [eligible(sharpe, trades) for _, sharpe, trades in kept]
            numbers = [number for number, *_ in kept]
            surplus = ((span, number) for number in self.days_policy.surplus(numbers, rated))
            self._connection.executemany("DELETE FROM days WHERE span = ? AND number = ?", surplus)

    def _refuse_other_results(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Raise StudyDiffers if a set is stored with other figures than these."""
        span = rows[0][0]
        for row in rows:
            stored = self._connection.execute(f"{_SELECT_RESULTS} AND number = ?", (span, row[1])).fetchone()
            if _result(stored) != _result(row[1:]):
                raise StudyDiffers(
                    f"set {row[1]} over span {span} gave {row[2:]}, but {stored[1:]} is stored in {self.path}"
                )

    def _refuse_other_plan(self, plan: StudyPlan) -> None:
        """Raise StudyDiffers, with both keys and what differs, if this is the study of another plan."""
        key = plan_key(plan)
        if key != self.key:
            differences = "; ".join(plan_differences(plan, self.plan))
            raise StudyDiffers(
                f"{self.path} holds the study {self.key}, this one is {key}: {differences}. Give this one another name"
            )


def _result(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return number, figures and Sharpe ratio of a set without how it was run."""
    return row[:_HOW] + row[_HOW + 1 :]


def _plain(value: Any) -> Any:
    """Return a figure as a number of Python: SQLite stores an integer of numpy as bytes."""
    return value if type(value) in (int, float) else value.item()


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _connection(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """Return a connection to a study's file that no other process writes. Raise StudyHeld."""
    try:
        stack.enter_context(LogLock(path))
    except LogHeld as error:
        raise StudyHeld(f"another process runs the study {path}") from error
    except LogError as error:
        raise StudyError(str(error)) from error
    connection = sqlite3.connect(path, isolation_level=None)
    stack.callback(connection.close)
    return connection


def _begin(connection: sqlite3.Connection, plan: StudyPlan, now_ms: int) -> None:
    """Create the tables and the study at once: a file has both or neither."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(_NEW_STUDY, (plan.name, plan_key(plan), _encoded(plan), now_ms, now_ms))


def _has_study(path: Path, connection: sqlite3.Connection) -> bool:
    """Return whether a file holds a study, False if it is empty. Raise StudyForeign for any other file."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables and version == 0:
        return False
    if "study" not in tables or "span" not in tables:
        raise StudyForeign(f"{path} is not a study; it was left untouched")
    if version > FORMAT:
        raise StudyForeign(f"{path} has format {version}, this version of papertape reads up to {FORMAT}")
    return True


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables of an earlier version to this one."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version < RESUME_FORMAT:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"ALTER TABLE study ADD COLUMN {RESUME_COLUMN}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")


def _prepare(connection: sqlite3.Connection) -> None:
    """Let pages read while results are stored.

    Without a sync of every transaction a power cut may lose the last chunks, which are run again, but never the file.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Raise StudyForeign for a file that is no database, StudyWriteFailed for any other error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_NOTADB:
            raise StudyForeign(f"{path} is not a study; it was left untouched") from error
        what = "the disk is full" if code == sqlite3.SQLITE_FULL else "the study cannot be written or read"
        raise StudyWriteFailed(f"{path}: {what}: {error}; what was stored before is kept") from error
