"""`papertape check`, and what a backtest says of a strategy's file that breaks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.contract.strategy_file import GOOD, changed, with_line
from tests.engine.processes import papertape

pytestmark = pytest.mark.system

DAY_MS, MINUTE_MS = 1_735_689_600_000, 60_000
MIXED = """    candle = view.candle
    for back in range(3):
        candle = view.m5.bars[back] if back > 1 else view.candle
    view.state.mean = candle.close
"""


def written(folder: Path, text: str) -> Path:
    """A strategy's file, with a configuration and a day of candles beside it."""
    (folder / "mine").mkdir()
    path = folder / "mine" / "fallen.py"
    path.write_text(text, encoding="utf-8")
    (folder / "papertape.toml").write_text("[strategies]\nfolders = ['mine']\n", encoding="utf-8")
    rows = [f"{DAY_MS + n * MINUTE_MS},100.0,100.1,99.9,{100.0 - n % 7 / 100},10\n" for n in range(1_441)]
    (folder / "btc.csv").write_text("open_time_ms,open,high,low,close,volume\n" + "".join(rows), encoding="utf-8")
    return path


def backtest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a backtest of the strategy."""
    done = papertape(folder, "backtest", "--candles", "BTCUSDT=btc.csv", "--strategy", "fallen", *arguments)
    return done.returncode, done.stderr


def compiling() -> None:
    """Skip a test without the extra `research`; with it, wait until what all strategies share is compiled."""
    pytest.importorskip("numba", reason="the extra `research` is not installed: nothing is compiled")
    from tests.research.ways import compile_shared  # noqa: PLC0415 - belongs to an extra

    compile_shared()


def test_a_file_that_breaks_the_contract_is_shown_line_by_line(tmp_path: Path) -> None:
    path = written(tmp_path, with_line("enter", "view.state.fallen = 0; view.state.mean = 0"))
    done = papertape(tmp_path, "check", str(path))
    assert done.returncode == 1, done.stderr
    assert "✗  source" in done.stdout
    line = (
        with_line("enter", "view.state.fallen = 0; view.state.mean = 0")
        .splitlines()
        .index("    view.state.fallen = 0; view.state.mean = 0")
    )
    assert f"{path}:{line + 1}: enter: view.state.fallen is the state, and enter changes none" in done.stdout
    assert f"{path}:{line + 1}: enter: view.state.mean is a float but is given an int: write 0.0" in done.stdout
    assert "1 promise broken" in done.stdout


def test_a_file_that_does_not_exist_is_a_wrong_usage(tmp_path: Path) -> None:
    done = papertape(tmp_path, "check", "nowhere.py")
    assert done.returncode == 2
    assert done.stderr.startswith("error: check nowhere.py: ")


def test_every_promise_of_a_good_file_is_kept_in_both_engines(tmp_path: Path) -> None:
    compiling()
    done = papertape(tmp_path, "check", str(written(tmp_path, GOOD)), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["kept"]
    assert report["breaches"] == []
    assert {one["name"]: one["kept"] for one in report["promises"]} == dict.fromkeys(
        ("source", "runs without errors", "same in both engines", "changes only its own", "kill and resume",
         "no look-ahead", "speed", "trades"), True,
    )  # fmt: skip
    numbers = {one["name"]: one["numbers"] for one in report["promises"]}
    assert re.search(r"CPython [\d,]+, compiled [\d,]+ facts/s", numbers["speed"])


def test_a_hook_that_raises_is_named_in_one_line_by_both_engines(tmp_path: Path) -> None:
    compiling()
    path = written(tmp_path, with_line("observe", "view.state.mean = view.m5.bars[600].close"))
    code, python = backtest(tmp_path, "--engine", "python")
    assert code == 1
    line = path.read_text(encoding="utf-8").splitlines().index("    view.state.mean = view.m5.bars[600].close") + 1
    assert python == (
        f"error: fallen: observe failed at fallen.py:{line} on BTCUSDT, 2025-01-01 00:05 UTC: "
        "IndexError: list index out of range\n"
    )
    code, compiled = backtest(tmp_path, "--engine", "compiled")
    assert code == 1
    assert compiled.replace("note: compiling fallen ...\n", "") == python


def test_what_cannot_be_compiled_is_named_in_one_line_and_the_rest_is_in_a_file(tmp_path: Path) -> None:
    compiling()
    path = written(tmp_path, with_line("observe", MIXED.strip()))
    code, said = backtest(tmp_path, "--engine", "compiled")
    assert code == 4
    *_, last = said.splitlines()
    assert [one for one in said.splitlines() if not one.startswith("note: compiling")] == [last]
    found = re.fullmatch(rf"error: strategy {path}:\d+: observe: Cannot unify .*\(numba's whole text: (.*)\)", last)
    assert found is not None, last
    assert len(Path(found[1]).read_text(encoding="utf-8").splitlines()) > 20


def test_a_strategy_that_prints_runs_in_cpython_and_is_told_so_where_it_cannot(tmp_path: Path) -> None:
    path = written(tmp_path, changed("    state.mean = sqrt", '    print("mean", mean)\n    state.mean = sqrt'))
    done = papertape(tmp_path, "backtest", "--candles", "BTCUSDT=btc.csv", "--strategy", "fallen")
    assert done.returncode == 0, done.stderr
    assert "mean " in done.stdout
    assert ", python (" in done.stdout
    compiling()
    code, said = backtest(tmp_path, "--engine", "compiled")
    assert code == 4
    assert re.fullmatch(
        rf"error: strategy {path}:\d+: observe: print does not compile: run with --engine python, .*\n", said
    )
