"""Every rule of the contract that the source alone can prove, each by a small file that breaks it."""
# ruff: noqa: E501 - one case is one line

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.engine.contract.source_check import check_source, fault_of
from papertape.engine.strategy_registry import load_strategies
from papertape.events.errors import ConfigError
from tests.contract.strategy_file import GOOD, changed, with_line
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


def breaches(text: str) -> list[str]:
    """What is found, as it is shown."""
    return [one.on_one_line("f.py") for one in check_source(text)]


def test_a_file_that_keeps_the_contract_is_not_complained_about(tmp_path: Path) -> None:
    assert breaches(GOOD) == []
    (tmp_path / "fallen.py").write_text(GOOD, encoding="utf-8")
    assert "fallen" in load_strategies([tmp_path])


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "engine/strategies").glob("[a-z]*.py")), ids=lambda path: path.stem
)
def test_the_built_in_strategies_keep_the_contract(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8")) == []


# ---------------------------------------------------------------- the file as a whole


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import time", "import time: a strategy knows no clock: use view.now_ms"),
        ("from datetime import datetime", "import datetime: a strategy knows no clock"),
        ("import random", "import random: a strategy knows no chance"),
        ("import numpy as np", "import numpy: hooks work on numbers, not on arrays"),
        ("import requests", "import requests: a strategy imports only papertape.engine.kernel"),
        ("import math", "import math: only sqrt gives the same bits on every machine: from math import sqrt"),
        ("from math import exp", "math.exp: differs between machines or engines"),
        ("from engine.core import x", "import engine.core: import from papertape.engine.kernel"),
        (
            "from papertape.engine.startup import x",
            "import papertape.engine.startup: import from papertape.engine.kernel",
        ),
        (
            "from papertape.engine.kernel.indicators import update_rs",
            "import update_rs: is not in papertape.engine.kernel.indicators; did you mean update_rsi?",
        ),
        ("from papertape.engine.kernel.nowhere import x", "papertape.engine.kernel.nowhere does not exist"),
        ("from papertape.engine.kernel.codes import *", "name what you import"),
        ("CACHE = []", "CACHE: a global that can change would outlive a candle"),
        ("CACHE = {}", "CACHE: a global that can change would outlive a candle"),
        ("CACHE = dict()", "CACHE: a global that can change would outlive a candle"),
        ("for i in range(3): pass", "this runs when the file is loaded"),
        ("log = open('x')", "open: a strategy does no I/O"),
        ("SIGNAL = ()", "SIGNAL: nobody reads it; did you mean SIGNALS?"),
        ("TIMEFRAME_MS = 3", 'TIMEFRAME_MS: is now SERIES = ("5m",)'),
        ("def settle(state): pass", "settle: is now `on_funding`"),
        ("def f(x, seen=[]): pass", "f: a default that can change would outlive a candle"),
        ("class Helper: pass", "Helper: is not a Struct"),
        ("async def later(): pass", "later: hooks are not async"),
    ],
)
def test_a_line_at_the_top_that_breaks_the_contract_is_named(line: str, says: str) -> None:
    got = breaches(f"{GOOD}{line}\n")
    assert len(got) == 1, got
    assert got[0].startswith(f"f.py:{len(GOOD.splitlines()) + 1}: "), got
    assert says in got[0]


def test_a_misspelled_hook_is_named_with_the_right_one() -> None:
    got = breaches(changed("def on_funding(", "def on_fundig("))
    assert [line.partition(": ")[2] for line in got] == ["on_fundig: nobody reads it; did you mean on_funding?"]


def test_a_hook_with_other_parameters_is_told_which_it_takes() -> None:
    got = breaches(changed("def enter(view, params, answer)", "def enter(state, view, params, answer)"))
    assert any("enter: takes (view, params, answer), this one takes 4 parameters" in line for line in got), got


def test_a_file_that_is_not_python_is_named_by_line() -> None:
    assert breaches("NAME = 'x'\ndef enter(:\n") == ["f.py:2: is not Python: invalid syntax"]


# ---------------------------------------------------------------- Structs


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    fallen: int = 0\n    mean: float = 0.0\n    top", "    fallen: bool = False\n    top", "write int, 0 or 1"),
        ("    fallen: int = 0\n    mean: float = 0.0\n    top", "    fallen: str = ''\n    top", "State.fallen: its type is str"),
        ("    fallen: int = 0\n    mean: float = 0.0\n    top", "    fallen: list[int] = []\n    top", "lists do not fit"),
        ("    fallen: int = 0\n    mean: float = 0.0\n    top", "    fallen: int\n    top", "State.fallen: has no default"),
        ("    candles: int = 3", "    candles: int = 3.0", "an int with the default 3.0: write 3, or declare a float"),
        ('"stop")] = 0.5', '"stop")] = 1', "Parameters.stop_percent: a float with the default 1: write 1.0"),
        ("field(default_factory=Donchian)", "0", "write field(default_factory=TYPE)"),
        ("    candles: int = 3", "    candles: int = 3\n\n    def double(self): return 2", "double is a method"),
        ("class Reading(Struct)", "class Readings(Struct)", "Reading: `Reading` is missing"),
    ],
)  # fmt: skip
def test_a_field_that_is_no_number_with_a_default_of_its_type_is_named(old: str, new: str, says: str) -> None:
    got = breaches(changed(old, new))
    assert any(says in line for line in got), got


