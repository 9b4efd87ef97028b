"""What the state remembers of signals, so that a repeated one changes nothing and a contradicting one is refused.

A log takes signals from `SOURCES_MAX` sources and under `NAMES_MAX` names. Of each source the newest `IDS_MAX` ids are
remembered with their signals; the shell refuses signals that are older than those ids reach back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from papertape.engine.kernel.signals import SignalValue
from papertape.events.errors import CommandRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papertape.events.facts import SignalReceived

SOURCES_MAX = 16
NAMES_MAX = 64
IDS_MAX = 1_024


class KnownSignal(Struct, array_like=True, frozen=True):
    """What a source said under an id."""

    symbol: str
    name: str
    value: float


class SignalSourceMemory(Struct, array_like=True):
    """What is remembered of one source: its newest ids, oldest first, and its newest time by symbol and name."""

    known: dict[str, KnownSignal] = field(default_factory=dict)
    newest_ms: dict[str, dict[str, int]] = field(default_factory=dict)


class LastSignal(Struct, array_like=True, frozen=True):
    """The value and the time of a symbol's newest signal under a name, from any source."""

    value: float
    at_ms: int


class SignalMemory(Struct, array_like=True):
    """What is remembered of all signals: the names so far, the last one by symbol and name, and every source."""

    names: list[str] = field(default_factory=list)
    last: dict[str, dict[str, LastSignal]] = field(default_factory=dict)
    sources: dict[str, SignalSourceMemory] = field(default_factory=dict)


def is_repeated(memory: SignalMemory, event: SignalReceived) -> bool:
    """Return whether the source has sent this very signal under this id."""
    source = memory.sources.get(event.source)
    return source is not None and source.known.get(event.id) == KnownSignal(event.symbol, event.name, event.value)


def check_signal(memory: SignalMemory, event: SignalReceived) -> None:
    """Raise CommandRefused if the id stands for another signal, or a limit on sources or names is reached."""
    source = memory.sources.get(event.source)
    if source is None:
        if len(memory.sources) >= SOURCES_MAX:
            raise CommandRefused(f"source: a log takes signals from {SOURCES_MAX} sources; {event.source!r} is another")
    elif (known := source.known.get(event.id)) is not None:
        raise CommandRefused(
            f"id: {event.source} has sent {event.id!r} already, as {known.symbol} {known.name} = {known.value:g}; "
            "another signal needs another id"
        )
    if event.name not in memory.names and len(memory.names) >= NAMES_MAX:
        raise CommandRefused(f"name: a log takes signals under {NAMES_MAX} names; {event.name!r} is another")


def newest_ms(memory: SignalMemory, symbol: str, name: str) -> int:
    """Return the time of the newest signal of a symbol under a name, -1 if there is none."""
    last = memory.last.get(symbol, {}).get(name)
    return -1 if last is None else last.at_ms


def last_values(memory: SignalMemory, symbol: str, names: Sequence[str]) -> list[SignalValue]:
    """Return a symbol's last signals under these names in the kernel's form; never an empty list, which fits no array.

    They do not depend on since when a strategy has listed the names.
    """
    last = memory.last.get(symbol, {})
    return [SignalValue(last[name].value, last[name].at_ms) if name in last else SignalValue() for name in names] or [
        SignalValue()
    ]


def newest_signals_ms(memory: SignalMemory, symbol: str) -> dict[tuple[str, str], int]:
    """Return the times of a symbol's newest signals by source and name."""
    return {
        (source, name): at_ms
        for source, remembered in memory.sources.items()
        for name, at_ms in remembered.newest_ms.get(symbol, {}).items()
    }


def remember_signal(memory: SignalMemory, event: SignalReceived) -> None:
    """Remember a recorded signal, and forget the oldest id of its source beyond the limit."""
    if event.name not in memory.names:
        memory.names.append(event.name)
    if event.source not in memory.sources:
        memory.sources[event.source] = SignalSourceMemory()
    source = memory.sources[event.source]
    source.known[event.id] = KnownSignal(event.symbol, event.name, event.value)
    if len(source.known) > IDS_MAX:
        del source.known[next(iter(source.known))]
    source.newest_ms.setdefault(event.symbol, {})[event.name] = event.at_ms
    memory.last.setdefault(event.symbol, {})[event.name] = LastSignal(event.value, event.at_ms)
