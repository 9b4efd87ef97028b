"""The error tree: everything that papertape refuses, by name.

```
PapertapeError
├── UsageError             what was asked cannot be asked                             exit 2
├── ConfigError            the configuration is wrong: key, value, valid range        exit 4
├── AddressTaken           the page cannot listen there now: taken, or no such address here  exit 1
├── MarketDataError        a file or feed cannot be read as market data               exit 1
├── ExchangeError          an exchange does not serve                                 exit 1
│   ├── ExchangeUnreachable   no answer, or none that is the exchange's own           exit 1
│   ├── ExchangeBusy       it asks to wait (429), with the seconds when it says them  exit 1
│   └── ExchangeRefused    it answers with an error of its own, by code               exit 1
├── PortableDamaged        a file of exported events cannot be imported                exit 1
├── CommandRefused         a command that does not fit the state (a stale reset)      exit 1
│   └── CommandUnanswered  whether the engine took it stands in the log               exit 1
├── LogError               the log said no
│   ├── LogHeld            another engine holds it                                    exit 3
│   ├── LogMissing         there is no log at this path                               exit 2
│   │   └── LogGone        but there was one: its head, snapshots or backups are there    exit 2
│   ├── LogForeign         the file at this path is something else                    exit 2
│   ├── LogDamaged         a row is torn, changed or missing, with seq and reason     exit 5
│   ├── LogFromNewerVersion   an event this version does not know, with seq           exit 5
│   ├── LogBusy            it cannot be read now; later it can                        exit 1
│   ├── LogReplaced        another log stands at the path of the one that was read    exit 1
│   ├── LogNewer           a copy would take the place of a log that knows more       exit 1
│   ├── BackupFailed       a copy of the log could not be proved                      exit 1
│   ├── LogDiffers         the code decides otherwise than the log says               exit 1
│   ├── SequenceConflict   an append expected another head                            exit 1
│   └── LogWriteFailed     whether the commit happened is unknown: stop, replay       exit 1
├── SnapshotRefused        a snapshot is torn or foreign; an older one or the log serves
└── EngineFault            a bug or a broken promise stopped the engine at a seq      exit 1
```

A driver's own error never leaves the room in which it arose.
"""

from __future__ import annotations

from typing import ClassVar


class PapertapeError(Exception):
    """The root. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class UsageError(PapertapeError):
    """What was asked cannot be asked."""

    exit_code = 2


class ConfigError(PapertapeError):
    """The configuration is wrong; the text names the key's path, the value and the valid range."""

    exit_code = 4


class AddressTaken(PapertapeError):
    """The page cannot listen at this address now; another program may release it, or the network may come up."""


class MarketDataError(PapertapeError):
    """A file or feed cannot be read as market data; the text names file, line and reason."""


class ExchangeError(PapertapeError):
    """An exchange does not serve; the text names what was asked and why there is nothing."""


class ExchangeUnreachable(ExchangeError):
    """No answer, or none that is the exchange's own: worth another try."""


class ExchangeBusy(ExchangeError):
    """The exchange asks to wait. `retry_after_s` is 0 when it does not say how long."""

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class ExchangeRefused(ExchangeError):
    """The exchange answers with an error of its own: asking the same again brings the same."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class PortableDamaged(PapertapeError):
    """A file of exported events is torn, changed, or not whole; the text names the seq and what is wrong."""


class CommandRefused(PapertapeError):
    """A command that does not fit the state."""


class CommandUnanswered(CommandRefused):
    """The engine did not answer in time: whether it took the command stands in the log."""


class LogError(PapertapeError):
    """The log said no."""


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
    """A copy of the log could not be proved; it was not kept."""


class LogNewer(LogError):
    """A copy was to take the place of a log that knows more than it, or something else."""


class LogDamaged(LogError):
    """A row is torn, changed or missing."""

    exit_code = 5

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"the log is damaged at seq {seq}: {reason}")
        self.seq = seq
        self.reason = reason


class LogFromNewerVersion(LogDamaged):
    """The log holds an event that this version of papertape does not know."""


class LogBusy(LogError):
    """The log cannot be read now: another process has it for itself, or too many ask at once."""


class LogReplaced(LogError):
    """Another log stands at the path of the one that was read: whoever follows begins anew."""


class LogDiffers(LogError):
    """The code, asked again, decides otherwise than the log says."""


class SequenceConflict(LogError):
    """An append expected another head: somebody else wrote, or a caller lost count."""

    def __init__(self, expected_seq: int, head_seq: int) -> None:
        super().__init__(f"append expected the log to end at seq {expected_seq}, it ends at {head_seq}")
        self.expected_seq = expected_seq
        self.head_seq = head_seq


class LogWriteFailed(LogError):
    """Whether the commit happened is unknown: the only cure is to stop and replay."""


class SnapshotRefused(PapertapeError):
    """A snapshot is torn or foreign."""


class EngineFault(PapertapeError):
    """A bug or a broken promise stopped the engine; the log is intact up to the named seq."""
