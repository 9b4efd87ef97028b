"""`papertape download` as a user runs it, against the stand-in of the exchange in real time."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from papertape.cli.app import app
from papertape.engine.feeds.download.partial_file import line_of
from papertape.engine.ports.clock import SystemClock
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

pytestmark = pytest.mark.system

MINUTE_MS, DAY_MS = 60_000, 86_400_000
BTC = "BTCUSDT"
MARKET = SimTwinMarket([BTC])
FROM, TO = "2026-01-05", "2026-01-06"
FROM_MS = 1_767_571_200_000


class Serving(threading.Thread):
    """Yield a twin in its own event loop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with BitgetTwin(MARKET, SystemClock()) as twin:
            self.url = twin.rest_url
            self.ready.set()
            await self._end.wait()

    def stop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self.join(10.0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    serving = Serving()
    serving.start()
    assert serving.ready.wait(PATIENCE_S)
    yield serving.url
    serving.stop()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["download", *map(str, arguments)], env={"COLUMNS": "140"})


def asked(url: str, *more: object) -> Result:
    return run("--symbol", BTC, "--from", FROM, "--to", TO, "--rest-url", url, *more)


def true_lines() -> list[str]:
    rows = [MARKET.candle(BTC, FROM_MS + n * MINUTE_MS) for n in range(1_440)]
    return [line_of((row.open_time_ms, (row.open, row.high, row.low, row.close, row.volume))) for row in rows if row]


# ---------------------------------------------------------------- what it does


def test_a_day_of_candles_is_named_for_its_days(url: str, folder: Path) -> None:
    result = asked(url)
    assert result.exit_code == 0, result.output
    out = folder / "bitget_BTCUSDT_1m_2026-01-05_2026-01-06.csv.gz"
    assert [path.name for path in folder.iterdir()] == [out.name]
    assert gzip.decompress(out.read_bytes()).decode().splitlines(keepends=True)[1:] == true_lines()
    words = " ".join(result.stdout.split())
    assert "1,440 candles of 1m, 2026-01-05 00:00 to 2026-01-05 23:59 UTC" in words
    assert "no gaps" in words


