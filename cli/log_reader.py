"""Open a log to read it forwards or backwards, with a progress bar if that takes long."""

from __future__ import annotations

from contextlib import closing, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from papertape.cli.progress import progress_bar
from papertape.events.errors import UsageError
from papertape.events.facts import CandleClosed, ContractListed, RunnerConfigured
from papertape.events.log import READ_EVENTS_MAX, Head
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.contracts import Contracts
from papertape.projections.host import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from papertape.events.log import Recorded
    from papertape.projections.host import Projection

PROGRESS_EVENTS_MIN = 200_000
PROGRESS_STEP_EVENTS = 10_000


def database_path(db: Path | None, config: Path | None) -> Path:
    """Return the log file: `db`, or else the configuration's. Raise ConfigError."""
    if db is not None:
        return db
    from papertape.cli.config.overrides import load_config_of_log  # noqa: PLC0415 - not needed if the log is named.

    return load_config_of_log(config).database


class OpenedLog(SqliteLogReader):
    """A reader that knows where its log is."""

    def __init__(self, db: Path) -> None:
        """Open the log. Raise LogMissing, LogForeign or LogDamaged."""
        super().__init__(db)
        self.db = db


@contextmanager
def open_log(db: Path | None, config: Path | None) -> Iterator[OpenedLog]:
    """Yield a reader of the log and close it. Raise LogMissing, LogForeign, LogDamaged or ConfigError."""
    with closing(OpenedLog(database_path(db, config))) as reader:
        yield reader


def read_forwards(reader: SqliteLogReader, after_seq: int = 0, head: Head | None = None) -> Iterator[Recorded]:
    """Yield the events after `after_seq` up to the current head; an engine may continue to write."""
    until_seq = (reader.head() if head is None else head).seq
    with progress(until_seq - after_seq) as step:
        for commit in reader.commits(after_seq):
            if commit.seq > until_seq:
                return
            for recorded in commit.recorded():
                if recorded.seq > after_seq:
                    yield recorded
            step(commit.last_seq - after_seq)


def read_backwards(reader: SqliteLogReader, from_seq: int) -> Iterator[Recorded]:
    """Yield the events at and before `from_seq`, newest first."""
    with progress(from_seq) as step:
        until = from_seq
        while until > 0:
            after = max(0, until - READ_EVENTS_MAX)
            yield from reversed(reader.read(after, until - after))
            step(from_seq - after)
            until = after


def fold_log(reader: SqliteLogReader, projections: Sequence[Projection], after_seq: int = 0) -> Head:
    """Fold the log after an event into the projections and return the head that they have reached."""
    head = reader.head()
    fold(projections, read_forwards(reader, after_seq, head))
    return head


@contextmanager
def progress(events: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that reports the number of finished events to a progress bar, shown only for many events."""
    if events <= PROGRESS_EVENTS_MIN:
        yield lambda _: None
        return
    shown = 0
    with progress_bar("reading the log", events) as count:

        def step(done: int) -> None:
            nonlocal shown
            if done - shown >= PROGRESS_STEP_EVENTS:
                shown = done
                count(done)

        yield step


class KnownNames:
    """Fold of the symbols and strategies in a log, in order of appearance."""

    def __init__(self) -> None:
        self.symbols: dict[str, None] = {}
        self.strategies: dict[str, None] = {}

    def apply(self, recorded: Recorded) -> None:
        """Apply one event."""
        event = recorded.event
        if type(event) is CandleClosed or isinstance(event, ContractListed):
            self.symbols[event.symbol] = None
        elif isinstance(event, RunnerConfigured):
            self.strategies[event.strategy] = None

    def check(self, symbol: str | None, strategy: str | None) -> None:
        """Raise UsageError for a name that is not in the log."""
        require_known(symbol, self.symbols, "symbol", "the log has")
        require_known(strategy, self.strategies, "strategy", "the log has")


def require_known(name: str | None, names: Iterable[str], noun: str, there: str = "there are") -> None:
    """Raise UsageError for an unknown name, with the known names and the most similar one."""
    listed = list(names)
    if name is None or name in listed:
        return
    close = get_close_matches(name.lower(), [one.lower() for one in listed], n=1)
    meant = next((f"did you mean {one}? " for one in listed if close and one.lower() == close[0]), "")
    raise UsageError(f"there is no {noun} {name!r}; {meant}{there}: {', '.join(listed) or 'none yet'}")


def check_names(reader: SqliteLogReader, symbol: str | None, strategy: str | None) -> None:
    """Do what `KnownNames.check` does, but read the log only as far as necessary."""
    if symbol is None and strategy is None:
        return
    names = KnownNames()
    fold([names], reader.read(0, READ_EVENTS_MAX))
    try:
        names.check(symbol, strategy)
    except UsageError:
        fold_log(reader, [names])
        names.check(symbol, strategy)


def contracts_of(reader: SqliteLogReader, events: Iterable[Recorded]) -> Contracts:
    """Return the contracts of the symbols in `events` from the first page of the log, where an engine lists them.

    Read the whole log only if one is not listed there. A contract that was listed again later may be shown with the
    decimals of its first listing.
    """
    contracts = Contracts()
    fold([contracts], reader.read(0, READ_EVENTS_MAX))
    symbols = {symbol for recorded in events if (symbol := getattr(recorded.event, "symbol", None)) is not None}
    if not symbols <= contracts.by_symbol.keys():
        fold_log(reader, [contracts])
    return contracts
