"""The error tree: every error that papertape raises deliberately.

```
PapertapeError
├── UsageError               the request is invalid                                         exit 2
├── ConfigError              the configuration is invalid: key, value, valid range          exit 4
├── AddressTaken             the page cannot listen at its address now                      exit 1
├── MarketDataError          a file or feed cannot be read as market data                   exit 1
├── ExchangeError            an exchange does not serve a request                           exit 1
│   ├── ExchangeUnreachable  there is no answer, or none from the exchange itself           exit 1
│   ├── ExchangeBusy         it asks to wait (429), for the given seconds if it names them  exit 1
│   └── ExchangeRefused      it answers with an error of its own, with a code               exit 1
├── ApiProblem               the HTTP API refuses a request, with status and type           exit 1
├── ApiUnreachable           the HTTP API does not answer                                   exit 1
├── PortableDamaged          a file of exported events cannot be imported                   exit 1
├── CommandRefused           a command does not fit the state (a stale reset)               exit 1
│   └── CommandUnanswered    the log shows whether the engine executed the command          exit 1
├── LogError                 an operation on the log failed                                 exit 1
│   ├── LogHeld              another engine holds the log                                   exit 3
│   ├── LogMissing           there is no log at this path                                   exit 2
│   │   └── LogGone          there was one: its head, snapshots or backups remain           exit 2
│   ├── LogForeign           the file at this path is not a log                             exit 2
│   ├── LogDamaged           a row is torn, changed or missing, with seq and reason         exit 5
│   │   └── LogFromNewerVersion  this version does not know an event, with seq              exit 5
│   ├── LogArchived          a part of the log was archived, and its disk is missing        exit 1
│   ├── LogBusy              the log cannot be read at the moment                           exit 1
│   ├── LogReplaced          another log took the place of the one that was read            exit 1
│   ├── LogNewer             a copy would replace a log that goes further                   exit 1
│   ├── BackupFailed         a copy of the log could not be verified                        exit 1
│   ├── LogDiffers           the code decides differently from the log                      exit 1
│   ├── DecisionsDiffer      two versions or configurations decide differently              exit 6
│   ├── SequenceConflict     an append expected another head                                exit 1
│   └── LogWriteFailed       it is unknown whether the commit happened: stop, replay        exit 1
├── StudyError               an operation on a study failed                                 exit 1
│   ├── StudyHeld            another process writes the study                               exit 3
│   ├── StudyMissing         there is no study at this path                                 exit 2
│   ├── StudyForeign         this version cannot read the file at this path as a study      exit 2
│   ├── StudyDiffers         code, data or a result differs from the study's                exit 1
│   ├── StudyWriteFailed     a result could not be stored; those before it are              exit 1
│   ├── TapeDamaged          a stored or shipped tape does not match its digest             exit 1
│   ├── WorkerRefused        a worker has other code or libraries than the study            exit 1
│   └── SchedulerGone        the scheduler of a cluster does not answer                     exit 1
├── StrategyFault            a strategy failed in a run; the other strategies finished       exit 1
├── SnapshotRefused          a snapshot is torn or foreign; an older one or the log is used exit 1
└── EngineFault              a bug or a broken invariant stopped the engine at a seq        exit 1
```

A driver's own error never leaves the room that calls the driver.
"""

from __future__ import annotations

from typing import ClassVar


class PapertapeError(Exception):
    """The root. `exit_code` is the exit code of the command line."""

    exit_code: ClassVar[int] = 1


class UsageError(PapertapeError):
    """The request is invalid."""

    exit_code = 2


class ConfigError(PapertapeError):
    """The configuration is invalid; the text names the key's path, the value and the valid range."""

    exit_code = 4


class AddressTaken(PapertapeError):
    """The page cannot listen at this address now; another program may release it, or the network may come up."""


class MarketDataError(PapertapeError):
    """A file or feed cannot be read as market data; the text names file, line and reason."""


class ExchangeError(PapertapeError):
    """An exchange does not serve a request; the text names the request and the cause."""


class ExchangeUnreachable(ExchangeError):
    """There is no answer, or none from the exchange itself: worth another try."""


