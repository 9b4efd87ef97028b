"""Market files as people have them, through the command line: right figures, one clear line, nothing overwritten."""

from __future__ import annotations

import csv
import logging
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from papertape.cli.app import app
from papertape.events.log import Recorded
from papertape.events.sqlite_log import SqliteLogReader
from papertape.projections.alerts.markup import table
from papertape.projections.telegram.parse import NoPositionQuery, request_of
from tests.events.loop import in_loop
from tests.kernel.scripted.scripted import BUY, LEAVE
from tests.support import SCRIPTED_FOLDER
from tests.ui.site_pages import visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = "open_time_ms,open,high,low,close,volume"
START_MS, MINUTE_MS, HOUR_MS = 1_735_689_600_000, 60_000, 3_600_000
CHINESE = "币安人生USDT"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "papertape.toml").write_text(
        f'[strategies]\nenabled = ["scripted"]\nfolders = ["{SCRIPTED_FOLDER}"]\n[risk]\nslippage_percent = 0.0\n'
    )
    return tmp_path


def candles(prices: Iterable[str], orders: dict[int, float]) -> list[str]:
    """Rows whose four prices are alike; at some of them the strategy is told what to do."""
    return [
        f"{START_MS + row * MINUTE_MS},{price},{price},{price},{price},{orders.get(row, 1.0):g}"
        for row, price in enumerate(prices)
    ]


