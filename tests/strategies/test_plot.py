"""What a chart cannot draw is refused by name when a strategy's file is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from papertape.engine.kernel.strategy import PRICE
from papertape.engine.strategy_registry import load_strategies, load_strategy
from papertape.events.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples" / "strategies"
FILE = '''"""Reads twenty numbers."""
from msgspec import Struct, defstruct
NAME = "own"
SERIES = ("5m",)
PLOT = {plot}
class Parameters(Struct, frozen=True):
    """Nothing to choose."""
class Reading(Struct):
    """What it saw."""
    vwap: float = 0.0
    rsi: float = 0.0
    a: float = 0.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0
    g: float = 0.0
def {read}(view, params, reading):
    """Fill in one number."""
    reading.vwap = view.candle.close
def enter(view, params, answer):
    """Wait."""
    return 0
'''
NINE = dict.fromkeys(("vwap", "rsi", *"abcdefg"), PRICE)
FOUR_PANES = {"a": "pane", "b": "pane:b", "c": "pane:c", "d": "pane:d"}


def own_file(folder: Path, plot: object, read: str = "read") -> Path:
    """Write a strategy with this PLOT."""
    path = folder / "own.py"
    path.write_text(FILE.format(plot=repr(plot), read=read))
    return path


@pytest.mark.parametrize(
    ("plot", "words"),
    [
        ({"vwpa": "price"}, "Reading has no field 'vwpa'; did you mean vwap?"),
        ({1: "price"}, "Reading has no field 1; there are vwap, rsi, a, b, c, d, e, f, g"),
        (
            {"vwap": "prise"},
            'vwap: the places are "price", "pane" and "pane:TITLE", not \'prise\'; did you mean price?',
        ),
        ({"vwap": "pane:"}, 'vwap: the places are "price", "pane" and "pane:TITLE", not \'pane:\'; did you mean pane?'),
        ({"vwap": 1}, 'vwap: the places are "price", "pane" and "pane:TITLE", not 1; there are price, pane'),
        (["vwap"], 'must be a dict, as in {"vwap": "price", "rsi": "pane"}, not [\'vwap\']'),
        (NINE, "draws at most 8 readings, in at most 3 panes"),
        (FOUR_PANES, "draws at most 8 readings, in at most 3 panes"),
    ],
)
def test_what_no_chart_can_draw_is_refused_in_one_line(tmp_path: Path, plot: object, words: str) -> None:
    path = own_file(tmp_path, plot)
    with pytest.raises(ConfigError) as refused:
        load_strategy(path)
    assert str(refused.value) == f"strategy {path}: PLOT: {words}"


def test_a_plot_without_read_is_refused(tmp_path: Path) -> None:
    path = own_file(tmp_path, {"vwap": "price"}, read="_fill")
    with pytest.raises(ConfigError, match=r"PLOT: needs `read\(view, params, reading\)`, which fills in the numbers"):
        load_strategy(path)
    assert load_strategy(own_file(tmp_path, {}, read="_fill")).plot == ()


def test_a_plot_keeps_the_order_of_its_file(tmp_path: Path) -> None:
    plot = {"rsi": "pane:Fast and slow", "vwap": "price", "a": "pane"}
    assert load_strategy(own_file(tmp_path, plot)).plot == tuple(plot.items())


def test_the_strategies_that_ship_draw_what_they_decide_on() -> None:
    plots = {name: dict(one.plot) for name, one in load_strategies([EXAMPLES]).items()}
    assert plots["vwap_rsi"] == {"vwap": "price", "rsi": "pane"}
    assert {name for name, plot in plots.items() if plot} == {
        *("vwap_rsi", "momentum", "funding", "liquidation", "bollinger_steps", "follow_signals", "funding_carry"),
    }
