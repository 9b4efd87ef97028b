"""What a web page stands on: the views of one log as of any moment, and the doors to what is not in the log.

The API and the pages know these names and nothing behind them; the object graph puts them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from papertape.events.errors import LogBusy
from papertape.projections.site.messages import UnloggedContents
from papertape.projections.text.causes import ConditionView
from papertape.projections.watchdog.watchdog import WatchdogView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from papertape.events.commands import Accepted, Command
    from papertape.events.facts import EngineStarted
    from papertape.events.log import Recorded
    from papertape.projections.folds.log_diff import Comparison
    from papertape.projections.site.views import Views
    from papertape.projections.text.causes import CauseChain


CANDLES_MAX: Final = 1_500
OF_ANOTHER: Final = (
    "not known here: the engine began under another configuration than the one that is found here (--config names it); "
    "each strategy's page shows the parameters and limits that it runs under"
)


class EngineStatus(Struct, frozen=True):
    """What only the running engine knows of itself, as it said at `at_ms` of the machine's clock.

    `started_at_ms` is when this process took the log; the replayed events and milliseconds are those of its start.
    `newest_snapshot_seq` is where the newest state lies that was saved beside the log, 0 without one.
    `commit_p99_ms` and `loop_lag_ms` are None where they were not measured yet. `log_bytes` counts the log and what
    is not in it yet. The proof is the newest backup: put back, folded from its first event, the same state; its time is
    UTC ms, None where there is none.
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
    """asyncio tasks that live in the engine: a number that only grows is a leak."""
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
    """How old the newest proved backup is; None where none is made, and in the first hour of an engine."""
    watchdog: WatchdogView | None = None
    replaying: bool = False
    """It is starting: it has replayed its log up to `recovered_seq`, and answers nothing else yet."""
    market_ended: bool = False
    """A recorded or limited market was played to its end: nothing more is to come."""


class EnginePort(Protocol):
    """The running engine, through its door beside the log."""

    async def status(self) -> EngineStatus | None:
        """What it says of itself; None where no engine runs on this log or it does not answer in time."""

    async def submit(self, command: Command) -> Accepted:
        """Take a command. Raises CommandRefused where it does not fit, UsageError where no engine takes any."""

    async def crash(self) -> None:
        """End the engine's process with SIGKILL. Raises CommandRefused for any but a simulated market."""


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
        """The newest event that the log holds, as far as is known here."""

    @property
    def views(self) -> Views:
        """The views at `views.seq`, which catches up with the head."""

    async def wait_beyond(self, seq: int) -> int:
        """The seq that `views` stands at, as soon as it is beyond `seq`."""

    async def as_of(self, seq: int) -> Views:
        """The views as they stood after an event. Raises UsageError for a seq the log does not hold."""

    async def seq_at(self, at_ms: int) -> int:
        """The last event that was known at a moment of market time (`projections.site.market_time`).

        Raises UsageError where the log begins later.
        """

    async def events(self, after_seq: int, limit: int) -> Sequence[Recorded]:
        """At most `limit` events beyond `after_seq`."""


def newest_views(timeline: Timeline) -> Views:
    """Return the views at the head. Raises LogBusy with the progress while they show only a part of the log."""
    if timeline.folding is not None:
        raise timeline.folding.as_error()
    return timeline.views


class ReadinessView(Struct, frozen=True):
    """How many complete candles of a timeframe a strategy has, how many it needs, and when it will have them.

    `ready_at_ms` is market time, the close of the last candle that is missing; 0 where it is ready.
    """

    timeframe_ms: int
    candles: int
    needed: int
    ready_at_ms: int


class ConditionsView(Struct, frozen=True):
    """The conditions of an entry on one side as they stand now, whether or not they are met.

    `holds` says in words what else stands between the strategy and an entry (kill switch, pause, suspended symbol,
    open position, a refusal at its last look), empty where nothing does. `explained` is False for a strategy that does
    not explain itself. The numbers of the conditions mean little before every timeframe is ready.
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
    """One candle of any timeframe; `complete` is False for the one that is still forming."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    complete: bool
    late: bool