class ExchangeBusy(ExchangeError):
    """The exchange asks to wait. `retry_after_s` is 0 if it does not say how long."""

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class ExchangeRefused(ExchangeError):
    """The exchange answers with an error of its own: repeating the request gives the same answer."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class ApiProblem(PapertapeError):
    """The HTTP API refuses a request: `type` says which kind of problem it is, see `api.problems`."""

    def __init__(self, status: int, type_: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.type = status, type_


class ApiUnreachable(PapertapeError):
    """The HTTP API does not answer."""


class PortableDamaged(PapertapeError):
    """A file of exported events is torn, changed or incomplete; the text names the seq and the fault."""


class CommandRefused(PapertapeError):
    """A command does not fit the state."""


class CommandUnanswered(CommandRefused):
    """The engine did not answer in time: the log shows whether it executed the command."""


class LogError(PapertapeError):
    """An operation on the log failed."""


class LogHeld(LogError):
    """Another engine holds the log."""

    exit_code = 3


class LogMissing(LogError):
    """There is no log at this path."""

    exit_code = 2


class LogGone(LogMissing):
    """The log at this path is missing; the text names its remains and how to continue."""


class LogForeign(LogError):
    """The file at this path is not a papertape log; it was left untouched."""

    exit_code = 2


class BackupFailed(LogError):
    """A copy of the log could not be verified; it was not kept."""


class LogNewer(LogError):
    """A copy would replace a log that goes further, or has a different history."""


class LogDamaged(LogError):
    """A row is torn, changed or missing."""

    exit_code = 5

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"the log is damaged at seq {seq}: {reason}")
        self.seq = seq
        self.reason = reason


class LogFromNewerVersion(LogDamaged):
    """The log holds an event that this version of papertape does not know."""


class LogArchived(LogError):
    """A part of the log was moved to another disk, which cannot be reached."""

    def __init__(self, first_seq: int, last_seq: int, path: str) -> None:
        super().__init__(
            f"the events {first_seq} to {last_seq} were archived, and {path} is missing; mount the disk that holds it"
        )
        self.first_seq = first_seq
        self.last_seq = last_seq
        self.path = path


class LogBusy(LogError):
    """The log cannot be read at the moment: another process locks it, or too many callers wait."""


class LogReplaced(LogError):
    """Another log took the place of the one that was read: its followers start again."""


class LogDiffers(LogError):
    """The code, replayed, decides differently from the log."""


class DecisionsDiffer(LogError):
    """Two versions or configurations decide differently on the same inputs."""

    exit_code = 6


class SequenceConflict(LogError):
    """An append expected another head: there is a second writer, or the caller lost count."""

    def __init__(self, expected_seq: int, head_seq: int) -> None:
        super().__init__(f"append expected the log to end at seq {expected_seq}, but it ends at seq {head_seq}")
        self.expected_seq = expected_seq
        self.head_seq = head_seq


class LogWriteFailed(LogError):
    """It is unknown whether the commit happened: the only remedy is to stop and replay."""


class StudyError(PapertapeError):
    """An operation on a study failed."""


class StudyHeld(StudyError):
    """Another process writes the study."""

    exit_code = 3


class StudyMissing(StudyError):
    """There is no study at this path."""

    exit_code = 2


class StudyForeign(StudyError):
    """The file is not a study, or a newer version wrote it; it was left untouched."""

    exit_code = 2


class StudyDiffers(StudyError):
    """Code, data or a result differs from the study's; the text names both digests and what differs."""


class StudyWriteFailed(StudyError):
    """A result could not be stored, for example on a full disk; all earlier ones are stored."""


class TapeDamaged(StudyError):
    """A tape does not match its digest: it was damaged on disk or in transit."""


class WorkerRefused(StudyError):
    """A worker has other code or libraries than the study; the text names both."""


class SchedulerGone(StudyError):
    """The scheduler of a cluster does not answer; the study can be resumed."""


class StrategyFault(PapertapeError):
    """A strategy failed in a run that the other strategies finished; the text names file, line, hook and time."""


class SnapshotRefused(PapertapeError):
    """A snapshot is torn or foreign."""


class EngineFault(PapertapeError):
    """A bug or a broken invariant stopped the engine; the log is intact up to the named seq."""
