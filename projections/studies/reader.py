"""Reads the study files of a folder with SQLite alone, also while a study writes its results into one of them.

A file that cannot be read is a study with a `problem`; only an unknown name is an error.
"""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from math import fsum
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from papertape.events.errors import UsageError
from papertape.projections.studies.commands import resume_command
from papertape.projections.studies.document import Document, Outcome, StudyPlan
from papertape.projections.studies.schema import FORMAT, RESULT_COLUMNS, RESUME_FORMAT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Final = "studies"
"""The folder of the study files, beside the log."""
SUFFIX: Final = ".db"
LOG_SUFFIX: Final = ".backtest.db"
"""What follows a study's name in the file name of its chosen set's backtest log."""
LEDGER: Final = "ledger"
LEADS_OUT: Final = "this link leads out of the data folder or nowhere, so it is not opened here"
BUSY_TIMEOUT_S: Final = 1.0
ERRORS_SHOWN_MAX: Final = 5
CAPITAL_DEFAULT_USDT: Final = 10_000.0
"""The capital of a plan whose risk settings do not name it."""

StudyState = Literal["running", "interrupted", "complete", "failed", "newer", "unreadable"]
"""`newer`: the file's format is newer than this version; `unreadable`: it is broken, or not a study's file."""
Measure = Literal["net", "sharpe", "drawdown"]
"""What sets are ranked by: the result in USDT, the annualised Sharpe ratio, or the largest drawdown (small is good)."""
SortColumn = Literal[
    "number",
    "net_usdt",
    "sharpe",
    "max_drawdown_fraction",
    "gross_usdt",
    "fees_usdt",
    "funding_usdt",
    "slippage_usdt",
    "trades",
    "wins",
]


class StudyProgress(Struct, frozen=True):
    """How many results are stored, and how many a complete study has. `errors` are the first errors of failed tasks."""

    results: int
    results_total: int
    failed_sets: int
    errors: tuple[str, ...]


class StudySummary(Struct, frozen=True):
    """One study in a list. What it has not concluded yet is None; `problem` is empty for a readable file."""

    name: str
    state: StudyState
    problem: str
    strategy: str = ""
    symbols: tuple[str, ...] = ()
    sets: int = 0
    outcome: Outcome | None = None
    net_usdt: float | None = None
    """The out-of-sample result."""
    created_at_ms: int = 0
    updated_at_ms: int = 0
    progress: StudyProgress | None = None
    """None for a complete study."""


class StudyView(Struct, frozen=True):
    """A study's file. `plan`, `document` and `progress` are None if the file does not have them.

    `updated_at_ms` is when the file was last written; `log` is the file of the chosen set's backtest, None if there is
    none. `resume` is the command line that continues the study.
    """

    name: str
    state: StudyState
    problem: str
    file: str
    key: str = ""
    plan: StudyPlan | None = None
    document: Document | None = None
    progress: StudyProgress | None = None
    created_at_ms: int = 0
    updated_at_ms: int = 0
    concluded_at_ms: int | None = None
    log: str | None = None
    resume: str = ""

    @property
    def capital_usdt(self) -> float:
        """The capital of every set."""
        return CAPITAL_DEFAULT_USDT if self.plan is None else capital_of(self.plan)


class SetFigures(Struct, frozen=True):
    """The figures of one set over one span; `values` are those of the varied parameters."""

    number: int
    values: dict[str, int | float]
    net_usdt: float
    end_equity_usdt: float
    gross_usdt: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    sharpe: float | None
    max_drawdown_fraction: float
    longest_drawdown_ms: int
    trades: int
    wins: int
    tripped: bool
    longest_holding_ms: int
    long_way: bool


class SetPage(Struct, frozen=True):
    """Some sets of a study in the requested order; `next` is the `cursor` of the next page, None on the last one."""

    items: tuple[SetFigures, ...]
    next: int | None
    total: int


class MeasuredSets(Struct, frozen=True):
    """One number of every set over a span, by ascending number; `ranked` has all values in ascending order."""

    numbers: array[int]
    values: array[float]
    ranked: array[float]