class SettlementView(Struct, frozen=True):
    """A funding settlement: its time, UTC ms, and its rate, a fraction."""

    settled_at_ms: int
    rate: float


class ChartView(Struct, frozen=True):
    """Candles of one symbol, oldest first, with the kernel's own indicators beside them.

    A number of a series stands at the index of its candle, None where the indicator was not ready. An interval with a
    hole in it is no candle, as it is none for a strategy. `funding` are the settlements within them.
    """

    symbol: str
    timeframe_ms: int
    seq: int
    candles: tuple[CandleView, ...]
    vwap: tuple[float | None, ...]
    rsi: tuple[float | None, ...]
    funding: tuple[SettlementView, ...]


class Inspector(Protocol):
    """The kernel, asked what it knew as of an event.

    A first look far back folds the log up to there, about 10 s a million events. Nobody is kept waiting for all of it:
    LogBusy says how far it is, and whoever asks again finds it further. All raise it too when too many ask at once.
    """

    def progress(self, seq: int) -> Progress:
        """How far the log was folded on the way to an event."""

    async def conditions(self, seq: int, strategy: str, symbols: Sequence[str]) -> tuple[ConditionsView, ...]:
        """Both sides' conditions in each symbol. Raises UsageError for a name or a seq that there is not."""

    async def chart(
        self, seq: int, symbol: str, timeframe_ms: int, candles: int, before_ms: int | None = None
    ) -> ChartView:
        """The last candles as of an event, at most CANDLES_MAX, the forming one among them.

        With `before_ms`, only those that closed by that market time.
        Raises UsageError for a symbol, a timeframe or a number of candles that there is not.
        """

    async def digest(self, seq: int) -> str:
        """The digest of everything the engine knew after an event. Raises UsageError for a seq that there is not."""

    async def why(self, seq: int) -> CauseChain:
        """The chain of causes of an event, with the conditions of its decisions. Raises UsageError likewise."""


class Comparer(Protocol):
    """This log beside another one."""

    async def comparison(self) -> Comparison:
        """Both as they stood a moment ago, with the first decision that differs. Raises what reading a log raises."""


class SiteSettings(Struct, frozen=True):
    """What the pages say of the installation."""

    version: str
    database: str
    simulated: bool
    """A simulated market: only there a crash may be asked for."""
    config_text: str
    """The configuration as it is shown: secrets left out."""
    commands_allowed: bool
    """False for a log that is only looked at."""
    commit: str = ""
    """Of which sources this is; empty where nobody said."""
    config_digest: str = ""
    """What the configuration would have to be called by the engine that began the log; empty where it surely is."""

    def config_of(self, started: EngineStarted | None) -> str:
        """The configuration the engine began under, as far as it is the one that is known here."""
        if started is None or self.config_digest in ("", started.config_digest):
            return self.config_text
        return OF_ANOTHER


class StrategyView(Struct, frozen=True):
    """A strategy there is: what it does, and the JSON schema of its parameters (units, ranges, defaults)."""

    name: str
    about: str
    timeframe_ms: int
    filter_timeframe_ms: int
    parameters_schema: dict[str, Any]


class Site(Struct, frozen=True):
    """Everything routes may use. `comparer` is None where no second log was named.

    `unlogged` is what the owner was told and the log does not hold. `outage` says why the keeper's engine is down,
    empty where it is up or nobody keeps it.
    """

    settings: SiteSettings
    timeline: Timeline
    inspector: Inspector
    engine: EnginePort
    strategies: tuple[StrategyView, ...]
    comparer: Comparer | None = None
    unlogged: Callable[[], UnloggedContents] = UnloggedContents
    outage: Callable[[], str] = str
