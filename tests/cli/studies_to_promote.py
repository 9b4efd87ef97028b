"""Studies of momentum that can be promoted: with the code that is installed, a verdict and a promise."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import asdict, replace

from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.engine.strategy_registry import code_digest, load_strategies
from papertape.projections.studies.document import Axis, Document, PromisedResult, Verdict
from tests.studies_file import document, plan, values_of, write_study

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.projections.studies.document import Outcome

AXES: Final = (Axis("breakout_lookback", (20, 30), "candles"), Axis("sl_percent", (0.2, 0.4), "%"))
CHOSEN: Final = 3
"""breakout_lookback = 30, sl_percent = 0.4, and tp_percent = 0.8 by the study's link."""
KEY: Final = "8c1f02d7e4b96a35"
CODE: Final = code_digest([load_strategies()["momentum"]])
PROMISE: Final = PromisedResult(
    trades_per_day=1.25,
    win_rate=0.44,
    mean_r=0.21,
    cost_per_trade_r=0.08,
    drawdown_95_fraction=0.12,
    bands_r=tuple((-1.0 * n, -0.5 * n, 0.2 * n, 0.5 * n, 0.9 * n) for n in range(1, 501)),
    lowest_r=tuple(-2.0 * n for n in range(1, 501)),
)
HEADLINE: Final = "The best of 4 sets by luck."


def conclusions(
    outcome: Outcome = "BET", chosen: int | None = CHOSEN, promise: PromisedResult | None = PROMISE
) -> Document:
    """Return conclusions with a verdict about one set."""
    values = {} if chosen is None else values_of(AXES, chosen)
    verdict = Verdict(outcome, HEADLINE, "" if outcome == "BET" else "deflated", (), chosen, values, 4)
    return replace(document(AXES), verdict=verdict, promise=promise)


def write(folder: Path, concluded: Document | None, state: str = "complete", **changes: Any) -> Path:
    """Write the study `momentum-btc` beside the log of a configuration in `folder`; `changes` are those of its plan."""
    path = write_study(folder / "data" / "studies", "momentum-btc", axes=AXES, state=state, concluded=concluded)
    fields = {"code_digest": CODE, "parameters": {}, "risk": asdict(RiskSettings()), "warnings": ()} | changes
    content = msgspec.json.encode(replace(plan("momentum-btc", AXES), **fields)).decode()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE study SET plan = ?", (content,))
    return path
