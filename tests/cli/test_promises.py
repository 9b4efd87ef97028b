"""A promise in the configuration: checked when it is read, recorded when an engine starts, ended by an edit."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from papertape.cli.config.differences import differences
from papertape.cli.config.loader import parse_config
from papertape.cli.config.overrides import apply_sets, tree_of
from papertape.cli.config.sections import config_digest, strategies_of
from papertape.cli.config.study_promises import promise_text, read_promise
from papertape.cli.config.toml_edits import with_keys
from papertape.cli.wiring import make_engine_settings
from papertape.engine.reducer.snapshot_codec import decode, encode, state_digest
from papertape.engine.strategy_registry import code_digest
from papertape.engine.verify import verify
from papertape.events.errors import ConfigError
from papertape.events.facts import ConfigurationReloaded, RunnerConfigured, StudyPromoted
from papertape.events.log import Recorded
from papertape.events.portable import REDACTED, redact_event
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.folds.portfolio import Portfolio
from papertape.projections.folds.promised import Promised
from papertape.projections.host import fold
from tests.cli.studies_to_promote import CODE, KEY
from tests.cli.test_config_reload import BEFORE, engine, play, reload, write
from tests.engine.logs import recorded
from tests.events.loop import in_loop
from tests.promises import promoted
from tests.support import STRATEGIES

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.config.sections import Config
    from papertape.engine.startup import EngineSettings

FAST = "breakout_lookback = 30\n"
PARAMETERS = {
    "breakout_lookback": 30,
    "adx_period": 14,
    "atr_period": 14,
    "volume_period": 20,
    "trend_adx_threshold": 25.0,
    "exit_adx_threshold": 20.0,
    "volume_confirmation_multiplier": 2.0,
    "atr_multiplier_tp": 2.0,
    "atr_multiplier_sl": 1.0,
    "tp_percent": 0.6,
    "sl_percent": 0.3,
}


def promise(**changes: Any) -> StudyPromoted:
    fields: dict[str, Any] = {"study_digest": KEY, "parameters": PARAMETERS, "code_digest": CODE}
    return promoted(at_ms=0, **fields | {"symbols": ("BTCUSDT", "ETHUSDT")} | changes)


def keys(of: StudyPromoted, **changes: str) -> dict[str, Any]:
    return {"study": of.study_digest, "promise": promise_text(of), "breakout_lookback": 30} | changes


def text_with(values: dict[str, Any]) -> str:
    return with_keys(BEFORE.replace('folders = ["own"]\n', ""), ("strategies", "momentum"), values)


def config_with(folder: Path, values: dict[str, Any]) -> Config:
    return parse_config(folder / "papertape.toml", text_with(values))


def started(config: Config) -> tuple[EngineSettings, list[str]]:
    """The settings that an engine starts with, and the warnings."""
    warnings: list[str] = []
    settings = make_engine_settings(config, config.database, 60_000, warnings.append, strategies_of(config))
    return settings, warnings


def test_a_promise_is_one_line_of_ascii_and_is_read_back_whole() -> None:
    odd = promise(against_advice='it\'s "mine" \u2028\n\x00 ü', mean_r=None, bands=())
    for one in (promise(), odd):
        text = promise_text(one)
        assert text.isascii()
        assert text.isprintable()
        assert "'" not in text
        assert read_promise(text) == one


def test_a_promise_that_fits_reaches_the_engine_without_a_warning(tmp_path: Path) -> None:
    settings, warnings = started(config_with(tmp_path, keys(promise())))
    assert (settings.runners["momentum"].promise, warnings) == (promise(), [])
    assert settings.runners["vwap_rsi"].promise is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"promise": ""}, r":\d+: strategies.momentum.study = \"8c1f.*\": must have its promise beside it"),
        ({"study": ""}, r':\d+: strategies.momentum.promise is the promise of momentum from the study 8c1f.* from ""'),
        ({"study": "0ther"}, 'not of momentum from "0ther"; write both with `papertape promote`'),
        ({"promise": "{"}, r"strategies.momentum.promise cannot be read: "),
        ({"promise": "{}"}, "its fields must be strategy, study, study_digest"),
        ({"promise": promise_text(promise(win_rate="all"))}, "cannot be read: Expected `float`, got `str`"),
        ({"promise": promise_text(promise(strategy="funding"))}, "is the promise of funding from"),
    ],
)  # fmt: skip
def test_a_promise_that_does_not_fit_is_an_error_with_its_line(
    tmp_path: Path, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        config_with(tmp_path, keys(promise(), **changes))


def test_parameters_edited_by_hand_are_named_and_nothing_is_promised(tmp_path: Path) -> None:
    edited = apply_sets(config_with(tmp_path, keys(promise())), ["momentum.sl_percent=0.5"])
    settings, (warning,) = started(edited)
    assert settings.runners["momentum"].promise is None
    assert warning.startswith(
        "strategies.momentum: its parameters are not those of the study: sl_percent is 0.5 (study: 0.3)"
    )


def test_other_code_than_the_studys_is_named_with_both_digests(tmp_path: Path) -> None:
    settings, (warning,) = started(config_with(tmp_path, keys(promise(code_digest="0ld"))))
    assert settings.runners["momentum"].promise is None
    assert f"its code is {CODE}, the study was made with 0ld" in warning


def test_another_market_is_a_warning_and_the_promise_stands(tmp_path: Path) -> None:
    settings, warnings = started(config_with(tmp_path, keys(promise(symbols=("BTCUSDT", "SOLUSDT")))))
    assert settings.runners["momentum"].promise is not None
    assert [one.partition("momentum-btc ")[2] for one in warnings] == [
        "is about BTCUSDT, SOLUSDT and promises nothing about ETHUSDT",
        "also traded SOLUSDT: expect fewer trades than it promises",
    ]


def test_a_promise_belongs_to_the_configuration_but_not_to_the_words_of_its_changes(tmp_path: Path) -> None:
    plain, own = config_with(tmp_path, {"breakout_lookback": 30}), config_with(tmp_path, keys(promise()))
    assert config_digest(plain) != config_digest(own)
    (only,) = [line for one in differences(plain, own, strategies_of(own)) for line in one.lines]
    assert only == f'strategies.momentum.study: "" -> "{KEY}"'
    assert {"study", "promise"}.isdisjoint(tree_of(plain)["strategies"]["momentum"])
    assert config_digest(apply_sets(own, ["momentum.breakout_lookback=30"])) == config_digest(own)


def kinds(folder: Path) -> list[type]:
    told = (StudyPromoted, RunnerConfigured, ConfigurationReloaded)
    events = [item.event for item in recorded(folder / "log.db")]
    return [type(one) for one in events if isinstance(one, told) and getattr(one, "strategy", "") != "vwap_rsi"]


@in_loop
async def test_the_first_start_records_a_promise_and_the_next_one_knows_it(tmp_path: Path) -> None:
    text = text_with(keys(promise())).replace('"momentum", "vwap_rsi"', '"momentum"')
    (tmp_path / "papertape.toml").write_text(text)
    for _ in range(2):
        async with engine(tmp_path) as (running, _):
            await play(running, tmp_path)
            digest, state = state_digest(running.loop.state), running.loop.state
    assert kinds(tmp_path) == [StudyPromoted, RunnerConfigured]
    assert decode(encode(state), STRATEGIES).promises == state.promises != {}
    state.promises = {}
    assert state_digest(state) == digest, "a backtest of the same decisions has the same digest"
    with closing(SqliteLogReader(tmp_path / "log.db")) as reader:
        assert verify(reader, None, STRATEGIES).difference is None
    portfolio = Portfolio()
    promises = Promised(portfolio)
    fold([portfolio, promises], recorded(tmp_path / "log.db"))
    found = promises.of("momentum")
    assert found is not None
    assert (found.trades > 0, round(found.days, 1)) == (True, 1.0)


@in_loop
async def test_a_reload_records_a_promise_and_an_edit_by_hand_ends_it(tmp_path: Path) -> None:
    write(tmp_path)
    with_promise = text_with(keys(promise())).replace("[strategies]\n", '[strategies]\nfolders = ["own"]\n')
    async with engine(tmp_path) as (running, reloader):
        assert running.loop.state.promises == {}
        (tmp_path / "papertape.toml").write_text(with_promise)
        accepted = await reload(running, reloader)
        assert f'strategies.momentum.study: "" -> "{KEY}"' in accepted.changes
        assert [*running.loop.state.promises] == ["momentum"]
        (tmp_path / "papertape.toml").write_text(with_promise.replace(FAST, "breakout_lookback = 25\n"))
        await reload(running, reloader)
        assert running.loop.state.promises == {}
        (tmp_path / "papertape.toml").write_text(with_promise)
        await reload(running, reloader)
    one_reload = [ConfigurationReloaded, StudyPromoted, RunnerConfigured]
    assert kinds(tmp_path) == [RunnerConfigured, *one_reload, ConfigurationReloaded, RunnerConfigured, *one_reload]


def test_an_export_without_names_hides_why_advice_was_ignored() -> None:
    assert redact_event(promise(against_advice="my wife")) == promise(against_advice=REDACTED)
    assert redact_event(promise()) == promise()


def test_the_digest_of_the_tests_is_that_of_the_installed_strategy() -> None:
    assert code_digest([STRATEGIES["momentum"]]) == CODE
    assert Recorded(1, 0, 0, promise()).event == promise()
