"""The ports of the web: the views of one log as of any moment, and the interfaces to what the log does not hold.

The API and the pages know only these names; the composition root provides the implementations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from papertape.events.errors import LogBusy
from papertape.projections.site.messages import UnloggedContents
from papertape.projections.text.causes import ConditionView
from papertape.projections.text.formats import duration
from papertape.projections.watchdog.watchdog import WatchdogView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.checkpoints.postings import Candidates, PostingQuery
    from papertape.events.commands import Accepted, Command
    from papertape.events.facts import EngineStarted
    from papertape.events.log import Recorded
    from papertape.events.signals import SignalBatch, SignalsRecorded
    from papertape.projections.folds.log_diff import Comparison
    from papertape.projections.site.funnel import FunnelRequest, FunnelView
    from papertape.projections.site.library import Jobs, Library
    from papertape.projections.site.views import Views
    from papertape.projections.studies.reader import StudyFolder
    from papertape.projections.text.causes import CauseChain


CANDLES_MAX: Final = 1_500
OTHER_CONFIGURATION: Final = (
    "not known here: the engine started with a different configuration from the one loaded here (see --config); "
    "each strategy's page shows the parameters and limits in force"
)


class EngineStatus(Struct, frozen=True):
    """What only the running engine knows of itself, as reported at `at_ms` of the machine's clock.

    `started_at_ms` is when this process opened the log; the replayed events and milliseconds are those of its start.
    `newest_snapshot_seq` is the seq of the newest saved state, 0 without one. `commit_p99_ms` and `loop_lag_ms` are
    None until they are measured. `log_bytes` counts the log and its segments. The proof is the newest backup
    that was restored and folded from its first event to the same state; its time is in UTC ms, None without one.
    """

    version: str
    pid: int
    at_ms: int
    started_at_ms: int
    head_seq: int
    ending: bool
    recovered_seq: int
    snapshot_seq: int
    replayed_events: int
    recovery_ms: float
    digest_at_start: str
    newest_snapshot_seq: int | None = None
    commit_p99_ms: float | None = None
    loop_lag_ms: float | None = None
    disk_free_bytes: int | None = None
    log_bytes: int | None = None
    tasks: int | None = None
    """The asyncio tasks in the engine: a number that only grows is a leak."""
    proved_seq: int | None = None
    proved_at_ms: int | None = None
    read_back_seq: int | None = None
    """Every row up to this event was read back and found intact; None before the first proof of the log."""
    read_back_at_ms: int | None = None
    """When reading back last reached the end of the log; None if it never has."""
    read_back_failure: str = ""
    """Why the last attempt to read the log back failed; empty if it succeeded."""
    oldest_alert_age_s: float | None = None
    alerts_parked: str = ""
    """Why alerts are parked; empty if they are not."""
    alerts_moved_to: int = 0
    """The id of the supergroup that the configured group became; 0 if the configured chat is current."""
    backup_age_s: float | None = None
    """The age of the newest proved backup; None if no backups are made, and in the first hour of an engine."""
    backup_failures: dict[str, str] = {}
    """Why the newest attempt at a backup failed or was killed, by destination."""
    watchdog: WatchdogView | None = None
    replaying: bool = False
    """It is starting: it has replayed its log up to `recovered_seq` and answers no other request yet."""
    market_ended: bool = False
    """A recorded or limited market was played to its end: no more data will arrive."""


class EnginePort(Protocol):
    """The running engine, through its control socket beside the log."""

    async def status(self) -> EngineStatus | None:
        """Return its status; None if no engine runs on this log or it does not answer in time."""

    async def submit(self, command: Command) -> Accepted:
        """Submit a command. Raises CommandRefused if it does not fit, UsageError if no engine accepts commands."""

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        """Record signals. Raises CommandRefused if one does not fit, UsageError if no engine accepts signals."""

    async def crash(self) -> None:
        """Kill the engine's process with SIGKILL. Raises CommandRefused unless the market is simulated."""


class Progress(Struct, frozen=True):
    """The progress of a fold towards an event."""

    seq: int
    goal_seq: int

    def as_error(self) -> LogBusy:
        """Return the error that refuses an answer until the fold is complete."""
        return LogBusy(f"the views are being built: event {self.seq:,} of {self.goal_seq:,}; try again in a moment")


