"""The state as bytes: for snapshots, for copies, and for the digest that compares two states.

Rings are encoded without their dead rows, so equal states have equal bytes, whatever their rings held before. The
digest leaves out everything that only points into a particular log, and what studies promise: it decides nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.engine.kernel.state import (
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
from papertape.engine.reducer.signals import SignalMemory
from papertape.engine.reducer.state import configure_runner, list_contract, new_state
from papertape.events.errors import SnapshotRefused
from papertape.events.facts import ContractListed, FeedConnected, RunnerConfigured, StrategyFailed, StudyPromoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState, Runner


class SavedRunner(Struct, array_like=True):
    """A runner without its functions. States are encoded separately, as each strategy has its own type."""

    account: Account
    desks: list[SymbolState]
    states: list[bytes]
    order_seq: list[list[int]]
    trip_seq: int
    exit_reasons: tuple[str, ...]
    failure: StrategyFailed | None
    failed_seq: int
    warm_ms: int


class SavedSeries(Struct, array_like=True):
    """One timeframe: a series per symbol, the live rows of its history, and how many rows that can hold."""

    timeframe_ms: int
    series: list[Series]
    bars: list[list[Bar]]
    rows: int


class SavedState(Struct, array_like=True):
    """The state without functions and without dead rows."""

    listed: list[ContractListed]
    configured: list[RunnerConfigured]
    markets: list[Market]
    settlements: list[list[Settlement]]
    readings: list[list[OpenInterest]]
    series: list[SavedSeries]
    runners: list[SavedRunner]
    guard: GlobalKillSwitch
    maxima: list[float]
    signals: SignalMemory
    guard_trip_seq: int
    anchor: FeedConnected | None
    promises: dict[str, StudyPromoted]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(SavedState)


def live_rows(ring: Sequence[Any], newest: int, size: int, mask: int, oldest: int = 0) -> list[Any]:
    """Return the rows `oldest .. newest` that a ring still holds, in order."""
    return [ring[row & mask] for row in range(max(oldest, newest - size + 1), newest + 1)]


def to_snapshot(state: EngineState) -> SavedState:
    """Return the state in the form that is encoded."""
    saved = to_snapshot_without_rings(state)
    saved.readings = [
        live_rows(ring, market.readings - 1, READINGS_MAX, READINGS_MASK)
        for ring, market in zip(state.readings, state.markets, strict=True)
    ]
    for frame in saved.series:
        frame.bars = [
            live_rows(ring, series.row, frame.rows, frame.rows - 1, series.oldest_row)
            for ring, series in zip(state.series[frame.timeframe_ms].bars, frame.series, strict=True)
        ]
    return saved


def to_snapshot_without_rings(state: EngineState) -> SavedState:
    """Return the state without its largest parts: the open-interest readings and the histories of the series."""
    return SavedState(
        listed=state.listed,
        configured=[runner.configured for runner in state.runners],
        markets=state.markets,
        settlements=[
            live_rows(ring, market.settled - 1, len(ring), SETTLEMENTS_MASK, market.due)
            for ring, market in zip(state.settlements, state.markets, strict=True)
        ],
        readings=[],
        series=[SavedSeries(timeframe, one.series, [], one.rows) for timeframe, one in sorted(state.series.items())],
        runners=[_runner_snapshot(runner) for runner in state.runners],
        guard=state.guard,
        maxima=state.maxima,
        signals=state.signals,
        guard_trip_seq=state.guard_trip_seq,
        anchor=state.anchor,
        promises=state.promises,
    )


def _runner_snapshot(runner: Runner) -> SavedRunner:
    return SavedRunner(
        account=runner.account,
        desks=runner.desks,
        states=list(map(_encode, runner.states)),
        order_seq=runner.order_seq,
        trip_seq=runner.trip_seq,
        exit_reasons=runner.exit_reasons,
        failure=runner.failure,
        failed_seq=runner.failed_seq,
        warm_ms=runner.warm_ms,
    )


def encode(state: EngineState) -> bytes:
    """Encode the state, so that `decode` restores an equal one."""
    return _encode(to_snapshot(state))


def decode(content: bytes, strategies: Mapping[str, Strategy]) -> EngineState:
    """Restore an encoded state. Raise SnapshotRefused if the bytes do not fit this version."""
    try:
        saved = _decoder.decode(content)
        state = restore_state(saved, new_state(strategies))
        _fill_rings(state, saved)
    except (msgspec.MsgspecError, ValueError, IndexError, KeyError) as error:
        raise SnapshotRefused(f"it does not fit this version's state: {error}") from error
    return state


def restore_state(saved: SavedState, state: EngineState) -> EngineState:
    """Load a saved state into an empty one, without the rows of readings and histories; return it."""
    state.signals = saved.signals
    for listed in saved.listed:
        list_contract(state, listed)
    for configured in saved.configured:
        configure_runner(state, configured)
    state.markets = saved.markets
    for ring, rows, market in zip(state.settlements, saved.settlements, saved.markets, strict=True):
        _fill_ring(ring, rows, market.settled - 1, SETTLEMENTS_MASK)
    for frame in saved.series:
        series = state.series[frame.timeframe_ms]
        series.lengthen(frame.rows)
        series.replace(frame.series, series.bars)
    for runner, saved_runner in zip(state.runners, saved.runners, strict=True):
        _fill_runner(runner, saved_runner)
    state.guard, state.maxima = saved.guard, saved.maxima
    state.guard_trip_seq, state.anchor, state.promises = saved.guard_trip_seq, saved.anchor, saved.promises
    return state


def _fill_rings(state: EngineState, saved: SavedState) -> None:
    for readings, rows, market in zip(state.readings, saved.readings, saved.markets, strict=True):
        _fill_ring(readings, rows, market.readings - 1, READINGS_MASK)
    for frame in saved.series:
        for bars, history, series in zip(state.series[frame.timeframe_ms].bars, frame.bars, frame.series, strict=True):
            _fill_ring(bars, history, series.row, frame.rows - 1)


def _fill_ring(ring: Any, rows: Sequence[Any], newest: int, mask: int) -> None:
    """Put the newest rows of a ring back in their places."""
    for row, values in enumerate(rows, newest - len(rows) + 1):
        ring[row & mask] = values


def _fill_runner(runner: Runner, saved: SavedRunner) -> None:
    runner.account, runner.trip_seq = saved.account, saved.trip_seq
    runner.desks[:], runner.order_seq[:] = saved.desks, saved.order_seq
    runner.exit_reasons, runner.warm_ms = saved.exit_reasons, saved.warm_ms
    runner.failure, runner.failed_seq = saved.failure, saved.failed_seq
    runner.guard.muted = saved.failure is not None
    runner.states[:] = [msgspec.msgpack.decode(own, type=runner.strategy.state) for own in saved.states]


def state_digest(state: EngineState) -> str:
    """Return a digest of the whole state: equal for equal inputs, on every machine and in both engines."""
    saved = to_snapshot(state)
    for position, runner in enumerate(saved.runners):
        saved.runners[position] = replace(runner, order_seq=[], trip_seq=0, failed_seq=0)
    saved.listed = [replace(event, at_ms=0) for event in saved.listed]
    saved.configured = [replace(event, at_ms=0, code_digest="") for event in saved.configured]
    saved.guard_trip_seq, saved.anchor, saved.promises = 0, None, {}
    return hashlib.blake2b(_encode(saved), digest_size=16).hexdigest()
