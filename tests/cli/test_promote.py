"""A study is promoted into a configuration, or refused by name."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict, replace

from papertape.cli.config.loader import read_config
from papertape.cli.config.study_promises import read_promise
from papertape.cli.offline.promote import PromotionRequest, plan_promotion, promote
from papertape.engine.kernel.risk_settings import RiskSettings
from papertape.events.errors import ConfigError, UsageError
from papertape.projections.studies.promotion import BAND_STEPS
from tests.cli.studies_to_promote import CHOSEN, CODE, HEADLINE, KEY, PROMISE, conclusions, write
from tests.engine.processes import papertape

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.cli.offline.promote import Promotion

TOML = """# my settings
[strategies]
enabled = ["momentum"]   # only this

[strategies.momentum]
breakout_lookback = 20   # candles
sl_percent = 0.4         # %

[feed.sim]
symbols = ["BTCUSDT"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration and a study whose verdict is to bet."""
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions())
    return tmp_path


def plan_of(folder: Path, **changes: Any) -> Promotion:
    request = PromotionRequest("momentum-btc", None, folder / "papertape.toml", None, "")
    return plan_promotion(replace(request, **changes))


def text_of(folder: Path) -> str:
    return (folder / "papertape.toml").read_text()


def change(folder: Path, before: str, after: str) -> None:
    assert before in text_of(folder)
    (folder / "papertape.toml").write_text(text_of(folder).replace(before, after))


def test_the_parameters_the_digest_and_the_promise_are_written_and_the_rest_stays(folder: Path) -> None:
    promote(PromotionRequest("momentum-btc", None, folder / "papertape.toml", None, ""), as_json=True)
    lines = text_of(folder).splitlines()
    assert lines[:6] == [*TOML.splitlines()[:5], f'study = "{KEY}"']
    assert lines[7:] == ["tp_percent = 0.8", "breakout_lookback = 30   # candles", *TOML.splitlines()[6:]]
    section = read_config(folder / "papertape.toml").strategies.by_name["momentum"]
    assert section.parameters == {"breakout_lookback": 30, "sl_percent": 0.4, "tp_percent": 0.8}
    promise = read_promise(section.promise)
    assert (promise.strategy, promise.set_number, promise.verdict, promise.code_digest) == (
        "momentum", CHOSEN, "BET", CODE
    )  # fmt: skip
    assert (promise.trades_per_day, promise.mean_r, promise.cost_per_trade_r) == (1.25, 0.21, 0.08)
    assert promise.parameters["tp_percent"] == 0.8


def test_a_band_is_kept_of_each_early_trade_and_of_ever_fewer_later_ones(folder: Path) -> None:
    bands = plan_of(folder).promise.bands
    trades = [band.trades for band in bands]
    assert trades[:21] == [*range(1, 21), 25]
    assert (trades[-3:], len(trades)) == ([400, 450, 500], 42)
    assert BAND_STEPS[-1][0] == trades[-1]
    assert (bands[9].percent_1_r, bands[9].percent_5_r, bands[9].percent_50_r) == (-20.0, -10.0, 2.0)


def test_a_study_without_the_lowest_quantile_has_it_extrapolated(folder: Path) -> None:
    write_again(folder, replace(PROMISE, lowest_r=(), bands_r=PROMISE.bands_r[:30]))
    bands = plan_of(folder).promise.bands
    assert bands[-1].trades == 30
    assert bands[9].percent_1_r == pytest.approx(-10.0 - 0.41422 * 12.0, abs=1e-4)  # z: -2.326 against -1.645


def write_again(folder: Path, promise: Any) -> None:
    (folder / "data" / "studies" / "momentum-btc.db").unlink()
    write(folder, conclusions(promise=promise))


def test_promoting_the_same_set_again_changes_nothing(folder: Path) -> None:
    request = PromotionRequest("momentum-btc", None, folder / "papertape.toml", None, "")
    promote(request, as_json=True)
    before = text_of(folder)
    assert plan_promotion(request).changes == ()
    promote(request, as_json=True)
    assert text_of(folder) == before


def test_a_study_that_is_named_by_its_file_is_found_elsewhere(folder: Path) -> None:
    elsewhere = write(folder / "elsewhere", conclusions())
    assert plan_of(folder, study=str(elsewhere)).promise.study == "momentum-btc"


@pytest.mark.parametrize("outcome", ["NO", "CANNOT SAY"])
def test_against_the_verdict_a_reason_is_needed_and_kept(tmp_path: Path, outcome: Any) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions(outcome))
    with pytest.raises(UsageError, match=f"{HEADLINE}\nto promote") as refused:
        plan_of(tmp_path, against_advice="  ")
    assert "papertape promote momentum-btc --to " in str(refused.value)
    assert '--against-advice "WHY"' in str(refused.value)
    why = 'it\'s a "try" \u2028 ünïcode'
    promotion = plan_of(tmp_path, against_advice=why)
    assert (promotion.promise.verdict, promotion.promise.against_advice) == (outcome, why)
    written = tomllib.loads(promotion.text)["strategies"]["momentum"]["promise"]
    assert read_promise(written) == promotion.promise


def test_a_small_bet_is_allowed_and_said(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions("BET SMALL"))
    promotion = plan_of(tmp_path)
    assert promotion.warnings == (f"the verdict is to bet small: {HEADLINE}",)
    assert promotion.promise.against_advice == ""


def test_another_set_than_the_verdicts_promises_trades_and_wins_alone(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"the verdict is about set 3, not 0\n.*\n.* --set 0 --to"):
        plan_of(folder, number=0)
    promotion = plan_of(folder, number=0, against_advice="fewer losses")
    promise = promotion.promise
    assert (promise.bands, promise.mean_r, promise.cost_per_trade_r) == ((), None, None)
    assert 0.5 < promise.trades_per_day < 1.5
    assert promise.win_rate == pytest.approx(0.44, abs=0.01)
    assert promise.parameters["breakout_lookback"] == 20
    assert any("promises only the number of trades" in one for one in promotion.warnings)


def test_a_set_that_does_not_exist_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"study momentum-btc has no set 4; see its 4 sets"):
        plan_of(folder, number=4, against_advice="x")


def test_a_verdict_that_chose_no_set_needs_one(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions("CANNOT SAY", chosen=None))
    with pytest.raises(UsageError, match=r"chose no set; name one with --set"):
        plan_of(tmp_path, against_advice="x")


def test_a_study_of_other_code_is_refused_with_both_digests(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions(), code_digest="0ld")
    with pytest.raises(UsageError, match=f"made with the code 0ld, .*{CODE}"):
        plan_of(tmp_path, against_advice="never mind")
    assert text_of(tmp_path) == TOML


def test_a_study_without_conclusions_is_refused_with_its_progress(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, None, state="running")
    with pytest.raises(UsageError, match=r"no conclusions yet: it is running, 44 of 44 results"):
        plan_of(tmp_path)


def test_an_unknown_study_and_a_broken_file_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no study 'momentum-eth'; there are: momentum-btc"):
        plan_of(folder, study="momentum-eth")
    (folder / "data" / "studies" / "torn.db").write_text("nothing")
    with pytest.raises(UsageError, match=r"study torn: file is not a database"):
        plan_of(folder, study="torn")


def test_a_strategy_that_does_not_run_is_refused_with_what_to_add(folder: Path) -> None:
    with pytest.raises(
        UsageError, match=r'no strategy fast: add \[strategies.fast\] with of = "momentum", and "fast" to'
    ):
        plan_of(folder, instance="fast")
    change(folder, '"momentum"]', '"funding"]')
    with pytest.raises(UsageError, match=r'add "momentum" to strategies.enabled'):
        plan_of(folder)


def test_an_instance_follows_the_study_of_its_file_under_its_own_name(folder: Path) -> None:
    change(folder, '["momentum"]', '["momentum", "fast"]')
    (folder / "papertape.toml").write_text(text_of(folder) + '[strategies.fast]\nof = "momentum"\n')
    promotion = plan_of(folder, instance="fast")
    assert promotion.promise.strategy == "fast"
    assert promotion.promise.code_digest != CODE, "a digest has the name in it"
    sections = tomllib.loads(promotion.text)["strategies"]
    assert (sections["fast"]["breakout_lookback"], sections["momentum"]["breakout_lookback"]) == (30, 20)


def test_a_strategy_without_a_section_gets_one(folder: Path) -> None:
    change(folder, TOML.splitlines()[4] + "\n", "")
    change(folder, "breakout_lookback = 20   # candles\nsl_percent = 0.4         # %\n", "")
    changed = plan_of(folder).text
    assert changed.startswith(text_of(folder) + f'\n[strategies.momentum]\nstudy = "{KEY}"\npromise = ')
    assert {*changed.splitlines()[-3:]} == {"breakout_lookback = 30", "sl_percent = 0.4", "tp_percent = 0.8"}


def test_another_market_and_other_risk_are_doubts(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML.replace('["BTCUSDT"]', '["ETHUSDT"]'))
    write(tmp_path, conclusions(), risk=asdict(RiskSettings()) | {"leverage": 7.0}, warnings=("funding is missing",))
    assert plan_of(tmp_path).warnings == (
        "the study momentum-btc is about BTCUSDT and promises nothing about ETHUSDT",
        "the study momentum-btc also traded BTCUSDT: expect fewer trades than it promises",
        "the study ran with risk.leverage = 7; here it is 3",
        "funding is missing",
    )


def test_parameters_of_a_symbol_that_the_study_does_not_know_are_a_doubt(folder: Path) -> None:
    own = "[strategies.momentum.symbols.BTCUSDT]\nbreakout_lookback = 5\n"
    (folder / "papertape.toml").write_text(text_of(folder) + own)
    promotion = plan_of(folder)
    assert promotion.warnings == ("the parameters of single symbols differ from the study's: BTCUSDT",)
    assert promotion.text.endswith(own)


def test_a_parameter_outside_its_range_is_refused(tmp_path: Path) -> None:
    (tmp_path / "papertape.toml").write_text(TOML)
    write(tmp_path, conclusions(), parameters={"adx_period": 100_000})
    with pytest.raises(ConfigError, match="adx_period"):
        plan_of(tmp_path)


def test_a_configuration_that_cannot_be_written_stays_whole(folder: Path) -> None:
    (folder / "papertape.toml").rename(folder / "real.toml")
    (folder / "linked").mkdir()
    (folder / "linked" / "papertape.toml").symlink_to(folder / "real.toml")
    path = folder / "linked" / "papertape.toml"
    study = str(folder / "data" / "studies" / "momentum-btc.db")
    promote(PromotionRequest(study, None, path, None, ""), as_json=True)
    assert path.is_symlink()
    assert "study =" in (folder / "real.toml").read_text()
    assert [one.name for one in folder.iterdir() if ".half" in one.name] == []


def test_the_command_refuses_on_one_stream_and_shows_on_the_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = papertape(folder, "promote", "momentum-btc", "--set", "0")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the verdict is about set 3, not 0" in refused.stderr
    request = PromotionRequest("momentum-btc", None, folder / "papertape.toml", None, "")
    promote(request, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["promise"]["set_number"] == CHOSEN
    assert "+breakout_lookback = 30   # candles" in told["changes"]
    promote(request, as_json=False)
    assert "follows set 3 of the study momentum-btc, verdict BET already" in capsys.readouterr().out