class Timeline(Protocol):
    """The views of one log, at its head and as of any event."""

    @property
    def folding(self) -> Progress | None:
        """The progress of the first fold of the log; None once the views show all of it."""

    @property
    def head_seq(self) -> int:
        """The newest event of the log, as far as is known here."""

    @property
    def views(self) -> Views:
        """The views at `views.seq`, which catches up with the head."""

    async def wait_beyond(self, seq: int) -> int:
        """Return the seq of `views` once it exceeds `seq`."""

    async def as_of(self, seq: int) -> Views:
        """Return the views as of an event. Raises UsageError for a seq that the log does not hold."""

    async def unfolded(self) -> Views:
        """Return views of the end of a log that is not folded yet: names, contracts and closes, but no figure."""

    async def seq_at(self, at_ms: int) -> int:
        """Return the last event that was known at a market time (`projections.site.market_time`).

        Raises UsageError if the log begins later.
        """

    async def events(self, after_seq: int, limit: int) -> Sequence[Recorded]:
        """Return at most `limit` events after `after_seq`."""

    async def candidates(self, query: PostingQuery) -> Candidates:
        """Return the next stretches of the log that may hold what a search looks for."""


def newest_views(timeline: Timeline) -> Views:
    """Return the views at the head. Raises LogBusy with the progress while they cover only a part of the log."""
    if timeline.folding is not None:
        raise timeline.folding.as_error()
    return timeline.views


class ReadinessView(Struct, frozen=True):
    """How many complete candles of a timeframe a strategy has and needs, and when it will have them.

    `ready_at_ms` is market time, the close of the last missing candle; 0 if it is ready. `symbol` is the reference
    whose candles they are, empty for the strategy's own symbol.
    """

    timeframe_ms: int
    candles: int
    needed: int
    ready_at_ms: int
    symbol: str = ""

    @property
    def words(self) -> str:
        """How many candles there are: `13 of 28 candles of 15m`, for a reference `of BTCUSDT 15m`."""
        series = f"{self.symbol} {duration(self.timeframe_ms)}".strip()
        return f"{self.candles:,} of {self.needed:,} candles of {series}"


class ConditionsView(Struct, frozen=True):
    """The current conditions of an entry on one side, whether or not they are met.

    `holds` says in words what else keeps the strategy from an entry (kill switch, pause, suspended symbol, open
    position, a refusal at its last evaluation); it is empty if nothing does. `explained` is False for a strategy that
    does not explain itself. The values of the conditions mean little before every timeframe is ready.
    """

    strategy: str
    symbol: str
    side: str
    seq: int
    at_ms: int
    explained: bool
    conditions: tuple[ConditionView, ...]
    readiness: tuple[ReadinessView, ...]
    holds: tuple[str, ...]


