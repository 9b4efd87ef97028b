"""`papertape sample`: files of the simulated market, the same for the same seed, read back without a refusal."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.engine.feeds.files.feed import FileFeed, FileSettings
from papertape.engine.feeds.sim.market import SimMarket
from papertape.engine.feeds.sim.script import START_MS
from papertape.engine.ports.clock import ManualClock
from papertape.events.units import DAY_MS, HOUR_MS, MINUTE_MS

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

pytestmark = pytest.mark.system

DAYS = 2


def sample(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["sample", str(folder), "--days", str(DAYS), *options])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_read_back_as_the_simulated_market(tmp_path: Path) -> None:
    result = sample(tmp_path / "market", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert sorted(contents(tmp_path / "market")) == [
        f"sim_{symbol}_{kind}.csv.gz"
        for symbol in ("BTCUSDT", "ETHUSDT")
        for kind in ("5m", "funding", "open_interest")
    ]
    paths = sorted(map(str, (tmp_path / "market").iterdir()))
    candles, funding, interest = (tuple(paths[place::3]) for place in range(3))
    settings = FileSettings(candles=candles, funding=funding, open_interest=interest)
    feed = FileFeed(settings, ManualClock())
    assert {symbol: table.timeframe_ms for symbol, table in feed.candles.items()} == {
        "BTCUSDT": 5 * MINUTE_MS,
        "ETHUSDT": 5 * MINUTE_MS,
    }
    market, table = SimMarket(3), feed.candles["ETHUSDT"]
    assert list(table.open_time_ms) == list(range(START_MS, START_MS + DAYS * DAY_MS, 5 * MINUTE_MS))
    block, row = market.block("ETHUSDT", START_MS // DAY_MS + 1), 288 + 7
    minutes = slice(35, 40)
    assert (table.open[row], table.close[row]) == (block.open[35], block.close[39])
    assert (table.high[row], table.low[row]) == (max(block.high[minutes]), min(block.low[minutes]))
    assert table.volume[row] == pytest.approx(sum(block.volume[minutes]))
    rates = feed.funding["BTCUSDT"]
    assert list(rates.time_ms) == list(range(START_MS, START_MS + DAYS * DAY_MS, 8 * HOUR_MS))
    assert rates.value[1] == market.funding_rate("BTCUSDT", (START_MS + 8 * HOUR_MS) // (8 * HOUR_MS))
    assert list(feed.open_interest["ETHUSDT"].value)[288:] == block.open_interest


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_market(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "again", "other")]
    for folder, seed in zip(folders, ("5", "5", "6"), strict=True):
        assert sample(folder, "--seed", seed, "--symbol", "SOLUSDT").exit_code == 0
    first, again, other = map(contents, folders)
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--symbol", "btcusdt"), "must be capital letters and digits"),
        (("--symbol", "BTCUSDT", "--symbol", "BTCUSDT"), "names a symbol twice"),
        (("--days", "0"), "0 is not in the range"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    result = sample(tmp_path / "market", *options)
    assert result.exit_code == 2
    assert reason in result.output
    assert not (tmp_path / "market").exists()


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = sample(tmp_path)
    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]


def test_the_commands_that_it_prints_name_its_files(tmp_path: Path) -> None:
    lines = sample(tmp_path / "market").output.splitlines()
    [backtest, sweep] = [line.split() for line in lines if line.startswith("  papertape ")]
    assert (backtest[1], sweep[1]) == ("backtest", "sweep")
    files = {word for line in (backtest, sweep) for word in line if word.endswith(".csv.gz")}
    assert files == {str(tmp_path / "market" / f"sim_BTCUSDT_{kind}.csv.gz") for kind in ("5m", "funding")}
    as_json = msgspec.json.decode(sample(tmp_path / "second", "--json").output)
    assert len(as_json["files"]) == 6
    assert (as_json["from_ms"], as_json["until_ms"]) == (START_MS, START_MS + DAYS * DAY_MS)


def test_it_needs_no_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; from papertape.cli.app import app;"
        f" app(['sample', {str(tmp_path / 'market')!r}, '--days', '1', '--symbol', 'BTCUSDT'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
    assert len(contents(tmp_path / "market")) == 3
