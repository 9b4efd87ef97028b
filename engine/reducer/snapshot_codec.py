"""The world as bytes: for snapshots, for copies, and for the digest by which two worlds are compared.

Rings are written without the rows that nothing can look at any more, so worlds that know the same are equal,
whatever stood in their rings before. The digest leaves out what only points into a particular log.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from papertape.engine.kernel.state import (
    HISTORY_BARS_MAX,
    HISTORY_MASK,
    READINGS_MASK,
    READINGS_MAX,
    SETTLEMENTS_MASK,
    Account,
    Bar,
    GlobalKillSwitch,
    Market,
    OpenInterest,
    Series,
    Settlement,
    SymbolState,
)
from papertape.engine.reducer.reducer import decide
from papertape.engine.reducer.state import configure_runner, list_contract, new_state
from papertape.events.errors import SnapshotRefused
from papertape.events.facts import ContractListed, Event, FeedConnected, RunnerConfigured
from papertape.events.log import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState, Runner


class SavedRunner(Struct, array_like=True):
    """A runner without its functions. States are encoded apart: each strategy has its own type."""

    account: Account
    desks: list[SymbolState]
    states: list[bytes]
    order_seq: list[int]
    trip_seq: int


class SavedSeries(Struct, array_like=True):
    """One timeframe: a series a symbol, and the rows of its history that can still be looked at."""

    timeframe_ms: int
    series: list[Series]
    bars: list[list[Bar]]


class SavedState(Struct, array_like=True):
    """The world without functions and without dead rows."""

    listed: list[ContractListed]
    configured: list[RunnerConfigured]
    markets: list[Market]
    settlements: list[list[Settlement]]
    readings: list[list[OpenInterest]]
    series: list[SavedSeries]
    runners: list[SavedRunner]
    guard: GlobalKillSwitch
    maxima: list[float]
    guard_trip_seq: int
    anchor: FeedConnected | None


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(SavedState)


def live_rows(ring: Sequence[Any], newest: int, size: int, mask: int, oldest: int = 0) -> list[Any]:
    """The rows `oldest .. newest` of a ring that it still holds, in order."""
    return [ring[row & mask] for row in range(max(oldest, newest - size + 1), newest + 1)]


def to_snapshot(world: EngineState) -> SavedState:
    """The world in the form that is written."""
    found = to_snapshot_without_rings(world)
    found.readings = [
        live_rows(ring, market.readings - 1, READINGS_MAX, READINGS_MASK)
        for ring, market in zip(world.readings, world.markets, strict=True)
    ]
    for kept in found.series:
        kept.bars = [
            live_rows(ring, series.row, HISTORY_BARS_MAX, HISTORY_MASK)
            for ring, series in zip(world.series[kept.timeframe_ms].bars, kept.series, strict=True)
        ]
    return found


def to_snapshot_without_rings(world: EngineState) -> SavedState:
    """All but what is far the most of it: the readings of open interest and the histories of the series."""
    return SavedState(
        listed=world.listed,
        configured=[runner.configured for runner in world.runners],
        markets=world.markets,
        settlements=[
            live_rows(ring, market.settled - 1, len(ring), SETTLEMENTS_MASK, market.due)
            for ring, market in zip(world.settlements, world.markets, strict=True)
        ],
        readings=[],
        series=[SavedSeries(timeframe, world.series[timeframe].series, []) for timeframe in sorted(world.series)],
        runners=[_runner_snapshot(runner) for runner in world.runners],
        guard=world.guard,
        maxima=world.maxima,
        guard_trip_seq=world.guard_trip_seq,
        anchor=world.anchor,
    )


def _runner_snapshot(runner: Runner) -> SavedRunner:
    """A runner's moving parts."""
    states = [_encode(state) for state in runner.states]
    return SavedRunner(runner.account, runner.desks, states, runner.order_seq, runner.trip_seq)


def encode(world: EngineState) -> bytes:
    """The world as bytes, from which `decode` makes an equal one."""
    return _encode(to_snapshot(world))


def decode(content: bytes, strategies: Mapping[str, Strategy]) -> EngineState:
    """The world behind the bytes. Raises SnapshotRefused when they do not fit this version's state."""
    try:
        found = _decoder.decode(content)
        world = restore_state(found, new_state(strategies))
        _fill_rings(world, found)
    except (msgspec.MsgspecError, ValueError, IndexError, KeyError) as error:
        raise SnapshotRefused(f"it does not fit this version's state: {error}") from error
    return world


def restore_state(found: SavedState, world: EngineState) -> EngineState:
    """An empty world that now knows what was saved, but for the rows of readings and histories."""
    for listed in found.listed:
        list_contract(world, listed)
    for configured in found.configured:
        configure_runner(world, configured)
    world.markets = found.markets
    for ring, rows, market in zip(world.settlements, found.settlements, found.markets, strict=True):
        _fill_ring(ring, rows, market.settled - 1, SETTLEMENTS_MASK)
    for kept in found.series:
        world.series[kept.timeframe_ms].series[:] = kept.series
    for runner, moving in zip(world.runners, found.runners, strict=True):
        _fill_runner(runner, moving)
    world.guard, world.maxima = found.guard, found.maxima
    world.guard_trip_seq, world.anchor = found.guard_trip_seq, found.anchor
    return world


def _fill_rings(world: EngineState, found: SavedState) -> None:
    """The rows of readings and histories."""
    for readings, rows, market in zip(world.readings, found.readings, found.markets, strict=True):
        _fill_ring(readings, rows, market.readings - 1, READINGS_MASK)
    for kept in found.series:
        for bars, history, series in zip(world.series[kept.timeframe_ms].bars, kept.bars, kept.series, strict=True):
            _fill_ring(bars, history, series.row, HISTORY_MASK)


def _fill_ring(ring: Any, rows: Sequence[Any], newest: int, mask: int) -> None:
    """Put the newest rows of a ring back where they stood."""
    for offset, row in enumerate(rows):
        ring[(newest - len(rows) + 1 + offset) & mask] = row


def _fill_runner(runner: Runner, kept: SavedRunner) -> None:
    """A runner's moving parts."""
    runner.account, runner.trip_seq = kept.account, kept.trip_seq
    runner.desks[:], runner.order_seq[:] = kept.desks, kept.order_seq
    runner.states[:] = [msgspec.msgpack.decode(state, type=runner.strategy.state) for state in kept.states]


def state_digest(world: EngineState) -> str:
    """The digest of everything the world knows; equal for equal inputs, on every machine and in both engines."""
    found = to_snapshot(world)
    for position, runner in enumerate(found.runners):
        found.runners[position] = msgspec.structs.replace(runner, order_seq=[], trip_seq=0)
    found.listed = [msgspec.structs.replace(event, at_ms=0) for event in found.listed]
    found.configured = [msgspec.structs.replace(event, at_ms=0, code_digest="") for event in found.configured]
    found.guard_trip_seq, found.anchor = 0, None
    return hashlib.blake2b(_encode(found), digest_size=16).hexdigest()


def copy_state(world: EngineState) -> EngineState:
    """A world of its own that knows the same."""
    return decode(encode(world), world.strategies)


def reduce(world: EngineState, event: Event, seq: int) -> tuple[EngineState, list[Entry]]:
    """The pure face of `decide`: the given world stays as it is, the answer is a new one and what follows."""
    following = copy_state(world)
    return following, decide(following, event, seq)
