"""The first minutes: a demo in any folder, a folder of your own, and a run without a market."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from papertape.cli.commands.completion import strategy_names
from papertape.cli.config.overrides import load_config
from papertape.cli.environment.stderr_level import STDERR_VARIABLE
from papertape.cli.service.demo import FILE
from papertape.projections.telegram.secret import env_lines
from tests.cli.test_process_supervisor import wait_for
from tests.engine.logs import recorded
from tests.engine.processes import command, environment, ok, papertape
from tests.patience import PATIENCE_S

ONE_DAY = ("--set", "feed.sim.days=1", "feed.sim.symbols=BTCUSDT", "--speed", "max", "--until-end", "--json")


def test_a_run_without_a_market_writes_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    for verb in ("run", "up"):
        done = papertape(tmp_path, verb, "--db", "log.db")
        assert (done.returncode, done.stdout) == (2, "")
        assert [line.split()[:2] for line in done.stderr.splitlines()[1:]] == [
            ["papertape", "demo"],
            ["papertape", "init"],
            ["papertape", "run"],
        ]
    assert list(tmp_path.iterdir()) == []


def test_a_market_that_a_variable_names_is_enough(tmp_path: Path) -> None:
    ok(tmp_path, "run", *ONE_DAY, "--db", "log.db", PAPERTAPE_FEED__SIM__SEED="3")
    assert len(recorded(tmp_path / "log.db")) > 1_000


def test_a_new_folder_checks_and_runs(tmp_path: Path) -> None:
    said = ok(tmp_path, "init", "mine")
    mine = tmp_path / "mine"
    assert "papertape config check" in said
    assert ok(mine, "config", "check").startswith("ok papertape.toml")
    ok(mine, "run", *ONE_DAY)
    assert "dip_buyer" in ok(mine, "arena")
    assert (mine / "data" / "papertape.db").is_file()


def test_the_configuration_of_a_new_folder_holds_every_key_and_changes_two(tmp_path: Path) -> None:
    ok(tmp_path, "init")
    changed = ok(tmp_path, "config", "show", "--changed")
    keys = [line.partition(" =")[0] for line in changed.splitlines() if " = " in line]
    assert keys == ["speed", "folders"]
    assert load_config(tmp_path / "papertape.toml").feed.kind == "sim"


def test_the_tokens_of_a_new_folder_are_fresh_and_its_owners_alone(tmp_path: Path) -> None:
    ok(tmp_path, "init", "a")
    ok(tmp_path, "init", "b")
    found = [env_lines(tmp_path / name / ".env") for name in ("a", "b")]
    tokens = {one[name] for one in found for name in ("PAPERTAPE_TOKEN", "PAPERTAPE_SIGNAL_TOKEN")}
    assert len(tokens) == 4
    assert stat.S_IMODE((tmp_path / "a" / ".env").stat().st_mode) == 0o600
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name)  # The canary looks for tokens in what tests leave behind.


@pytest.mark.parametrize("name", ["papertape.toml", ".env", "data", "strategies/dip_buyer.py"])
def test_a_new_folder_overwrites_nothing(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    done = papertape(tmp_path, "init")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"already has {name}: nothing was written" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


@pytest.mark.system
def test_a_demo_says_where_it_is_recorded_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    said = tmp_path / "said.txt"
    data = tmp_path / "xdg" / "papertape"
    with said.open("w") as out:
        demo = subprocess.Popen(
            command("demo", "--port", "0"),
            cwd=here,
            env=environment(XDG_DATA_HOME=str(tmp_path / "xdg")),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "logs in once" in said.read_text() and (data / "demo.db").exists())
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        code = demo.wait(PATIENCE_S)
    text = said.read_text()
    assert "Traceback" not in text, text
    assert code == 0
    assert text.startswith(f"papertape: this demo is recorded in {data / 'demo.db'}\n")
    assert re.search(r"http://127\.0\.0\.1:\d+/login\?token=", text)
    assert list(here.iterdir()) == []
    said.unlink()


def test_the_demo_is_that_of_make_run() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert f"papertape up --config {FILE.name}" in makefile


# ---------------------------------------------------------------- options of every command


def test_quiet_leaves_out_warnings_and_verbose_says_what_happens_but_never_an_address(tmp_path: Path) -> None:
    market = ("run", "--feed", "sim", "--speed", "100000", *ONE_DAY[:3], "--until-end", "--json", "--db")
    loud = papertape(tmp_path, *market, "loud.db", "-v")
    quiet = papertape(tmp_path, *market, "quiet.db", "-q")
    assert (loud.returncode, quiet.returncode) == (0, 0)
    assert "info: " in loud.stderr
    assert "http" not in loud.stderr
    assert quiet.stderr == ""


def test_the_files_of_strategies_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ok(tmp_path, "init", "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert strategy_names() == ["funding", "liquidation", "momentum", "vwap_rsi", "dip_buyer"]
    (tmp_path / "mine" / "papertape.toml").write_text("[strategies\n")
    assert strategy_names() == ["funding", "liquidation", "momentum", "vwap_rsi"]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("papertape log --strategy m", ["momentum"]),
        ("papertape download --timeframe 1", ["1m", "15m", "1h"]),
        ("papertape reset ", ["funding", "liquidation", "momentum", "vwap_rsi", "global"]),
        ("papertape dem", ["demo"]),
        ("papertape backtest --candles ", []),
    ],
)
def test_the_shell_completes_without_importing_an_engine(tmp_path: Path, words: str, offered: list[str]) -> None:
    count = str(words.count(" "))
    done = papertape(tmp_path, _PAPERTAPE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
    assert done.stdout.split() == offered


def test_the_variable_of_verbose_is_that_of_its_key() -> None:
    assert STDERR_VARIABLE == "PAPERTAPE_LOGS__STDERR"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("arena", "--db", "dmo.db"), 2, "dmo.db; did you mean demo.db?\n"),
        (("arena", "--db", "."), 2, ": it is a folder\n"),
        (("config", "check", "paprtape.toml"), 4, "does not exist; did you mean papertape.toml?"),
        (("backtest", "--candles", "x_BTCUSDT_5m.csv"), 1, "did you mean"),
        (("run", "--feed", "sim", "--db", "x.db", "--prot", "1"), 2, "No such option: --prot"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    for name in ("demo.db", "demo.db.head", "papertape.toml", "x_BTCUSDT_5m.csv.gz"):
        (tmp_path / name).touch()
    done = papertape(tmp_path, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    program = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *command("arena", "--db")]
    done = subprocess.run(
        [*program, str(secret / "log.db")], cwd="/", env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode in (126, 127) or "ModuleNotFoundError" in done.stderr or "No module named" in done.stderr:
        pytest.skip("this checkout, or its Python, is not readable by others")
    assert (done.returncode, done.stderr) == (2, f"error: {secret / 'log.db'}: Permission denied\n")