class StudyFolder:
    """The studies in a folder; a missing folder has none. Its methods block: call them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> tuple[str, ...]:
        """Return the names of all studies, in alphabetical order."""
        return tuple(sorted(self._files()))

    def summaries(self) -> tuple[StudySummary, ...]:
        """Return all studies, the newest first; files that cannot be read are last."""
        found = [summary_of(self._read(name, path)) for name, path in self._files().items()]
        return tuple(sorted(found, key=lambda one: (-one.created_at_ms, one.name)))

    def study(self, name: str) -> StudyView:
        """Return a study. Raise UsageError for an unknown name."""
        return self._read(name, self._file(name))

    def sets(self, name: str, span: int, sort: SortColumn, after: int, limit: int, *, descending: bool) -> SetPage:
        """Return at most `limit` sets after the first `after` ones; those without the sorted figure come last.

        Raise UsageError for an unknown or unreadable study.
        """
        study, path = self._readable(name)
        order = "number" if sort == "number" else f"{sort} IS NULL, {sort} {'DESC' if descending else 'ASC'}, number"
        if sort == "number" and descending:
            order = "number DESC"
        capital = study.capital_usdt
        columns = f"number, sharpe, end_equity_usdt - {capital!r} AS net_usdt, {', '.join(RESULT_COLUMNS)}"
        query = f"SELECT {columns} FROM result WHERE span = ? ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608 - only names of columns and a number are formatted in.
        try:
            with closing(connect(path)) as connection:
                total = _total(connection, span)
                rows = connection.execute(query, (span, limit + 1, after)).fetchall()
            items = tuple(_figures(study.plan, row) for row in rows[:limit])
        except _FAULTS as error:
            raise UsageError(f"the results of study {name!r} cannot be read: {_why(error)}") from error
        return SetPage(items, after + limit if len(rows) > limit else None, total)

    def set_figures(self, name: str, span: int, number: int) -> SetFigures | None:
        """Return one set over a span, None if it has no result. Raise UsageError for an unknown or unreadable study."""
        study, path = self._readable(name)
        columns = f"number, sharpe, end_equity_usdt - {study.capital_usdt!r}, {', '.join(RESULT_COLUMNS)}"
        query = f"SELECT {columns} FROM result WHERE span = ? AND number = ?"  # noqa: S608 - see `sets`.
        try:
            with closing(connect(path)) as connection:
                row = connection.execute(query, (span, number)).fetchone()
            return None if row is None else _figures(study.plan, row)
        except _FAULTS as error:
            raise UsageError(f"the results of study {name!r} cannot be read: {_why(error)}") from error

    def measured(self, name: str, span: int, measure: Measure) -> MeasuredSets:
        """Return one number of every set, larger is better; sets without it are left out. Raise like `sets`."""
        study, path = self._readable(name)
        value = {
            "net": f"end_equity_usdt - {study.capital_usdt!r}",
            "sharpe": "sharpe",
            "drawdown": "-max_drawdown_fraction",
        }[measure]
        query = f"SELECT number, {value} FROM result WHERE span = ? AND ({value}) IS NOT NULL ORDER BY number"  # noqa: S608 - see `sets`.
        numbers, values = array("q"), array("d")
        try:
            with closing(connect(path)) as connection:
                for number, one in connection.execute(query, (span,)):
                    numbers.append(number)
                    values.append(one)
        except _FAULTS as error:
            raise UsageError(f"the results of study {name!r} cannot be read: {_why(error)}") from error
        return MeasuredSets(numbers, values, array("d", sorted(values)))

    def _readable(self, name: str) -> tuple[StudyView, Path]:
        """Return a study with its file. Raise UsageError for an unknown or unreadable one."""
        path = self._file(name)
        study = self._read(name, path)
        if study.problem:
            raise UsageError(f"the results of study {name!r} cannot be read: {study.problem}")
        return study, path

    def _read(self, name: str, path: Path) -> StudyView:
        """Return a study; a link that leads out of the data folder, in which the studies lie, is not followed."""
        folder = self.path.resolve()
        data = self.path.parent.resolve() if self.path.name == FOLDER else folder
        if any(path.resolve().is_relative_to(one) for one in (folder, data)):
            return _read(name, path)
        return StudyView(name, "unreadable", LEADS_OUT, str(path))

    def _files(self) -> dict[str, Path]:
        try:
            found = sorted(self.path.iterdir())
        except OSError:
            return {}
        return {
            one.name.removesuffix(SUFFIX): one
            for one in found
            if one.name.endswith(SUFFIX)
            and not one.name.endswith(LOG_SUFFIX)
            and one.stem != LEDGER
            and not any("\ud800" <= letter <= "\udfff" for letter in one.name)  # No UTF-8.
            and one.is_file()
        }

    def _file(self, name: str) -> Path:
        """Return the file of a study from the folder's listing, so that no name leads out of it."""
        files = self._files()
        if name not in files:
            raise UsageError(f"there is no study {name!r}; there are: {', '.join(files) or 'none yet'}")
        return files[name]


def studies_folder(db: Path) -> Path:
    """Return the folder of the studies beside a log; a log that lies among studies belongs to them."""
    return db.parent if db.absolute().parent.name == FOLDER else db.parent / FOLDER


def capital_of(plan: StudyPlan) -> float:
    """Return the capital of every set, in USDT."""
    return float(plan.risk.get("capital_usdt", CAPITAL_DEFAULT_USDT))


def net_outside(document: Document) -> float:
    """Return the result out of sample in USDT, with the positions that are open at the ends of folds."""
    folds = document.folds
    return fsum(fold.test_net_usdt for fold in folds) if folds else document.costs.net_usdt


