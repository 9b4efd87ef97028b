"""Adding a strategy is dropping one file into a folder, and nothing else."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from papertape.engine.runner_settings import RunnerSettings, configuration, split_by_timeframe, validate_parameters
from papertape.engine.strategy_registry import BUILT_IN_ORDER, code_digest, load_strategies, loop_digest
from papertape.events.errors import ConfigError
from papertape.events.facts import RunnerConfigured
from tests.build import listed
from tests.research.processes import asked
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="the extra `research` is not installed: nothing is compiled"
)
DROPPED = '''"""Follow a close that leaves its mean behind."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from papertape.engine.kernel.codes import FIRST_EXIT_REASON, NO_REASON

NAME = "dropped"
SERIES = ("5m",)
EXIT_REASONS = ("old",)


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    """Its one number."""

    distance_percent: Annotated[float, Meta(gt=0.0, le=50.0, extra={"unit": "%"})] = 0.5


class State(Struct):
    """A mean and the candles in it."""

    mean: float = 0.0
    candles: int = 0


class Reading(Struct):
    """The mean."""

    mean: float = 0.0


def observe(view, params):
    view.state.candles += 1
    view.state.mean = view.state.mean + (view.candle.close - view.state.mean) / min(20, view.state.candles)


def enter(view, params, answer):
    away = view.candle.close / view.state.mean - 1.0
    if abs(away) * 100.0 < FACTOR * params.distance_percent:
        return 0
    answer.stop_fraction = 0.01
    answer.target_fraction = 0.02
    answer.score = min(1.0, abs(away))
    answer.reading.mean = view.state.mean
    return 1 if away > 0.0 else -1


def leave(view, params, answer):
    answer.reading.mean = view.state.mean
    return FIRST_EXIT_REASON if view.state.candles % 7 == 0 else NO_REASON
