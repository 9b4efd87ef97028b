"""Opening a log to read it, and going over it forwards, backwards, and with a progress bar where it takes long."""

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
    """The log's file: the one named, else that of the configuration. Raises ConfigError."""
    if db is not None:
        return db
    from papertape.cli.config.sections import load_config  # noqa: PLC0415 - a log that is named needs no configuration.

    return load_config(config).database


@contextmanager
def open_log(db: Path | None, config: Path | None) -> Iterator[SqliteLogReader]:
    """A reader of the log, closed afterwards. Raises LogMissing, LogForeign, LogDamaged, ConfigError."""
    with closing(SqliteLogReader(database_path(db, config))) as reader:
        yield reader


def read_forwards(reader: SqliteLogReader, after_seq: int = 0, head: Head | None = None) -> Iterator[Recorded]:
    """The events beyond `after_seq` up to the head as it stands now: an engine may go on writing."""
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
    """The events at and before `from_seq`, newest first."""
    with progress(from_seq) as step:
        until = from_seq
        while until > 0:
            after = max(0, until - READ_EVENTS_MAX)
            yield from reversed(reader.read(after, until - after))
            step(from_seq - after)
            until = after


def fold_log(reader: SqliteLogReader, projections: Sequence[Projection]) -> Head:
    """Fold the whole log into the projections; the head they stand on."""
    head = reader.head()
    fold(projections, read_forwards(reader, head=head))
    return head


@contextmanager
def progress(events: int) -> Iterator[Callable[[int], None]]:
    """Tells how many events are done: a bar on stderr when there are many and somebody watches."""
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
    """Fold of the symbols and strategies that a log knows, in the order of their appearance."""

    def __init__(self) -> None:
        self.symbols: dict[str, None] = {}
        self.strategies: dict[str, None] = {}

    def apply(self, recorded: Recorded) -> None:
        """Take one event."""
        event = recorded.event
        if type(event) is CandleClosed or isinstance(event, ContractListed):
            self.symbols[event.symbol] = None
        elif isinstance(event, RunnerConfigured):
            self.strategies[event.strategy] = None

    def check(self, symbol: str | None, strategy: str | None) -> None:
        """Raises UsageError for a name that the log does not know."""
        require_known(symbol, self.symbols, "symbol", "the log has")
        require_known(strategy, self.strategies, "strategy", "the log has")


def require_known(name: str | None, names: Iterable[str], noun: str, there: str = "there are") -> None:
    """Raises UsageError, with the known names and the one that was probably meant, for an unknown name."""
    listed = list(names)
    if name is None or name in listed:
        return
    close = get_close_matches(name.lower(), [one.lower() for one in listed], n=1)
    meant = next((f"did you mean {one}? " for one in listed if close and one.lower() == close[0]), "")
    raise UsageError(f"there is no {noun} {name!r}; {meant}{there}: {', '.join(listed) or 'none yet'}")


def check_names(reader: SqliteLogReader, symbol: str | None, strategy: str | None) -> None:
    """Like `KnownNames.check`, reading the log only as far as it must."""
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
    """The contracts of the symbols in `events`: from the first page of the log, where an engine lists them.

    The whole log is read only when one is not listed there. A contract that was listed anew later on may show
    with the decimals of its first listing.
    """
    contracts = Contracts()
    fold([contracts], reader.read(0, READ_EVENTS_MAX))
    wanted = {symbol for recorded in events if (symbol := getattr(recorded.event, "symbol", None)) is not None}
    if not wanted <= contracts.by_symbol.keys():
        fold_log(reader, [contracts])
    return contracts
