"""`papertape sweep` with a space from a file: the grammar of the command line, and the same space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import Config, config_digest
from papertape.cli.studies.market import RecordedMarket
from papertape.cli.studies.space_file import TypedSpace, chosen_space
from papertape.engine.runner_settings import RunnerSettings
from papertape.events.errors import ConfigError, UsageError
from tests.reducer.random_market import Recipe, market
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
[study]
link = ["tp_percent = 2 * sl_percent"]
where = ["breakout_lookback > 10"]
draw = 20
seed = 3

[study.space]
breakout_lookback = "10:60:10"
sl_percent = "0.2:1.2:0.1"
"""
TYPED = TypedSpace(
    ("breakout_lookback=10:60:10", "sl_percent=0.2:1.2:0.1"),
    ("tp_percent = 2 * sl_percent",),
    ("breakout_lookback > 10",),
    20,
    3,
)
MARKET = RecordedMarket(market(Recipe(seed=1, candles=300)), STRATEGIES["momentum"], RunnerSettings(), ())


def written(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text)
    return path


def test_a_file_and_the_configuration_describe_the_space_that_is_typed(tmp_path: Path) -> None:
    file = written(tmp_path, TEXT)
    typed = chosen_space(TYPED, Config(), MARKET)
    assert chosen_space(TypedSpace(file=file), Config(), MARKET) == typed
    assert chosen_space(TypedSpace(), load_config(file), MARKET) == typed


def test_what_is_typed_replaces_what_the_configuration_says(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, TEXT))
    space = chosen_space(TypedSpace(("adx_period=10,14",)), config, MARKET)
    assert ([axis.name for axis in space.axes], space.links, space.draw) == (["adx_period"], (), None)
    assert chosen_space(TypedSpace(draw=5, seed=9), config, MARKET).draw == 5


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (
            TEXT.replace("sl_percent =", "sl_percnt ="),
            UsageError,
            r"^\[study\] in .*space.toml: --vary sl_percnt=0.2:1",
        ),
        (TEXT.replace('"10:60:10"', "10"), ConfigError, r"toml:9: study.space.breakout_lookback = 10: must be"),
        (
            TEXT.replace("where", "were"),
            ConfigError,
            r"toml:4: study.were is an unknown key; did you mean where",
        ),
        ("[study]\ndraw = 3\n", UsageError, r"^--space .*space.toml: nothing varies; add \[study.space\]"),
    ],
    ids=["an unknown parameter", "another type", "an unknown key", "no space"],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        chosen_space(TypedSpace(file=written(tmp_path, text)), Config(), MARKET)


def test_a_file_and_typed_parameters_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use either --space"):
        chosen_space(TypedSpace(("a=1",), file=written(tmp_path, TEXT)), Config(), MARKET)


def test_an_engine_does_not_care_what_a_sweep_tries(tmp_path: Path) -> None:
    assert config_digest(load_config(written(tmp_path, TEXT))) == config_digest(Config())