'''


def drop(folder: Path, factor: str = "1.0", name: str = "dropped.py") -> Path:
    """The file in its folder."""
    (folder / name).write_text(DROPPED.replace("FACTOR", factor), encoding="utf-8")
    return folder


def test_the_built_in_strategies_come_first_in_their_order() -> None:
    assert tuple(load_strategies()) == BUILT_IN_ORDER


def test_a_dropped_file_is_found_with_its_parameters_and_can_be_configured(tmp_path: Path) -> None:
    strategies = load_strategies([drop(tmp_path)])
    assert tuple(strategies) == (*BUILT_IN_ORDER, "dropped")
    assert strategies["dropped"].exit_reasons == ("old",)
    (_, configured) = configuration(strategies, [listed("X")], {"dropped": RunnerSettings({"distance_percent": 2.0})})
    assert isinstance(configured, RunnerConfigured)
    assert configured.parameters == {"distance_percent": 2.0}


@needs_numba
@pytest.mark.system
@pytest.mark.parametrize("beside", [[], pytest.param(["funding"], marks=pytest.mark.slow)], ids=["alone", "beside"])
def test_it_runs_compiled_as_in_python_and_an_edit_of_it_is_seen(tmp_path: Path, beside: list[str]) -> None:
    """Processes share one cache of compiled code; between the last two one number in its `enter` is edited.

    Beside it runs a loop that another process compiled. numba counts names from 1 in each process: without care
    the two would bear the same ones, and one would run in place of the other. `tests/research/test_cache.py` shows
    that of two smaller loops.
    """
    (tmp_path / "strategies").mkdir()
    cache, subject = tmp_path / "cache", ["-m", "tests.research.subject"]
    from tests.research.ways import copy_shared  # noqa: PLC0415 - belongs to an extra

    copy_shared(cache)
    environment = {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in beside:
        assert asked([*subject, "loops", name], environment) == [True]
    found = []
    for factor in ("1.0", "1.6"):
        folder = drop(tmp_path / "strategies", factor)
        found.append(asked([*subject, "folder", str(folder), *beside], environment))
    for name in (*beside, "dropped"):
        assert len([*cache.rglob(f"*make_advance*{name}*.nbi")]) == 1, "a strategy has a file of its own in the cache"
    for name in beside:
        assert len([*cache.rglob(f"*make_advance*{name}*.nbc")]) == 1, "the built-in loop is compiled once"
    for one in found:
        assert one["loops"] == [True] * len(beside)
        assert one["names"] == [*BUILT_IN_ORDER, "dropped"]
        assert one["compiled"] == one["python"]
        assert one["python_count"] > 20
    assert found[0]["compiled"] != found[1]["compiled"], "the compiled loop is that of before the edit"


def test_an_edit_changes_the_digest_of_the_code(tmp_path: Path) -> None:
    before = code_digest(load_strategies([drop(tmp_path)]).values())
    assert code_digest(load_strategies([drop(tmp_path)]).values()) == before
    assert code_digest(load_strategies([drop(tmp_path, "1.5")]).values()) != before


def test_an_edit_of_an_owners_file_leaves_the_built_in_loops_compiled(tmp_path: Path) -> None:
    before, after = (load_strategies([drop(tmp_path, factor)]) for factor in ("1.0", "1.5"))
    assert loop_digest(before["momentum"]) == loop_digest(after["momentum"])
    assert loop_digest(before["dropped"]) != loop_digest(after["dropped"])


def test_an_edit_of_one_owners_file_leaves_the_loops_of_the_others_compiled(tmp_path: Path) -> None:
    drop(tmp_path)
    (tmp_path / "other.py").write_text(
        DROPPED.replace("FACTOR", "1.0").replace('"dropped"', '"other"'), encoding="utf-8"
    )
    before = load_strategies([tmp_path])
    after = load_strategies([drop(tmp_path, "1.5")])
    assert loop_digest(before["other"]) == loop_digest(after["other"])
    assert loop_digest(before["dropped"]) != loop_digest(after["dropped"])


def test_a_file_without_a_name_is_no_strategy(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 1\n", encoding="utf-8")
    (tmp_path / "_private.py").write_text("raise RuntimeError\n", encoding="utf-8")
    assert tuple(load_strategies([tmp_path])) == BUILT_IN_ORDER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def (", "SyntaxError"),
        ("import not_there_at_all", "not_there_at_all"),
        ("NAME = UNKNOWN", "is missing"),
        ('NAME = "x"\nclass Parameters(Struct): ...\nclass Reading(Struct): ...', "`SERIES` is missing"),
        (
            DROPPED.replace("FACTOR", "1.0").replace('("5m",)', '("7m",)'),
            "SERIES must be a tuple of 1 to 4 different timeframes",
        ),
        (DROPPED.replace("FACTOR", "1.0").replace('("5m",)', '("5m", "5m")'), "SERIES must be a tuple of 1 to 4"),
        (DROPPED.replace("FACTOR", "1.0").replace('("5m",)', '"5m"'), "SERIES must be a tuple of 1 to 4"),
        (DROPPED.replace("FACTOR", "1.0").replace("def enter(", "def entering("), "`enter` is missing"),
        (DROPPED.replace("FACTOR", "1.0").replace("class Reading", "class Numbers"), "`Reading` is missing"),
        ("VALUE = {}['key']", "KeyError"),
        ("VALUE = 1 / 0", "ZeroDivisionError"),
        ("raise RuntimeError('no')", "RuntimeError"),
        ("open('/nowhere/at/all')", "FileNotFoundError"),
    ],
)
def test_a_broken_file_is_refused_by_its_name(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.py") as refused:
        load_strategies([tmp_path])
    assert says in str(refused.value)


FORMER = """
from msgspec import Struct

NAME, TIMEFRAME_MS, FILTER_TIMEFRAME_MS = "former", 300_000, 900_000


class Parameters(Struct): ...


class Reading(Struct): ...


def observe(state, main, bars, params): ...


def settle(state, time_ms, rate, params): ...


def enter(state, market, main, filtered, desk, params, decision): ...


def leave(state, market, main, filtered, desk, profit_usdt, params, decision): ...
"""


def test_a_file_for_an_earlier_version_is_told_what_to_change(tmp_path: Path) -> None:
    (tmp_path / "former.py").write_text(FORMER, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load_strategies([tmp_path])
    says = str(refused.value)
    assert says.startswith(f"strategy {tmp_path / 'former.py'}: written for an earlier version: ")
    for change in (
        'TIMEFRAME_MS is now SERIES = ("5m",); ',
        'FILTER_TIMEFRAME_MS is now the second of SERIES = ("5m", "15m"); ',
        "settle is now `on_funding`; ",
        "observe takes (view, params), this one takes 4 parameters; ",
        "leave takes (view, params, answer), this one takes 8 parameters; ",
    ):
        assert change in says
    assert says.endswith("; docs/strategies.md has the whole contract")


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        DROPPED.replace("FACTOR", "1.0").replace('"dropped"', '"momentum"'), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match=r"mine\.py.*'momentum' is taken"):
        load_strategies([tmp_path])


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_strategies([tmp_path / "nowhere"])


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"breakout_lookbak": 20}, "momentum.breakout_lookbak is unknown"),
        ({"breakout_lookback": 0}, "breakout_lookback"),
        ({"breakout_lookback": 2_049}, "breakout_lookback"),
        ({"breakout_lookback": 2.5}, "breakout_lookback"),
        ({"tp_percent": 0.0}, "tp_percent"),
    ],
)
def test_a_parameter_outside_its_range_is_refused_by_name(given: dict[str, int | float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        validate_parameters(STRATEGIES["momentum"], given)


def test_a_strategy_finer_than_the_base_is_refused_by_name_and_left_out_otherwise() -> None:
    built_in = load_strategies()
    assert split_by_timeframe(built_in, None, 900_000) == (["funding"], ["vwap_rsi", "momentum", "liquidation"])
    assert split_by_timeframe(built_in, None, 60_000) == (list(BUILT_IN_ORDER), [])
    with pytest.raises(ConfigError, match="momentum needs 5m candles, the base is 15m"):
        split_by_timeframe(built_in, ["momentum"], 900_000)
    with pytest.raises(ConfigError, match="there is no strategy 'martingale'"):
        split_by_timeframe(built_in, ["martingale"], 60_000)


def test_a_symbol_that_nobody_watches_is_refused() -> None:
    with pytest.raises(ConfigError, match="symbol DOGE is not watched"):
        configuration(STRATEGIES, [listed("X")], {"momentum": RunnerSettings(symbols=("DOGE",))})
