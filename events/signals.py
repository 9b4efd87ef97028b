"""Signals as they are sent to a running engine, what it answers, and the limits that all ways in share.

A signal is a number that comes from outside the market: from a webhook, a model or a terminal. It becomes the fact
`SignalReceived`. Sending one again under the same source and id changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct

from papertape.events.facts import SIGNAL_NAME_PATTERN

SOURCE_CHARS_MAX: Final = 64
ID_CHARS_MAX: Final = 120
SYMBOL_CHARS_MAX: Final = 40
SIGNALS_MAX: Final = 100
"""The signals of one request."""
SIGNAL_TIME_MS_MAX: Final = 4_102_444_800_000
"""The start of the year 2100."""
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]+$"

SignalName = Annotated[
    str, Meta(pattern=SIGNAL_NAME_PATTERN, description="Lower-case letters, digits and underscores, at most 32.")
]
SignalSymbol = Annotated[str, Meta(min_length=1, max_length=SYMBOL_CHARS_MAX, description="A watched symbol.")]
SignalSource = Annotated[
    str, Meta(min_length=1, max_length=SOURCE_CHARS_MAX, pattern=PRINTABLE, description="Who sends the signal.")
]
SignalId = Annotated[
    str,
    Meta(min_length=1, max_length=ID_CHARS_MAX, pattern=PRINTABLE, description="Unique among the source's signals."),
]
SignalTime = Annotated[int, Meta(ge=0, le=SIGNAL_TIME_MS_MAX, description="UTC ms.")]


class Signal(Struct, frozen=True, kw_only=True):
    """One signal. `at_ms` is when its sender computed it, in market time; None means just now."""

    symbol: SignalSymbol
    name: SignalName
    value: float
    source: SignalSource
    id: SignalId
    at_ms: SignalTime | None = None


class SignalBatch(Struct, frozen=True, tag="signals"):
    """Signals that are recorded together or refused together."""

    signals: Annotated[tuple[Signal, ...], Meta(min_length=1, max_length=SIGNALS_MAX)]


class SignalReceipt(Struct, frozen=True):
    """The answer for one signal. `repeated`: the log held it already, so nothing was written.

    `at_ms` is the event time in the log, after which strategies know the signal; None if it is repeated.
    """

    id: str
    repeated: bool
    at_ms: int | None = None


class SignalsRecorded(Struct, frozen=True):
    """The answer to a batch, after the commit: the span of seqs it became, None if every signal was repeated."""

    repeated: bool
    first_seq: int | None
    last_seq: int | None
    signals: tuple[SignalReceipt, ...]


class SignalIntake(Protocol):
    """Accepts signals."""

    async def receive(self, batch: SignalBatch) -> SignalsRecorded:
        """Record signals. Raise CommandRefused, and record none, if one does not fit."""
        ...


def row_id(time_ms: int, symbol: str, name: str) -> str:
    """Return the id of a signal in a file, which is also that of a signal sent with a time and without an id."""
    return f"{time_ms},{symbol},{name}"