def test_a_parameter_is_no_text() -> None:
    text = changed("    candles: int = 3", '    candles: int = 3\n    leader: str = "BTCUSDT"')
    assert any("Parameters.leader: its type is str" in line for line in breaches(text))


# ---------------------------------------------------------------- what a hook may change


@pytest.mark.parametrize(
    ("hook", "line", "says"),
    [
        ("observe", "view.candle.close = 1.0", "view.candle.close is read-only: observe changes view.state only"),
        ("observe", "view.m5.bars[3].close = 1.0", "view.m5.bars[3].close is read-only"),
        ("observe", "market = view.market; market.rate = 0.0", "view.market.rate is read-only"),
        ("observe", "params.candles = 3", "params.candles is read-only"),
        ("observe", "a, view.market.rate = 1, 2.0", "view.market.rate is read-only"),
        ("observe", "view.market.rate += 1.0", "view.market.rate is read-only"),
        ("observe", "_forget(view.market)", "view.market.mean is read-only"),
        ("observe", "(view.state if params.candles else view.market).mean = 0.0", "may be read-only"),
        ("observe", "update_donchian(view.m5.bars[0], view.m5, 2)", "view.m5.bars[0] is read-only"),
        ("on_funding", "view.candle.close = 1.0", "view.candle.close is read-only"),
        ("enter", "view.state.fallen = 0", "view.state.fallen is the state, and enter changes none: move it in observe"),
        ("enter", "state = view.state; state.fallen += 1", "view.state.fallen is the state"),
        ("enter", "_forget(view.state)", "view.state.mean is the state"),
        ("enter", "update_donchian(view.state.top, view.m5, 2)", "view.state.top is the state"),
        ("enter", "position = view.position; position.stop_price_usdt = 1.0", "view.position.stop_price_usdt is read-only"),
        ("enter", "view.account.cash_usdt = 1e9", "view.account.cash_usdt is read-only: enter changes answer only"),
        ("leave", "view.state.fallen = 0", "view.state.fallen is the state"),
        ("read", "view.state.fallen = 0", "view.state.fallen is the state"),
        ("explain", "reading.fallen = 0", "reading.fallen is read-only: explain changes nothing"),
        ("needs", "params.candles = 0", "params.candles is read-only"),
        ("observe", "enter.count = 1", "enter.count is a global"),
        ("observe", "WEIGHTS[0] = 1.0", "WEIGHTS[...] is a global"),
        ("observe", "global WEIGHTS; WEIGHTS = 1", "WEIGHTS: a global that changes would outlive a candle"),
    ],
)  # fmt: skip
def test_a_change_of_what_is_not_the_hooks_own_is_named(hook: str, line: str, says: str) -> None:
    got = breaches(with_line(hook, line))
    assert any(says in one and (f": {hook}: " in one or "WEIGHTS" in one) for one in got), got


# ---------------------------------------------------------------- types and names


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("view.state.fallen = view.candle.close", "view.state.fallen is an int but is given a float"),
        ("view.state.fallen /= 2", "view.state.fallen is an int but is given a float"),
        ("view.state.fallen = 1 if view.candle.close > 1.0 else 2.0", "is an int but may be given a float"),
        ("view.state.fallen = view.candle.close > 1.0", "is given a truth value: write 1 if ... else 0"),
        ("view.state.mean = 0", "view.state.mean is a float but is given an int: write 0.0"),
        ("view.state.mean = view.candle.row", "is a float but is given an int: write float(...)"),
        ("view.state.mean = min(1, view.candle.close)", "is a float but may be given an int"),
        ("view.state.top = view.state.top", "view.state.top is a Struct, which CPython shares"),
        ("view.state.falen = 1", "view.state.falen does not exist; did you mean fallen?"),
        ("view.state.mean = view.candel.close", "view.candel does not exist; did you mean candle?"),
        ("view.state.mean = view.h1.candle.close", "view.h1 does not exist; there are now_ms, candle, m5, m15"),
        ("view.state.mean = view.position.quantity_base", "view.position does not exist"),
        ("view.state.mean = params.stop_procent", "params.stop_procent does not exist; did you mean stop_percent?"),
        ("view.state.mean = fallen", "fallen is not defined"),
        ("view.state.mean = squrt(2.0)", "squrt is not defined; did you mean sqrt?"),
        ("view.state.mean = view.m5.bars[1.5].close", "the index may be a float: write int(...)"),
        ("_forget(view.state, 1)", "_forget takes 1 arguments, not 2"),
        ("update_donchian(view.state.top)", "update_donchian(...): missing a required argument: 'series'"),
        ("view.state.mean = view.candle.close.value", "view.candle.close is a number, it has no fields"),
    ],
)
def test_a_wrong_type_or_name_is_named(line: str, says: str) -> None:
    got = breaches(with_line("observe", line))
    assert any(says in one for one in got), got


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "        return 0\n    answer",
            "        return False\n    answer",
            "enter: returns a bool: return 1, -1 or 0",
        ),
        ("    return 1\n", "    return 1.0\n", "enter: returns a number: return 1, -1 or 0"),
        ("answer.target_fraction", "answer.target_fracton", "did you mean target_fraction?"),
        ("reading.mean = view", "reading.men = view", "reading.men does not exist; did you mean mean?"),
        (
            "float(reading.fallen)",
            "float(reading.falen)",
            "explain: reading.falen does not exist; did you mean fallen?",
        ),
    ],
)
def test_a_wrong_answer_is_named(old: str, new: str, says: str) -> None:
    got = breaches(changed(old, new))
    assert any(says in one for one in got), got


