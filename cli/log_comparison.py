"""`papertape compare`: read two logs to their ends, and explain their first different decision."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.config.sections import strategies_of
from papertape.cli.explainer import Explainer, condition_views
from papertape.cli.log_reader import read_forwards
from papertape.engine.inspect.entry_conditions import entry_conditions as conditions_of
from papertape.engine.recovery import recover
from papertape.events.beside import sibling_path
from papertape.events.errors import ConfigError
from papertape.events.facts import CandleClosed, Event, OrderPlaced, OrderRejected, Timing
from papertape.events.snapshots import SnapshotStore
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.decisions import market_of
from papertape.projections.folds.log_diff import (
    ComparedLog,
    Comparison,
    DecisionDifference,
    DecisionReasons,
    MarketDifference,
    compare_sides,
    find_divergences,
    first_divergence,
    market_difference,
)
from papertape.projections.host import fold
from papertape.projections.text.causes import cause_chain as chain_of
from papertape.projections.text.event_lines import line
from papertape.projections.text.reasons import hold_words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from papertape.engine.kernel.strategy import Strategy
    from papertape.engine.reducer.state import EngineState
    from papertape.events.log import Recorded
    from papertape.projections.folds.log_diff import Divergence

LATE: Final = "the candle was late, and a late candle opens no position"


def compare_logs(db_a: Path, db_b: Path, config: Path | None) -> Comparison:
    """Compare two logs. Raise LogMissing, LogForeign or LogDamaged if one cannot be opened."""
    strategies = strategies_of(load_config_of_log(config))
    with closing(SqliteLogReader(db_a)) as reader_a, closing(SqliteLogReader(db_b)) as reader_b:
        a, b = (_Side(*one, config, strategies) for one in ((reader_a, db_a), (reader_b, db_b)))
        found = compare_sides(a.folds, b.folds)
        if found.difference is None:
            return found
        parting = first_divergence(find_divergences(a.folds.decisions, b.folds.decisions))
        assert parting is not None, "there is a difference"
        return replace(found, difference=_explained(found.difference, parting, a, b))


def _explained(difference: DecisionDifference, parting: Divergence, a: _Side, b: _Side) -> DecisionDifference:
    of_a = None if difference.kind == "only_b" else parting.a
    of_b = None if difference.kind == "only_a" else parting.b
    return replace(
        difference,
        market=_market(of_a or of_b, a, b),
        reasons_a=a.reasons(of_a, of_b),
        reasons_b=b.reasons(of_b, of_a),
    )


def _market(decision: Recorded | None, a: _Side, b: _Side) -> MarketDifference | None:
    """Return the first fact about the decision's symbol that differs between the logs or is in only one of them."""
    symbol = getattr(decision.event, "symbol", "") if decision is not None else ""
    if decision is None or not symbol:
        return None
    until_ms = decision.event.at_ms
    found = market_difference(*(market_of(read_forwards(one.reader), symbol, until_ms) for one in (a, b)))
    if found is None:
        return None
    at_ms = min(event.at_ms for event in found if event is not None)
    return MarketDifference(at_ms, *(one.words_of(event) for one, event in zip((a, b), found, strict=True)))


class _Side:
    """One of the two logs: its reader, and everything folded from it."""

    def __init__(
        self, reader: SqliteLogReader, db: Path, config: Path | None, strategies: Mapping[str, Strategy]
    ) -> None:
        self.reader, self._strategies = reader, strategies
        self._snapshots = SnapshotStore(sibling_path(db, ".snapshots"), lambda _: None, only_looks=True)
        self.folds = ComparedLog(str(db))
        self._explainer = Explainer(reader, config)
        fold([self.folds], read_forwards(reader))

    def words_of(self, event: Event | None) -> str | None:
        """Return an event in words; None for None."""
        return None if event is None else line(event, self.folds.contracts.by_symbol).text

    def reasons(self, decision: Recorded | None, others: Recorded | None) -> DecisionReasons:
        """Return the reasons of this side's decision or, if only the other side decided an entry, why this did not."""
        if decision is None:
            return self._why_not(others.event) if others is not None else DecisionReasons()
        chain = chain_of(decision.seq, self._event, self.folds.contracts.by_symbol)
        return DecisionReasons(
            causes=tuple(self.folds.describe_event(link.recorded) for link in chain.links[1:]),
            conditions=condition_views(self._explainer.explanation(decision).conditions),
        )

    def _event(self, seq: int) -> Recorded:
        return self.reader.read(seq - 1, 1)[0]

    def _why_not(self, event: Event) -> DecisionReasons:
        """Return the conditions of an entry in this log, at the candle at which the other log saw them met."""
        if not isinstance(event, OrderPlaced | OrderRejected):
            return DecisionReasons()
        candle = self._candle(event.symbol, event.at_ms)
        world = None if candle is None else self._world(candle.seq)
        if candle is None or world is None or all(one.strategy.name != event.strategy for one in world.runners):
            return DecisionReasons()
        found = next(one for one in conditions_of(world, event.strategy, event.symbol) if one.side == event.side)
        late = [LATE] if isinstance(candle.event, CandleClosed) and candle.event.timing is Timing.LATE else []
        holds = (*late, *(hold_words(one.reason, one.detail) for one in found.holds))
        return DecisionReasons((self.folds.describe_event(candle),), condition_views(found.conditions), holds)

    def _candle(self, symbol: str, at_ms: int) -> Recorded | None:
        """Return the candle of this log that closed at `at_ms`."""
        for recorded in read_forwards(self.reader):
            event = recorded.event
            if isinstance(event, CandleClosed) and event.symbol == symbol and event.at_ms >= at_ms:
                return recorded if event.at_ms == at_ms else None
        return None

    def _world(self, seq: int) -> EngineState | None:
        """Return the engine's state at `seq`; None if a strategy of the log is not installed."""
        try:
            return recover(self.reader, self._snapshots, self._strategies, seq).state
        except ConfigError:
            return None
