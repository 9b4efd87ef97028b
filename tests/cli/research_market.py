"""A small market and a strategy of one's own, for studies that take CPython a second."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.cli.arguments import expand
from papertape.events.units import HOUR_MS
from tests.build import DAY_0_MS

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

DAY_CANDLES = 24
SOURCE = '''
"""Follow every candle of a large volume."""

from typing import Annotated

from msgspec import Struct

from papertape.engine.kernel.answers import Answer
from papertape.engine.kernel.parameters import between, positive
from papertape.engine.kernel.view import View

NAME = "follower"
SERIES = ("1h",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """The volume that is followed, and how far away stop and target are."""

    volume: Annotated[float, between(0.0, 1000.0, "coins", "least volume")] = 80.0
    sl_percent: Annotated[float, positive(50.0, "%", "stop")] = 0.5
    tp_percent: Annotated[float, positive(50.0, "%", "target")] = 0.5
    history: Annotated[int, between(1, 500, "candles", "candles before the first entry")] = 1


class Reading(Struct):
    """The number behind a decision."""

    volume: float = 0.0


def needs(params: Parameters) -> int:
    """Return the candles before the first entry."""
    return params.history


def enter(view: View, params: Parameters, answer: Answer) -> int:
    """Enter in the direction of a candle of a large volume."""
    candle = view.candle
    answer.reading.volume = candle.volume
    answer.stop_fraction = params.sl_percent / 100.0
    answer.target_fraction = params.tp_percent / 100.0
    if candle.volume < params.volume:
        return 0
    return 1 if candle.close > candle.open else -1
'''


def write_market(folder: Path, days: int = 8, seed: int = 3, holes: int = 0) -> Path:
    """Write the strategy, a configuration that finds it, and candles around 100 as x.csv; the configuration."""
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "follower.py").write_text(SOURCE)
    (folder / "papertape.toml").write_text("[strategies]\nfolders = ['own']\n")
    chance, price = random.Random(seed), 100.0
    rows = ["open_time_ms,open,high,low,close,volume"]
    for number in range(days * DAY_CANDLES):
        close = round(price * (1.0 + chance.uniform(-0.006, 0.006)), 2)
        high, low = max(price, close) + chance.uniform(0.0, 0.2), min(price, close) - chance.uniform(0.0, 0.2)
        row = f"{price:.2f},{high:.2f},{low:.2f},{close:.2f},{chance.uniform(1.0, 100.0):.1f}"
        if not DAY_CANDLES <= number < DAY_CANDLES + holes:
            rows.append(f"{DAY_0_MS + number * HOUR_MS},{row}")
        price = close
    (folder / "x.csv").write_text("\n".join(rows) + "\n")
    return folder / "papertape.toml"


def sweep_line(folder: Path, *more: str, vary: tuple[str, ...] = ("sl_percent=0.4,0.8", "volume=50,60")) -> list[str]:
    """Return the arguments of a sweep over the market in a folder, in this process and CPython."""
    varied = [part for one in vary for part in ("--vary", one)]
    market = [
        "--strategy",
        "follower",
        "--candles",
        f"X={folder / 'x.csv'}",
        "--config",
        f"{folder / 'papertape.toml'}",
    ]
    return ["sweep", *market, *varied, "--engine", "python", "--jobs", "1", *more]


def call(*arguments: str) -> Result:
    """Run a command line in this process."""
    return CliRunner().invoke(app, expand(arguments))


def lines_of(result: Result) -> list[dict[str, Any]]:
    """Return the lines of JSON that a command printed."""
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


def study_of(result: Result) -> dict[str, Any]:
    """Return the line with the verdict, the last one."""
    assert result.exit_code in (0, 1), result.output
    study = lines_of(result)[-1]
    assert study["type"] == "study"
    return study