class CandleView(Struct, frozen=True):
    """One candle of any timeframe; `complete` is False while it is still forming."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    complete: bool
    late: bool


class SettlementView(Struct, frozen=True):
    """A funding settlement: its time in UTC ms and its rate, a fraction."""

    settled_at_ms: int
    rate: float


class PlotLine(Struct, frozen=True):
    """One number that a strategy reads, with one value per candle: the newest known at its close, None without one.

    `place` is where its strategy draws it: `price` is on the candles, `pane` and `pane:TITLE` are panes below.
    """

    name: str
    place: str
    values: tuple[float | None, ...]


class PlotView(Struct, frozen=True):
    """The readings of a strategy that its `PLOT` names, at the candles of a chart.

    `note` says why there are none, no newer or no older ones; empty if nothing is missing. If they are `pending`, the
    log is being read up to there: ask again.
    """

    strategy: str
    lines: tuple[PlotLine, ...]
    note: str = ""
    pending: bool = False


class ChartView(Struct, frozen=True):
    """Candles of one symbol, oldest first, with the kernel's own indicators.

    A series has one value per candle, None while the indicator is not ready. An interval with a gap in it yields no
    candle, neither here nor for a strategy. `funding` are the settlements within the candles' time. `plot` has
    those of the strategy that was asked for, None without one. `lines` are further indicators, by the place where a
    chart draws them.
    """

    symbol: str
    timeframe_ms: int
    seq: int
    candles: tuple[CandleView, ...]
    vwap: tuple[float | None, ...]
    rsi: tuple[float | None, ...]
    funding: tuple[SettlementView, ...]
    plot: PlotView | None = None
    lines: tuple[PlotLine, ...] = ()


class Inspector(Protocol):
    """The kernel's state as of an event.

    The first request for an event far back folds the log up to it, at about 10 s per million events. No request waits
    for all of that: LogBusy reports the progress, and a repeated request finds it further on. All methods also raise
    LogBusy if there are too many requests at once.
    """

    def progress(self, seq: int) -> Progress:
        """Return how far the log has been folded towards an event."""

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        """Return both sides' conditions for each symbol. Raises UsageError for an unknown name or seq."""

    async def chart(
        self,
        seq: int,
        symbol: str,
        timeframe_ms: int,
        candles: int,
        before_ms: int | None = None,
        strategy: str | None = None,
    ) -> ChartView:
        """Return the last candles as of an event, at most CANDLES_MAX, including the forming one.

        With `before_ms`, only those that closed by that market time; with `strategy`, also its readings. Raises
        UsageError for an unknown symbol, timeframe or strategy, or an invalid number of candles.
        """

    async def digest(self, seq: int) -> str:
        """Return the digest of the engine's state after an event. Raises UsageError for an unknown seq."""

    async def why(self, seq: int) -> CauseChain:
        """Return an event's causes, with the conditions of its decisions. Raises UsageError for an unknown seq.

        The conditions are absent until the views have been built up to there.
        """


class FunnelSource(Protocol):
    """Counts funnels of entries outside the process that asks."""

    async def funnel(self, request: FunnelRequest, wait_s: float) -> FunnelView | None:
        """Return a funnel, or None if it is still being counted after `wait_s`: ask again.

        Raises UsageError for an unknown name or an empty span, LogBusy if too many are being counted or one takes too
        long.
        """


class Comparer(Protocol):
    """This log compared with another one."""

    async def comparison(self) -> Comparison:
        """Compare both logs as of a moment ago. Raises the errors of reading a log."""


class SiteSettings(Struct, frozen=True):
    """What the pages show about the installation."""

    version: str
    database: str
    simulated: bool
    """A simulated market; a crash may be requested only there."""
    config_text: str
    """The configuration as it is shown, without secrets."""
    commands_allowed: bool
    """False for a read-only view of a log."""
    commit: str = ""
    """The commit of the sources; empty if unknown."""
    base: str = ""
    """Where its pages begin: empty, or `/open/ID` for a log that is opened beside the page's own."""
    config_digest: str = ""
    """The digest that an engine with this configuration would record; empty if it cannot differ."""

    def config_of(self, started: EngineStarted | None) -> str:
        """Return the text of the engine's configuration, or a notice if it is not the one known here."""
        if started is None or self.config_digest in ("", started.config_digest):
            return self.config_text
        return OTHER_CONFIGURATION


class StrategyView(Struct, frozen=True):
    """An available strategy: what it does, the timeframes that it reads, and the JSON schema of its parameters.

    `plot` names the readings that a chart draws, with the place of each.
    """

    name: str
    about: str
    series: tuple[str, ...]
    parameters_schema: dict[str, Any]
    plot: dict[str, str] = {}


class Site(Struct):
    """Everything that routes may use.

    `comparer` is None without a second log, `funnels` where none can be counted, `studies` without a folder for them,
    `library` and `jobs` for a log that is opened from the library of another one.
    `settings` and `strategies` are replaced when the engine's configuration changes.

    `unlogged` returns the owner's messages that the log does not hold. `outage` returns why the supervised engine is
    down; empty if it is up or unsupervised.
    """

    settings: SiteSettings
    timeline: Timeline
    inspector: Inspector
    engine: EnginePort
    strategies: tuple[StrategyView, ...]
    comparer: Comparer | None = None
    unlogged: Callable[[], UnloggedContents] = UnloggedContents
    outage: Callable[[], str] = str
    funnels: FunnelSource | None = None
    studies: StudyFolder | None = None
    library: Library | None = None
    jobs: Jobs | None = None