def written(path: Path, rows: Iterable[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def backtest(*arguments: object) -> Result:
    command = ["backtest", "--engine", "python", *map(str, arguments)]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


def position(db: Path) -> Any:
    """Return the one open position of a log."""
    shown = CliRunner().invoke(app, ["positions", "--db", str(db), "--json"])
    (found,) = msgspec.json.decode(shown.stdout)["positions"]
    return found


# ---------------------------------------------------------------- names


def test_two_coins_of_freqtrade_stay_two_symbols_and_are_never_glued_into_one(folder: Path) -> None:
    btc = written(folder / "BTC_USDT_USDT-1m-futures.csv", candles(["94000.0"] * 40, {}))
    eth = written(folder / "ETH_USDT_USDT-1m-futures.csv", candles(["3300.0"] * 80, {})[40:])
    assert "Backtest of BTCUSDT, ETHUSDT" in backtest("--candles", btc.name, "--candles", eth.name).output
    glued = backtest("--candles", f"X={btc}", "--candles", f"X={eth}")
    assert glued.exit_code == 1
    assert "its price 3300 differs from 94000 by more than a factor of 3" in glued.output


def test_a_path_may_hold_an_equals_sign(folder: Path) -> None:
    (folder / "run=1").mkdir()
    path = written(folder / "run=1" / "x_BTCUSDT_1m_.csv", candles(["100.0"] * 10, {}))
    for given in (f"run=1/{path.name}", f"BTCUSDT=run=1/{path.name}", path):
        assert "Backtest of BTCUSDT" in backtest("--candles", given).output


# ---------------------------------------------------------------- order and units


@pytest.mark.parametrize("per_ms", [1, 0.001, 1_000])
@pytest.mark.parametrize("newest_first", [False, True])
def test_settlements_in_any_order_and_unit_are_paid_in_full(
    folder: Path, per_ms: float, newest_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = written(folder / "c.csv", candles(["100.00"] * 3_000, {3: BUY}))
    times = [START_MS + number * 8 * HOUR_MS for number in range(7)]
    rows = [f"{int(at_ms * per_ms)},0.0010" for at_ms in times]
    rates = written(folder / "f.csv", reversed(rows) if newest_first else rows, "funding_time_ms,rate")
    backtest("--candles", f"X={file}", "--funding", f"X={rates}", "--set", "scripted.stop_percent=5", "--db", "o.db")
    held = position(folder / "o.db")
    assert held["funding_usdt"] == pytest.approx(-6 * 0.001 * held["quantity_base"] * 100.0)
    assert held["quantity_base"] > 1.0
    said = [text for text in caplog.messages if text.startswith(f"{rates}: recognised ")]
    assert len(said) == (0 if per_ms == 1 and not newest_first else 1)


def test_settlements_of_another_time_are_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = written(folder / "c.csv", candles(["100.0"] * 10, {}))
    rates = written(folder / "f.csv", [f"{START_MS - 8 * HOUR_MS},0.0001"], "funding_time_ms,rate")
    done = backtest("--candles", f"X={file}", "--funding", f"X={rates}")
    assert done.exit_code == 0
    assert "X settlements: none of the 1 lies within the candles: they cover 2024-12-31 16:00" in caplog.text


def test_impossible_rates_are_refused_before_anything_is_run(folder: Path) -> None:
    file = written(folder / "c.csv", candles(["100.0"] * 10, {}))
    rates = written(folder / "f.csv", [f"{START_MS},10.0"], "funding_time_ms,rate")
    done = backtest("--candles", f"X={file}", "--funding", f"X={rates}")
    assert done.exit_code == 1
    assert "1 implausible_rate; the rates look like percentages" in done.output


# ---------------------------------------------------------------- tick


@pytest.mark.parametrize("early", ["0.8", "0.80"])
def test_a_coin_that_fell_is_filled_inside_its_candle(folder: Path, early: str) -> None:
    prices = [early] * 1_000 + ["0.0412"] * 30
    file = written(folder / "c.csv", candles(prices, {1_010: BUY}))
    backtest("--candles", f"X={file}", "--set", "scripted.stop_percent=10", "--set", "risk.leverage=1", "--db", "o.db")
    assert position(folder / "o.db")["entry_price_usdt"] == 0.0412


# ---------------------------------------------------------------- outputs


def test_no_output_takes_the_place_of_a_file_that_is_read(folder: Path) -> None:
    mine = written(folder / "mine.csv", candles(["100.0"] * 10, {}))
    before = mine.read_bytes()
    os.link(mine, folder / "hard.csv")
    (folder / "soft.csv").symlink_to(mine)
    (folder / "x").mkdir()
    for out in ("mine.csv", "x/../mine.csv", mine, "hard.csv", "soft.csv", "papertape.toml"):
        done = backtest("--candles", f"X={mine}", "--trades", out)
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"--trades {out}: this file is also an input" in done.stderr
        assert mine.read_bytes() == before
    twice = backtest("--candles", f"X={mine}", "--db", "o.db", "--trades", "o.db")
    assert (twice.exit_code, (folder / "o.db").exists()) == (2, False)
    assert "--trades o.db: another option writes this file" in twice.stderr


def test_trades_never_take_the_place_of_their_log(folder: Path) -> None:
    file = written(folder / "c.csv", candles(["100.0"] * 10, {}))
    assert backtest("--candles", f"X={file}", "--db", "o.db").exit_code == 0
    before = (folder / "o.db").read_bytes()
    for out in ("o.db", "o.db.head"):
        done = CliRunner().invoke(app, ["trades", "--db", "o.db", "--csv", out])
        assert (done.exit_code, "this file is also an input" in done.stderr) == (2, True)
    assert (folder / "o.db").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        (".", "this is a folder; name a file"),
        ("nowhere/t.csv", "there is no folder nowhere"),
        ("/dev/full", "cannot be written: No space left on device"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(folder: Path, out: str, reason: str) -> None:
    file = written(folder / "c.csv", candles(["100.0"] * 10, {}))
    done = backtest("--candles", f"X={file}", "--trades", out)
    assert (done.exit_code, done.stderr.splitlines()) == (
        2,
        [f"error: --trades {out}{'' if out == '/dev/full' else ':'} {reason}"],
    )


def test_a_run_that_fails_leaves_no_half_file(folder: Path) -> None:
    file = written(folder / "c.csv", candles(["100.0"] * 40, {3: BUY, 20: LEAVE}))
    (folder / "t.csv").write_text("earlier\n")
    names = sorted(path.name for path in folder.iterdir())
    assert backtest("--candles", f"X={file}", "--trades", "t.csv", "--db", "/dev/full/o.db").exit_code != 0
    assert (folder / "t.csv").read_text() == "earlier\n"
    assert sorted(path.name for path in folder.iterdir()) == names
    assert backtest("--candles", f"X={file}", "--trades", "t.csv", "--db", "o.db").exit_code == 0
    assert (folder / "t.csv").read_text().startswith("strategy,symbol,side")
    assert not [path.name for path in folder.iterdir() if "half" in path.name]


# ---------------------------------------------------------------- symbols of other scripts


def test_a_chinese_symbol_goes_through_file_names_csv_and_tables(folder: Path) -> None:
    rows = candles(["0.9275"] * 40, {3: BUY, 20: LEAVE})
    for given in (
        written(folder / f"bitget_{CHINESE}_1m_x.csv", rows).name,
        f"{CHINESE}={written(folder / 'c.csv', rows)}",
    ):
        done = backtest("--candles", given, "--trades", "t.csv")
        assert f"Backtest of {CHINESE}" in done.output
        with (folder / "t.csv").open(encoding="utf-8", newline="") as file:
            assert [trade["symbol"] for trade in csv.DictReader(file)] == [CHINESE]
    assert backtest("--candles", given, "--db", "o.db").exit_code == 0
    shown = CliRunner().invoke(app, ["trades", "--db", "o.db", "--symbol", CHINESE], env={"COLUMNS": "240"})
    title, heads, line, row = [text for text in shown.output.splitlines() if text.strip()][:4]
    assert CHINESE in row
    assert cell_len(row.rstrip()) <= cell_len(line.rstrip())
    assert (title.startswith("Closed trades"), "symbol" in heads) == (True, True)
    checked = CliRunner().invoke(app, ["config", "check", "papertape.toml"])
    assert checked.exit_code == 0
    live = folder / "live.toml"
    live.write_text(f'[feed]\nkind = "bitget"\n[feed.bitget]\nsymbols = ["{CHINESE}", "BTCUSDT"]\n')
    checked = CliRunner().invoke(app, ["config", "check", "live.toml"], env={"COLUMNS": "200"})
    assert (checked.exit_code, CHINESE in checked.output) == (0, True)
    live.write_text('[feed]\nkind = "bitget"\n[feed.bitget]\nsymbols = ["btcusdt"]\n')
    assert CliRunner().invoke(app, ["config", "check", "live.toml"]).exit_code == 4


def test_a_chinese_symbol_is_served_and_linked_on_the_pages(tmp_path: Path) -> None:
    file = written(tmp_path / "c.csv", candles(["0.9275"] * 40, {3: BUY, 20: LEAVE}))
    (tmp_path / "x.toml").write_text(f'[strategies]\nenabled = ["scripted"]\nfolders = ["{SCRIPTED_FOLDER}"]\n')
    config, db = tmp_path / "x.toml", tmp_path / "o.db"
    assert backtest("--config", config, "--candles", f"{CHINESE}={file}", "--db", db).exit_code == 0
    with closing(SqliteLogReader(db)) as reader:
        log: list[Recorded] = [one for commit in reader.commits() for one in commit.recorded()]

    @in_loop
    async def visit() -> None:
        async with visiting(site_of(log)) as client:
            path = quote(CHINESE)
            assert (await client.get(f"/api/v1/candles/{path}")).status_code == 200
            (trade,) = (await client.get("/api/v1/trades", params={"symbol": CHINESE})).json()["data"]["items"]
            assert trade["symbol"] == CHINESE
            page = await client.get(f"/chart/{path}?tf=1m")
            assert (page.status_code, f'href="/trades?symbol={path}"' in page.text) == (200, True)

    visit()


def test_a_chinese_symbol_keeps_the_columns_of_a_telegram_table_and_can_be_asked_for() -> None:
    shown = table([(CHINESE, "+1.00"), ("BTCUSDT", "-12.00")]).removeprefix("<pre>").removesuffix("</pre>")
    assert {cell_len(line) for line in shown.split("\n")} == {len(CHINESE) + 4 + 2 + 6}
    assert request_of(f"/whynot {CHINESE}") == NoPositionQuery(CHINESE)
