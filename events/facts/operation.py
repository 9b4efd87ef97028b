"""Facts of operation: the engine, its runners, what humans asked, what is wrong."""

from __future__ import annotations

from papertape.events.facts.base import Event


class EngineStarted(Event, frozen=True, tag="EngineStarted.1"):
    """The engine took the log. `at_ms` is the wall clock."""

    version: str
    code_digest: str
    config_digest: str


class EngineStopped(Event, frozen=True, tag="EngineStopped.1"):
    """The engine let go of the log on purpose. `at_ms` is the wall clock."""

    reason: str


class EpochBegan(Event, frozen=True, tag="EpochBegan.1"):
    """An older copy was put in the place of a log that knew more: from here on another future is written.

    `at_ms` is the wall clock. The copy ended with the row whose hash is `restored_hash`; the log it replaced went to
    `replaced_seq`.
    """

    restored_seq: int
    restored_hash: str
    replaced_seq: int
    who: str
    why: str


class RunnerConfigured(Event, frozen=True, tag="RunnerConfigured.1"):
    """A strategy with its own capital, and all numbers it runs under from here on."""

    strategy: str
    symbols: tuple[str, ...]
    parameters: dict[str, int | float]
    symbol_parameters: dict[str, dict[str, int | float]]
    risk: dict[str, int | float]
    code_digest: str


class RunnerPaused(Event, frozen=True, tag="RunnerPaused.1"):
    """A human asked a strategy to open nothing."""

    strategy: str
    who: str
    why: str


class RunnerResumed(Event, frozen=True, tag="RunnerResumed.1"):
    """A human ended a pause."""

    strategy: str
    who: str
    why: str


class CloseRequested(Event, frozen=True, tag="CloseRequested.1"):
    """A human asked to leave a position. It is left at the next open, or settled if the contract was delisted."""

    strategy: str
    symbol: str
    who: str
    why: str


class AnomalyRaised(Event, frozen=True, tag="AnomalyRaised.1"):
    """Something is wrong that the owner should know."""

    kind: str
    subject: str
    detail: str


class AnomalyCleared(Event, frozen=True, tag="AnomalyCleared.1"):
    """An anomaly is over."""

    kind: str
    subject: str
    detail: str


class AnomalyPersists(Event, frozen=True, tag="AnomalyPersists.1"):
    """An anomaly that was raised long ago is still there: a reminder."""

    kind: str
    subject: str
    detail: str
    raised_at_ms: int


class RepairTried(Event, frozen=True, tag="RepairTried.1"):
    """The engine tried to mend something by itself."""

    kind: str
    subject: str
    detail: str
