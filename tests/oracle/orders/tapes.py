"""Random markets whose volumes dictate orders of every kind, and the oracle's run over a tape."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.oracle.rounding import Contract, Step
from tests.reducer.random_market import market
from tests.support import NO_LIMITS

from .dictation import Dictation, dictated_volume
from .simulate import Outcome, simulate

if TYPE_CHECKING:
    from papertape.engine.kernel.risk_settings import RiskSettings
    from papertape.engine.research.tape import Tape
    from tests.reducer.random_market import RandomTape, Recipe

    from .questions import Script

GRID = Contract(Step(1, 100), Step(1, 1_000))
Row = tuple[int, float, float, float, float, float, bool]


def dictated_market(recipe: Recipe, share: float = 0.5) -> RandomTape:
    """The market of a recipe, of whose candles a share dictates something."""
    tape, random = market(recipe), Random(recipe.seed)
    for table in tape.candles:
        for place in range(len(table.volume)):
            if random.random() < share:
                table.volume[place] = dictated_volume(random)
    return tape


def at_closes_of(tape: RandomTape, timeframe_ms: int) -> RandomTape:
    """The same market with no volume but in the last candle of each longer one, whose volume is then that."""
    for contract, table in zip(tape.contracts, tape.candles, strict=True):
        for place, time_ms in enumerate(table.open_time_ms):
            if (time_ms + contract.timeframe_ms) % timeframe_ms != 0:
                table.volume[place] = 0.0
    return tape


def settings_of(risk: RiskSettings) -> dict[str, float]:
    """The oracle's settings of an engine's risk."""
    return {name: float(getattr(risk, name)) for name in risk.__struct_fields__}


def rows_of(tape: Tape, late: frozenset[tuple[int, int]] = frozenset()) -> dict[str, list[Row]]:
    """The candles of a tape by symbol, with the mark `late`."""
    return {
        contract.symbol: [
            (t, o, high, low, close, volume, (index, t) in late)
            for t, o, high, low, close, volume in zip(table.open_time_ms, *table.values(), strict=True)
        ]
        for index, (contract, table) in enumerate(zip(tape.contracts, tape.candles, strict=True))
    }


def oracle_run(
    tape: RandomTape,
    script: Script | None = None,
    risk: RiskSettings = NO_LIMITS,
    *,
    units_max: float = 5.0,
    strategy: str = "dictated",
    timeframe_ms: int = 60_000,
) -> Outcome:
    """The oracle's run of a tape."""
    symbols = [contract.symbol for contract in tape.contracts]
    rates = {s: list(zip(t.time_ms, t.value, strict=True)) for s, t in zip(symbols, tape.funding, strict=True) if t}
    return simulate(
        rows_of(tape, tape.late),
        script or Dictation(),
        contracts=dict.fromkeys(symbols, GRID),
        funding=rates,
        settings=settings_of(risk),
        start_ms=tape.start_ms,
        strategy=strategy,
        units_max=units_max,
        timeframe=timeframe_ms,
        base=tape.contracts[0].timeframe_ms,
    )