# ---------------------------------------------------------------- the part of Python that compiles


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x = view.candle.close ** 2", "** differs in the last bit when compiled"),
        ("x = [1, 2]", "a hook makes no list"),
        ("x = {1: 2}", "a hook makes no dict"),
        ("x = [i for i in range(3)]", "a hook has no comprehension"),
        ("x = 'text'", "a hook has no text"),
        ("x = f'{params.candles}'", "a hook makes no text"),
        ("x = lambda: 1", "a hook has no lambda"),
        ("assert params.candles", "a hook asserts nothing"),
        ("raise ValueError", "a hook raises nothing"),
        ("x = params.candles in (1, 2)", "compiled code knows no `in`"),
        ("x = params.candles is 1", "numbers have no identity"),
        ("x = view.m5.bars[1:3]", "a ring has no slices"),
        ("x = round(view.candle.close)", "round does not compile: write int(x + 0.5)"),
        ("x = sum(WEIGHTS)", "sum does not compile: add in a loop"),
        ("x = sorted(WEIGHTS)", "sorted does not compile: hooks call abs, min, max"),
        ("x = Donchian()", "Donchian(...) makes a Struct"),
        ("view.m5.bars.append(1)", "values in a hook have no methods"),
        ("import os", "import at the top of the file"),
        ("x = (lambda: 1)()", "a hook has no lambda"),
        ("exec('x = 1')", "exec: the source must show what runs"),
        ("x = view.__class__", "__class__: a strategy reads fields, not Python's internals"),
    ],
)
def test_python_that_does_not_run_alike_in_both_engines_is_named(line: str, says: str) -> None:
    got = breaches(with_line("observe", line))
    assert any(says in one for one in got), got


def test_a_loop_over_anything_but_a_range_is_named() -> None:
    got = breaches(changed("for back in range(3):", "for back in view.m5.bars:"))
    assert any("loop over range(...)" in one for one in got), got


def test_a_function_that_calls_itself_is_named() -> None:
    got = breaches(changed("    state.mean = 0.0\n", "    state.mean = 0.0\n    _forget(state)\n"))
    assert any("_forget calls itself" in one for one in got), got


def test_functions_that_only_cpython_runs_may_use_all_of_python() -> None:
    assert breaches(with_line("explain", "names = {str(value): [value] for value in WEIGHTS}")) == []


# ---------------------------------------------------------------- loading


def test_a_file_that_breaks_the_contract_is_refused_in_one_line_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    text = with_line("enter", "view.state.fallen = 0").replace("WEIGHTS =", "open('ran', 'w')\nWEIGHTS =")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_strategies([tmp_path])
    assert str(raised.value).startswith(f"strategy {path}:20: this runs when the file is loaded")
    assert str(raised.value).endswith(f"(2 more: papertape check {path})")
    assert not (tmp_path / "ran").exists()


def test_a_file_that_prints_may_run_in_cpython(tmp_path: Path) -> None:
    text = with_line("enter", 'print("fallen", view.state.fallen)')
    (only,) = check_source(text)
    assert only.runs_in_python
    assert only.text == "print does not compile: run with --engine python, or put the number into the reading"
    (tmp_path / "prints.py").write_text(text, encoding="utf-8")
    assert fault_of(tmp_path / "prints.py") == ""


def test_a_file_without_a_name_is_no_strategy(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import os\n", encoding="utf-8")
    assert fault_of(tmp_path / "helper.py") == ""


def test_a_reference_has_the_series_of_the_strategy_and_its_age() -> None:
    looks = "    return ['old'] if view.leader.m5.candle.close > 0.0 and view.leader.close_ms < view.now_ms else []\n"
    text = f'{GOOD}REFERENCES = {{"leader": "BTCUSDT"}}\n\n\ndef holds(view, params):\n{looks}'
    assert breaches(text) == []
    wrong = breaches(text.replace("view.leader.m5", "view.leader.h1"))
    assert any("view.leader.h1 does not exist" in line for line in wrong), wrong
