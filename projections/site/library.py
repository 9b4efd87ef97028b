"""What the data folders hold, the logs that one page process follows, and the jobs that it runs: views and ports.

The API and the pages know only these names; the composition root provides the implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from msgspec import Meta, Struct

from papertape.projections.folds.arena import ArenaRow

if TYPE_CHECKING:
    from papertape.projections.folds.log_diff import Comparison

TEXTS_MAX = 32
FILES_MAX = 200
TEXT_CHARS_MAX = 300
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=TEXTS_MAX)]

EntryKind = Literal["log", "backtest", "branch", "study", "archive", "backup", "unreadable"]
"""`branch` is a what-if branch; `unreadable` is a file with a log's suffix that is damaged or another program's."""
MarketKind = Literal["candles", "funding", "open_interest"]
JobKind = Literal["backtest", "sweep"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]


class LibraryEntry(Struct, frozen=True):
    """One item in a data folder: what is known about it without folding it.

    `name` is its path in its folder, `address` the page that opens it (empty if nothing does), `problem` the reason why
    it cannot be read. `from_ms` and `until_ms` are market time, 0 if unknown. `net_usdt` is the result of a log as of
    its event `result_seq` if that is known without folding, and that out of sample of a study.
    """

    id: str
    kind: EntryKind
    name: str
    folder: str
    address: str = ""
    problem: str = ""
    running: bool = False
    from_ms: int = 0
    until_ms: int = 0
    events: int = 0
    bytes: int = 0
    strategies: tuple[str, ...] = ()
    net_usdt: float | None = None
    result_seq: int = 0
    outcome: str = ""
    """The verdict of a study."""
    detail: str = ""
    """What else there is to say, in words: the sets of a study, the segments of an archive."""
    changed_at_ms: int = 0

    @property
    def is_log(self) -> bool:
        """Whether it is a log that can be opened and compared."""
        return self.kind in ("log", "backtest", "branch") and bool(self.address)


class MarketFile(Struct, frozen=True):
    """A file of recorded market data; `symbol` is empty if its name does not say."""

    name: str
    kind: MarketKind
    symbol: str
    bytes: int


class LibraryView(Struct, frozen=True):
    """Everything in the data folders, newest first; `left_out` says what was not listed, empty if nothing was."""

    folders: tuple[str, ...]
    entries: tuple[LibraryEntry, ...]
    files: tuple[MarketFile, ...]
    left_out: str = ""


class EngineRow(Struct, frozen=True):
    """One followed log. Figures are None while it is being read, or if it cannot be read."""

    id: str
    name: str
    address: str
    state: str
    """`running`, or why it is not, in words."""
    trouble: bool
    """Whether the state needs attention."""
    equity_usdt: float | None = None
    day_result_usdt: float | None = None
    open_risk_usdt: float | None = None
    positions: int | None = None
    trades: int | None = None
    feed: str = ""
    worst_anomaly: str = ""
    heard_at_ms: int = 0
    """When its newest candle was recorded, by the machine's clock."""


class EngineTotals(Struct, frozen=True):
    """The sums over the logs whose figures are known; `known` of `all`."""

    known: int
    all: int
    equity_usdt: float
    day_result_usdt: float
    open_risk_usdt: float
    positions: int
    trades: int


class EngineArenaRow(Struct, frozen=True):
    """A strategy of one of the logs."""

    engine: str
    address: str
    row: ArenaRow


class EnginesView(Struct, frozen=True):
    """All followed logs, their totals, and their strategies in one ranking by net return."""

    engines: tuple[EngineRow, ...]
    totals: EngineTotals
    arena: tuple[EngineArenaRow, ...]


class JobRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The market of a job, and settings. Files are named as the library names them; `log` is the id of a log.

    `sets` are single settings, written as for `--set`: parameters of strategies, and keys of `[risk]`.
    """

    files: Annotated[tuple[Text, ...], Meta(max_length=FILES_MAX)] = ()
    log: Text = ""
    sets: Texts = ()
    start: Text = ""
    end: Text = ""
    engine: Literal["auto", "python", "compiled"] = "auto"
    name: Text = ""
    """The name of the new log or study; empty: strategy and date."""


class BacktestRequest(JobRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Run strategies over recorded candles; an empty list means the enabled ones."""

    strategies: Texts = ()


class SweepRequest(JobRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Try many parameter sets of one strategy, written as for `--vary`, `--link` and `--where`."""

    strategy: Text
    vary: Texts
    link: Texts = ()
    where: Texts = ()
    draw: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0


class JobView(Struct, frozen=True):
    """One job. `total` is 0 until its length is known; `address` is the page of its result, empty before there is one.

    `words` says what it does, or how it ended; `messages` are its last warnings.
    """

    id: str
    kind: JobKind
    name: str
    state: JobState
    command: str
    queued_at_ms: int
    started_at_ms: int = 0
    ended_at_ms: int = 0
    done: int = 0
    total: int = 0
    words: str = ""
    messages: tuple[str, ...] = ()
    address: str = ""
    resumable: bool = False
    """Whether it is a cancelled or failed sweep that can resume where it stopped."""


class Library(Protocol):
    """The data folders, and the logs in them that are followed."""

    async def view(self) -> LibraryView:
        """Return what the folders hold."""

    async def comparison(self, a: str, b: str, wait_s: float) -> Comparison | None:
        """Compare two logs by their ids; None if this takes longer, then ask again.

        Raises UsageError for an unknown id, LogBusy if others are being compared, and what reading a log raises.
        """

    async def engines(self) -> EnginesView:
        """Return the followed logs: those that the page was started with."""

    @property
    def is_several(self) -> bool:
        """Whether the page was started with more than one log."""


class Jobs(Protocol):
    """Backtests and sweeps, one at a time, each a child process that ends with the page."""

    @property
    def refusal(self) -> str:
        """Why no job can be started here; empty if one can."""

    def views(self) -> tuple[JobView, ...]:
        """Return the jobs of this process, the newest first."""

    async def start(self, request: BacktestRequest | SweepRequest) -> JobView:
        """Queue a job. Raises UsageError or ConfigError as the command line does, LogBusy if too many wait."""

    async def cancel(self, job: str) -> JobView:
        """Cancel a job. Raises UsageError for an unknown id, CommandRefused if it has ended."""

    async def again(self, job: str) -> JobView:
        """Resume a sweep that was cancelled or failed. Raises like `start` and `cancel`."""