def values_of(plan: StudyPlan, number: int) -> dict[str, int | float]:
    """Return the values of the varied parameters of a set: its number in mixed radix, the last axis the fastest."""
    values: dict[str, int | float] = {}
    for axis in reversed(plan.space.axes):
        number, place = divmod(number, max(len(axis.values), 1))
        values[axis.name] = axis.values[place]
    return {axis.name: values[axis.name] for axis in plan.space.axes}


def summary_of(study: StudyView) -> StudySummary:
    """Return a study as one row of a list."""
    plan, document = study.plan, study.document
    return StudySummary(
        name=study.name,
        state=study.state,
        problem=study.problem,
        strategy="" if plan is None else plan.strategy,
        symbols=() if plan is None else plan.symbols,
        sets=0 if plan is None else plan.space.sets,
        outcome=None if document is None else document.verdict.outcome,
        net_usdt=None if document is None else net_outside(document),
        created_at_ms=study.created_at_ms,
        updated_at_ms=study.updated_at_ms,
        progress=study.progress if study.state != "complete" else None,
    )


# ---------------------------------------------------------------- the file

_FAULTS: Final = (sqlite3.Error, TypeError, ValueError, OverflowError, OSError)
"""What reading a torn file raises: SQLite's own errors, JSON that does not fit, columns that claim other types."""


class _StudyRow(Struct, frozen=True):
    name: str
    key: str
    plan: str
    state: Literal["running", "interrupted", "complete", "failed"]
    created_at_ms: int
    updated_at_ms: int
    resume: str = ""


def connect(path: Path) -> sqlite3.Connection:
    """Return a read-only connection to a study's file. Raise sqlite3.Error if it cannot be opened."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)


def _read(name: str, path: Path) -> StudyView:
    log = path.with_name(f"{name}{LOG_SUFFIX}")
    try:
        with closing(connect(path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                problem = f"its format is {version}, this version of papertape reads formats up to {FORMAT}"
                return StudyView(name, "newer", problem, str(path))
            row = _study_row(connection, version)
            if row is None:
                return StudyView(name, "unreadable", "the file holds no study", str(path))
            plan = msgspec.json.decode(row.plan, type=StudyPlan)
            concluded = connection.execute("SELECT at_ms, content FROM document").fetchone()
            return StudyView(
                name,
                row.state,
                "",
                str(path),
                row.key,
                plan,
                None if concluded is None else msgspec.json.decode(concluded[1], type=Document),
                _progress(connection, plan),
                row.created_at_ms,
                max(row.updated_at_ms, _written_at_ms(path)),
                None if concluded is None else int(concluded[0]),
                str(log.absolute()) if log.is_file() else None,
                row.resume or resume_command(name),
            )
    except _FAULTS as error:
        return StudyView(name, "unreadable", _why(error), str(path))


def _study_row(connection: sqlite3.Connection, version: int) -> _StudyRow | None:
    names = _StudyRow.__struct_fields__
    if version < RESUME_FORMAT:
        names = names[: names.index("resume")]
    row = connection.execute(f"SELECT {', '.join(names)} FROM study").fetchone()  # noqa: S608 - names of our own fields.
    return None if row is None else msgspec.convert(dict(zip(names, row, strict=True)), _StudyRow)


def _written_at_ms(path: Path) -> int:
    """Return when the file or its write-ahead log was last written, in UTC ms."""
    beside = path.with_name(f"{path.name}-wal")
    return max(one.stat().st_mtime_ns for one in (path, beside) if one.exists()) // 1_000_000


def _progress(connection: sqlite3.Connection, plan: StudyPlan) -> StudyProgress:
    (spans,) = connection.execute("SELECT count(*) FROM span").fetchone()
    (results,) = connection.execute("SELECT count(*) FROM result").fetchone()
    failed = connection.execute("SELECT first, last, error FROM failed").fetchall()
    errors = dict.fromkeys(str(error) for _, _, error in failed)
    return StudyProgress(
        results=results,
        results_total=max(spans * plan.space.sets, results),
        failed_sets=sum(last - first + 1 for first, last, _ in failed),
        errors=tuple(errors)[:ERRORS_SHOWN_MAX],
    )


def _total(connection: sqlite3.Connection, span: int) -> int:
    (total,) = connection.execute("SELECT count(*) FROM result WHERE span = ?", (span,)).fetchone()
    return int(total)


def _figures(plan: StudyPlan | None, row: tuple[object, ...]) -> SetFigures:
    names = ("number", "sharpe", "net_usdt", *RESULT_COLUMNS)
    figures = dict(zip(names, row, strict=True))
    figures["values"] = {} if plan is None else values_of(plan, int(str(figures["number"])))
    figures |= {name: bool(figures[name]) for name in ("tripped", "long_way")}
    return msgspec.convert(figures, SetFigures)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
