"""`papertape fork`: a what-if branch of a log, as a log of its own.

It begins with the rows of the original, byte by byte. Then a changed configuration comes into force, and the recorded
inputs are decided again; what was recorded at which time stays. Its end says that it is a branch.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.cli.arguments import moment_ms
from papertape.cli.environment.streams import say
from papertape.cli.environment.tasks import run_tasks
from papertape.cli.log_reader import progress
from papertape.cli.offline.output_files import check_output, log_files, whole_log
from papertape.cli.offline.replay import seq_at
from papertape.cli.render.console import emit
from papertape.cli.whatif.changed_settings import ChangedSettings
from papertape.cli.whatif.decision_diff import setting_causes
from papertape.engine.command_queue import market_ms
from papertape.engine.hook_overrun import ended_overruns
from papertape.engine.leftover_files import reject_leftovers
from papertape.engine.recovery import recover
from papertape.engine.redecision import BRANCH_FEED, Redecision
from papertape.engine.reducer.hook_guard import GUARD_CODE
from papertape.engine.reducer.reducer import groups, is_decision
from papertape.events.beside import sibling_path
from papertape.events.copying import BulkLog, create_log
from papertape.events.errors import ConfigError, EngineFault, UsageError
from papertape.events.facts import ConfigurationReloaded, EngineStopped, Event, FeedConnected, RunnerConfigured
from papertape.events.log import COMMIT_EVENTS_MAX, Commit, Entry
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.site.readiness import BRANCH_ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from papertape.events.log import Head

WHO: Final = "papertape fork"
LEFT_OUT_SHOWN_MAX: Final = 5


class ForkOptions(Struct, frozen=True):
    """The options of the command line."""

    at: str
    sets: tuple[str, ...] = ()
    to: Path | None = None
    config: Path | None = None


class ForkedLog(Struct, frozen=True):
    """The result: the branch, the seq up to which it is the original, and what changed there.

    `left_out` are recorded inputs, such as commands, that do not fit the branch, each with the reason.
    """

    db: Path
    of: Path
    at_seq: int
    seq: int
    hash: str
    changes: tuple[str, ...]
    left_out: tuple[str, ...]
    compare: str
    open: str


def fork_log(log: Path, options: ForkOptions, *, as_json: bool) -> None:
    """Write a branch, and say how to open it. Raise UsageError, ConfigError, or what reading the log raises."""
    with closing(SqliteLogReader(log)) as reader:
        reader.verify_tail()
        settings = ChangedSettings(options.config, options.sets, reader)
        at_seq = _end_of_group(reader, _seq(reader, options.at))
        db = options.to or log.with_name(f"{log.stem}-fork-{at_seq}.db")
        if db.exists():
            raise UsageError(f"{db} already exists; a branch is a new log, so name another file (--to)")
        check_output("--to", db, log_files(log))
        reject_leftovers(db, db.parent, "name another file (--to)")
        with ended_overruns(GUARD_CODE), whole_log(db) as half:
            branch = _Branch(reader, log, settings, at_seq)
            run_tasks(lambda: create_log(half))
            with closing(BulkLog(half)) as target:
                head = branch.write(target)
    forked = _forked(db, log, at_seq, head, branch)
    if as_json:
        emit(forked)
    else:
        say(_text(forked))


def _seq(reader: SqliteLogReader, at: str) -> int:
    """Return the event of `--at`: a seq, or the last one before a market time."""
    head, number = reader.head().seq, at.removeprefix("#")
    if not number.isdigit():
        return seq_at(reader, moment_ms(at, "--at"), head)
    if not 1 <= int(number) <= head:
        raise UsageError(f"--at {at}: the log contains events 1 to {head}")
    return int(number)


def _end_of_group(reader: SqliteLogReader, seq: int) -> int:
    """Return the last seq that was decided on the same input as the event at `seq`, which are one commit."""
    for commit in reader.commits(seq):
        for recorded in commit.recorded():
            if recorded.seq > seq:
                if not is_decision(recorded.event):
                    return seq
                seq = recorded.seq
    return seq


class _Branch:
    """A branch on its way through the recorded inputs."""

    def __init__(self, reader: SqliteLogReader, log: Path, settings: ChangedSettings, at_seq: int) -> None:
        """Recover the state at the branch's beginning. Raise UsageError if nothing changes there."""
        store = SnapshotStore(sibling_path(log, ".snapshots"), lambda _: None, only_looks=True)
        state = recover(reader, store, settings.strategies, at_seq).state
        self._reader, self._log, self._at_seq = reader, log, at_seq
        self._redecision = Redecision(state, at_seq, settings.reconfigure)
        self._redecision.unlike.update(settings.strategies)
        self._settings, self._recorded_at_ms = settings, 0
        before = {runner.strategy.name: runner.configured for runner in state.runners}
        self._events = self._redecision.change_configuration(market_ms(state))
        if settings.lines and not self._events:
            raise UsageError(f"{', '.join(settings.lines)}: this already applies at seq {at_seq}; nothing would change")
        self.changes = tuple(
            cause.text
            for event in self._events
            if isinstance(event, RunnerConfigured)
            for cause in setting_causes(before.get(event.strategy, event), event)
        )
        self.left_out: list[str] = []

    def write(self, target: BulkLog) -> Head:
        """Write the whole branch; return its head."""
        head = self._reader.head()
        with progress(head.seq) as step:
            self._copy(target)
            self._reconfigure(target)
            for commit in self._reader.commits(self._at_seq):
                if commit.seq > head.seq:
                    break
                self._decide(target, commit)
                step(commit.last_seq)
        at_ms = market_ms(self._redecision.state)
        end: list[Event] = [
            FeedConnected(at_ms, BRANCH_FEED, self._recorded_at_ms, 0.0),
            EngineStopped(self._recorded_at_ms, BRANCH_ENDED),
        ]
        target.append([Entry(event) for event in end], self._recorded_at_ms)
        return target.finish()

    def _copy(self, target: BulkLog) -> None:
        """Copy the rows up to the branch's beginning; of a row that goes further, the events up to there."""
        for row in self._reader.rows_after(0):
            if row[0] + row[1] - 1 > self._at_seq:
                break
            target.copy_row(row)
            self._recorded_at_ms = row[2]
        if target.head.seq < self._at_seq:
            commit = next(self._reader.commits(target.head.seq))
            count = self._at_seq - target.head.seq
            target.append(list(map(Entry, commit.events[:count], commit.causes[:count])), commit.recorded_at_ms)
            self._recorded_at_ms = commit.recorded_at_ms

    def _reconfigure(self, target: BulkLog) -> None:
        """Put the other configuration into force, and say where the branch comes from."""
        at_ms, why = market_ms(self._redecision.state), f"what-if branch of {self._log} at seq {self._at_seq}"
        reloaded = ConfigurationReloaded(at_ms, WHO, why, self._settings.digest, self.changes)
        redecided = self._redecision.take_inputs(lambda: [reloaded, *self._events])
        if redecided.refused:
            raise EngineFault(f"seq {redecided.first_seq}: {redecided.refused}")
        target.append(redecided.entries, self._recorded_at_ms)
        self._require_files()

    def _decide(self, target: BulkLog, commit: Commit) -> None:
        """Decide on the inputs of a recorded commit, which become a commit of the branch."""
        entries: list[Entry] = []
        for group in groups(one for one in commit.recorded() if one.seq > self._at_seq):
            head = group[0]
            if is_decision(head.event):
                raise EngineFault(f"seq {head.seq}: a decision without the input that led to it")
            redecided = self._redecision.take(group)
            if redecided.refused:
                self.left_out.append(f"seq {head.seq}, {type(head.event).__name__}: {redecided.refused}")
            if isinstance(head.event, RunnerConfigured):
                self._require_files()
            entries += redecided.entries
        self._recorded_at_ms = commit.recorded_at_ms
        for part in _parts(entries):
            target.append(part, commit.recorded_at_ms)

    def _require_files(self) -> None:
        """Raise ConfigError for a strategy that decided in the original and cannot be asked now."""
        for runner in self._redecision.state.runners:
            if runner.strategy.fault and runner.failure is None:
                raise ConfigError(f"{runner.strategy.name} cannot decide in a branch: {runner.strategy.fault}")


