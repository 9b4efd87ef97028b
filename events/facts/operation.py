"""Facts of operation: the engine, its runners, requests by humans, anomalies."""

from __future__ import annotations

from msgspec import Struct, field

from papertape.events.facts.base import Event


class EngineStarted(Event, frozen=True, tag="EngineStarted.1"):
    """The engine opened the log. `at_ms` is the wall clock."""

    version: str
    code_digest: str
    config_digest: str


class EngineStopped(Event, frozen=True, tag="EngineStopped.1"):
    """The engine stopped in an orderly way. `at_ms` is the wall clock."""

    reason: str


class EpochBegan(Event, frozen=True, tag="EpochBegan.1"):
    """An older copy replaced a log that went further: a different history is written from here on.

    `at_ms` is the wall clock. The copy ended with the row whose hash is `restored_hash`; the log that it replaced went
    to `replaced_seq`.
    """

    restored_seq: int
    restored_hash: str
    replaced_seq: int
    who: str
    why: str


class ConfigurationReloaded(Event, frozen=True, tag="ConfigurationReloaded.1"):
    """A human had the running engine apply a changed configuration; the events behind this one put it into force.

    `changes` has one line for each changed setting: `risk.leverage: 3 -> 5`.
    """

    who: str
    why: str
    config_digest: str
    changes: tuple[str, ...]


class RunnerConfigured(Event, frozen=True, tag="RunnerConfigured.2"):
    """A strategy with its own capital, and all settings that apply to it from now on.

    `series` (timeframes by name, that of its decisions first), `exit_reasons` and `readings` (the names of the numbers
    behind its decisions) come from its file: with them the log can be read without the file. They are empty in logs of
    versions that did not record them. `of` is the strategy whose file it runs if it has a name of its own, else empty;
    `references` are the other symbols that it looks at, by name.
    """

    strategy: str
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str
    series: tuple[str, ...] = ()
    exit_reasons: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
    of: str = ""
    references: dict[str, str] = field(default_factory=dict)


class ResultBand(Struct, frozen=True, array_like=True):
    """The quantiles of a cumulative result in R after so many trades, over sequences drawn from a study's trades."""

    trades: int
    percent_1_r: float
    percent_5_r: float
    percent_25_r: float
    percent_50_r: float
    percent_75_r: float
    percent_95_r: float


class StudyPromoted(Event, frozen=True, tag="StudyPromoted.1"):
    """A strategy begins to run with the parameters of a study; what it promises is compared with what it does.

    `study` is the study's name, `study_digest` the key that determines its results, `results_digest` that of the
    results themselves, `code_digest` that of the code which computed them. `against_advice` is why the owner promoted
    it although the verdict advises against it, else empty. The promise holds until the strategy is configured with
    other `parameters`.

    `bands` has each of the first 20 trades, then ever larger steps up to trade 500; values between two bands lie on
    the line between them. It is empty, and figures are None, for a set to which the verdict does not refer.
    `cost_per_trade_r` is fees and slippage of a trade in R; one R is the amount that the trade put at risk.
    """

    strategy: str
    study: str
    study_digest: str
    results_digest: str
    set_number: int
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    code_digest: str
    verdict: str
    against_advice: str
    trades_per_day: float
    win_rate: float
    mean_r: float | None
    cost_per_trade_r: float | None
    drawdown_95_fraction: float | None
    bands: tuple[ResultBand, ...]


class StrategyFailed(Event, frozen=True, tag="StrategyFailed.1"):
    """A strategy is parked: its hooks are not called until a human resumes it. Stops, targets and funding live on.

    `hook` is the function that failed on `symbol`, `place` is its file and line. If the file itself cannot be used
    (it is missing, cannot be imported, or does not accept the recorded parameters), `hook` and `symbol` are empty.
    """

    strategy: str
    hook: str
    place: str
    error: str
    symbol: str = ""

    @property
    def is_hook(self) -> bool:
        """Whether a hook failed, rather than the file as a whole."""
        return self.hook != ""


class RunnerPaused(Event, frozen=True, tag="RunnerPaused.1"):
    """A human stopped a strategy from opening positions."""

    strategy: str
    who: str
    why: str


class RunnerResumed(Event, frozen=True, tag="RunnerResumed.1"):
    """A human ended a pause, or let a strategy that was parked go on."""

    strategy: str
    who: str
    why: str


class CloseRequested(Event, frozen=True, tag="CloseRequested.1"):
    """A human asked to close a position. It closes at the next open, or is settled if the contract was delisted."""

    strategy: str
    symbol: str
    who: str
    why: str


class AnomalyRaised(Event, frozen=True, tag="AnomalyRaised.1"):
    """Something is wrong, and the owner should know."""

    kind: str
    subject: str
    detail: str


class AnomalyCleared(Event, frozen=True, tag="AnomalyCleared.1"):
    """An anomaly is over."""

    kind: str
    subject: str
    detail: str


class AnomalyPersists(Event, frozen=True, tag="AnomalyPersists.1"):
    """An anomaly that was raised long ago persists: a reminder."""

    kind: str
    subject: str
    detail: str
    raised_at_ms: int


class RepairTried(Event, frozen=True, tag="RepairTried.1"):
    """The engine tried to repair something by itself."""

    kind: str
    subject: str
    detail: str