def test_all_makes_three_files_and_only_those_that_are_missing(url: str, folder: Path) -> None:
    now_ms = SystemClock().now_ms() // DAY_MS * DAY_MS
    span = ("--from", now_ms - 2 * DAY_MS, "--to", now_ms - DAY_MS)
    result = run("--symbol", BTC, *span, "--rest-url", url, "--kind", "all", "--json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["rows"] for line in result.stdout.splitlines()] == [1_440, 3, 1_440]
    candles, funding, mark = sorted(path.name for path in folder.iterdir())
    assert candles.startswith("bitget_BTCUSDT_1m_") and funding.startswith("bitget_BTCUSDT_funding_")
    assert mark.startswith("bitget_BTCUSDT_mark_1m_")
    (folder / candles).unlink()
    again = run("--symbol", BTC, *span, "--rest-url", url, "--kind", "all", "--json")
    assert [json.loads(line)["kind"] for line in again.stdout.splitlines()] == ["candles"]


def test_of_all_what_is_not_there_any_more_does_not_hold_up_the_rest(url: str, folder: Path) -> None:
    result = asked(url, "--kind", "all", "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["kind"] for line in result.stdout.splitlines()] == ["candles", "mark"]
    assert "bitget has no funding of BTCUSDT in this time (Bitget keeps settlements for about 90 days)" in result.stderr
    assert len([*folder.iterdir()]) == 2


def test_json_is_one_object_without_a_bar(url: str, folder: Path) -> None:
    result = asked(url, "--json", "--out", "x.csv")
    report: dict[str, Any] = json.loads(result.stdout)
    assert (report["exchange"], report["kind"], report["rows"], report["holes"]) == ("bitget", "candles", 1_440, [])
    assert result.stderr == ""
    assert (folder / "x.csv").read_text().splitlines(keepends=True)[1:] == true_lines()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_backtest_reads_what_a_download_wrote(url: str, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("polars")
    now_ms = SystemClock().now_ms() // DAY_MS * DAY_MS
    span = ("--from", now_ms - 2 * DAY_MS, "--to", now_ms - DAY_MS)
    for kind in ("candles", "funding"):
        made = run("--symbol", BTC, *span, "--rest-url", url, "--kind", kind, "--out", f"{kind}.{ending}")
        assert made.exit_code == 0, made.output
    files = ("--candles", f"{BTC}=candles.{ending}", "--funding", f"{BTC}=funding.{ending}")
    command = ["backtest", "--engine", "python", "--strategy", "momentum", "--json", *files]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["facts"] == 1_440 + 3


def test_the_address_comes_from_the_configuration(url: str, folder: Path) -> None:
    (folder / "own.toml").write_text(f'[feed.bitget]\nrest_url = "{url}"\nrequests_per_s = 20.0\n')
    result = run("--symbol", BTC, "--from", FROM, "--to", TO, "--config", "own.toml", "--out", "x.csv")
    assert result.exit_code == 0, result.output


def test_a_download_without_an_end_goes_on_under_the_name_it_has(url: str, folder: Path) -> None:
    first = datetime.now(UTC).date() - timedelta(days=3)
    begun = folder / f"bitget_{BTC}_1h_{first}_{first + timedelta(days=2)}.csv.gz.part"
    begun.write_text("open_time_ms,open,high,low,close,volume\n")
    result = run("--symbol", BTC, "--from", str(first), "--timeframe", "1h", "--rest-url", url)
    assert result.exit_code == 0, result.output
    assert [path.name for path in folder.iterdir()] == [begun.name.removesuffix(".part")]


def test_killed_in_the_middle_the_same_command_goes_on(url: str, folder: Path) -> None:
    (folder / "quick.toml").write_text("[feed.bitget]\nrequests_per_s = 20.0\n")
    span = ["--from", FROM, "--to", "2026-01-12", "--config", "quick.toml"]
    arguments = ["--symbol", BTC, *span, "--rest-url", url, "--out", "x.csv.gz"]
    program = "import sys; from tests.cli.test_download import app; app(args=sys.argv[1:], prog_name='papertape')"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "download", *arguments], env={"PYTHONPATH": str(REPOSITORY)}, cwd=folder
    )
    part = folder / "x.csv.gz.part"
    for _ in range(600):
        if part.exists() and part.stat().st_size > 10_000:
            break
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.kill()
    process.wait()
    assert not (folder / "x.csv.gz").exists()
    resumed = run(*arguments, "--json")
    assert resumed.exit_code == 0, resumed.output
    assert 0 < json.loads(resumed.stdout)["resumed_rows"] < 7 * 1_440
    assert run(*arguments[:-1], "whole.csv.gz").exit_code == 0
    assert (folder / "x.csv.gz").read_bytes() == (folder / "whole.csv.gz").read_bytes()


# ---------------------------------------------------------------- what goes wrong


def test_help_shows_an_example() -> None:
    shown = " ".join(run("--help").stdout.split())
    assert "Example: papertape download --symbol BTCUSDT" in shown
    assert "--json" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "2026-01-05"], "--to 2026-01-05: must be later than --from 2026-01-05"),
        (["--from", "yesterday"], "--from 'yesterday': not a time"),
        (["--from", "2099-01-01", "--to", "2099-02-01"], "nothing after 2099-01-01 00:00 UTC is closed yet"),
        (["--kind", "candle"], "--kind candle: must be one of candles, funding, mark, all"),
        (["--timeframe", "1H"], "--timeframe 1H: must be one of 1m, 5m, 15m, 1h"),
        (["--symbol", "btcusdt"], "must be capital letters and digits"),
        (["--out", "x.txt"], "the name must end with .csv.gz, .csv, .parquet"),
        (["--out", "none/x.csv"], "there is no folder none"),
        (["--out", "x.csv", "--kind", "all"], "writes three files"),
        (["--rest-url", "api.bitget.com"], "an address like https://api.bitget.com"),
        (["--out", "here.csv"], "this file already exists"),
    ],
)
def test_what_cannot_be_asked_is_usage(url: str, folder: Path, arguments: list[str], words: str) -> None:
    (folder / "here.csv").write_text("mine")
    result = run("--symbol", BTC, "--from", FROM, "--rest-url", url, *arguments)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert (folder / "here.csv").read_text() == "mine"


def test_an_exchange_without_ccxt_names_the_extra(folder: Path) -> None:
    result = run("--symbol", BTC, "--from", FROM, "--exchange", "binanceusdmm")
    assert result.exit_code == 2, result.output
    words = " ".join(result.stderr.split())
    assert "pip install 'papertape[exchanges]'" in words or "did you mean binanceusdm" in words
    assert not list(folder.iterdir())


def test_a_bad_configuration_ends_with_4(folder: Path) -> None:
    (folder / "bad.toml").write_text("[feed]\nkind = 5\n")
    assert run("--symbol", BTC, "--from", FROM, "--config", "bad.toml").exit_code == 4


def test_an_unknown_symbol_ends_with_1_and_the_exchanges_words(url: str, folder: Path) -> None:
    result = run("--symbol", "NOPEUSDT", "--from", FROM, "--rest-url", url)
    assert result.exit_code == 1
    assert "40034 Parameter NOPEUSDT does not exist" in result.stderr
    assert not list(folder.iterdir())


def test_no_network_ends_with_1_and_one_line(folder: Path) -> None:
    result = run("--symbol", BTC, "--from", FROM, "--rest-url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: http://127.0.0.1:9 cannot be reached: ")
    assert result.stderr.count("\n") == 1
    assert not list(folder.iterdir())