def _parts(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Yield the entries in as many commits as they need: one, but for a log whose commits are as large as can be."""
    for first in range(0, len(entries), COMMIT_EVENTS_MAX):
        yield entries[first : first + COMMIT_EVENTS_MAX]


def _forked(db: Path, log: Path, at_seq: int, head: Head, branch: _Branch) -> ForkedLog:
    names = quote(str(log)), quote(str(db))
    return ForkedLog(
        db=db,
        of=log,
        at_seq=at_seq,
        seq=head.seq,
        hash=head.hash.hex(),
        changes=branch.changes,
        left_out=tuple(branch.left_out),
        compare=f"papertape compare {names[0]} {names[1]}",
        open=f"papertape ui --db {names[1]} --compare {names[0]}",
    )


def _text(forked: ForkedLog) -> str:
    lines = [
        f"{forked.db}: {forked.seq:,} events, those up to seq {forked.at_seq:,} as in {forked.of}",
        *(f"  {change}" for change in forked.changes),
        *(f"  left out: {text}" for text in forked.left_out[:LEFT_OUT_SHOWN_MAX]),
    ]
    if (more := len(forked.left_out) - LEFT_OUT_SHOWN_MAX) > 0:
        lines.append(f"  and {more:,} more inputs that do not fit (--json)")
    return "\n".join([*lines, f"compare  {forked.compare}", f"open     {forked.open}", ""])
