"""What a backtest reports besides its trades: open positions, how much of the period it traded, and why not more."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from papertape.events.units import MINUTE_MS
from tests.build import DAY_0_MS
from tests.cli.test_process_supervisor import wait_for
from tests.engine.processes import ok, papertape, running
from tests.support import SCRIPTED_FOLDER, needs_data, path_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

BUY, LEAVE = 1001.0, 1003.0
TINY_LIMIT = ("--set", "risk.max_session_loss_percent=0.25")


def candles(path: Path, count: int, orders: dict[int, float], *, fall_at: int = -1, step_ms: int = MINUTE_MS) -> Path:
    """Write candles around 100 with a strategy's orders as volumes; from `fall_at` on they are 0.4 lower."""
    rows = ["open_time_ms,open,high,low,close,volume"]
    for number in range(count):
        price = 100.0 + 0.01 * (number % 5) - (0.4 if 0 <= fall_at <= number else 0.0)
        prices = f"{price:.2f},{price + 0.2:.2f},{price - 0.2:.2f},{price:.2f}"
        rows.append(f"{DAY_0_MS + number * step_ms},{prices},{orders.get(number, 1.0)}")
    path.write_text("\n".join(rows) + "\n")
    return path


def settlement(path: Path, minute: int) -> Path:
    path.write_text(f"funding_time_ms,rate\n{DAY_0_MS + minute * MINUTE_MS},0.001\n")
    return path


def scripted(folder: Path, *arguments: str, engine: str = "python") -> tuple[str, ...]:
    """Run a backtest of the scripted strategy."""
    (folder / "papertape.toml").write_text(f"[strategies]\nfolders = ['{SCRIPTED_FOLDER}']\n")
    return ("backtest", "--engine", engine, *arguments, "--strategy", "scripted")


def result_of(folder: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok(folder, *arguments, "--json"))
    return found


def only(result: dict[str, Any]) -> dict[str, Any]:
    (found,) = result["strategies"]
    return dict(found)


def standing(folder: Path, db: str) -> dict[str, Any]:
    """Return the output of `positions` for the log that --db wrote."""
    found: dict[str, Any] = json.loads(ok(folder, "positions", "--db", db, "--json"))
    return found


def without(name: str, views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return views without a field, and their fills without their seqs."""
    rest = [{key: value for key, value in view.items() if key != name} for view in views]
    return [{**view, "fills": without("seq", view["fills"])} if view.get("fills") else view for view in rest]


# ---------------------------------------------------------------- open at the end


@pytest.mark.parametrize("engine", ["python", "compiled"])
@pytest.mark.parametrize("symbols", [("X",), ("X", "Y")])
def test_what_is_open_at_the_end_is_the_log_s(tmp_path: Path, engine: str, symbols: tuple[str, ...]) -> None:
    """With funding booked on it, a pending order, and a kill switch that tripped while it was open."""
    if engine == "compiled":
        pytest.importorskip("numba")
        from tests.research.ways import compile_once  # noqa: PLC0415 - belongs to an extra

        compile_once()
    files = [f"{name}={candles(tmp_path / f'{name}.csv', 40, {3: BUY, 39: LEAVE}, fall_at=20)}" for name in symbols]
    funding = f"X={settlement(tmp_path / 'rate.csv', 10)}"
    arguments = scripted(tmp_path, "--candles", *files, "--funding", funding, *TINY_LIMIT, engine=engine)
    result = result_of(tmp_path, *arguments, "--db", "out.db", "--trades", "t.csv")
    found, log = only(result), standing(tmp_path, "out.db")
    assert without("opened_seq", found["open_positions"]) == without("opened_seq", log["positions"])
    assert without("seq", found["pending_orders"]) == without("seq", log["orders"])
    assert [one["symbol"] for one in found["open_positions"]] == list(symbols)
    assert found["open_positions"][0]["funding_usdt"] < 0.0
    assert found["open_positions"][0]["best_usdt"] > 0.0 > found["open_positions"][0]["worst_usdt"]
    assert {order["action"] for order in found["pending_orders"]} == {"exit"}
    assert found["stopped"] == log["accounts"][0]["why"] != ""
    assert found["performance"]["end_equity_usdt"] == log["equity_usdt"]
    assert found["performance"]["trades"] == 0


def test_text_names_what_is_open_and_what_is_pending(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 40, {3: BUY, 39: LEAVE})
    text = ok(tmp_path, *scripted(tmp_path, "--candles", f"X={file}"))
    assert "scripted still holds long X, marked at the last close" in text
    assert "scripted has a pending order: exit long X at the next open" in text
    assert "Open at the end" in text


def test_the_trades_file_has_closed_trades_and_a_file_beside_it_what_is_open(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 60, {3: BUY, 10: LEAVE, 40: BUY})
    arguments = scripted(tmp_path, "--candles", f"X={file}")
    done = papertape(tmp_path, *arguments, "--trades", "t.csv", "--db", "out.db")
    assert done.returncode == 0
    assert "1 position is still open and not among the closed trades in t.csv; see t.open.csv" in done.stderr
    assert (tmp_path / "t.csv").read_text() == ok(tmp_path, "trades", "--db", "out.db", "--csv", "-")
    (row,) = csv.DictReader((tmp_path / "t.open.csv").read_text().splitlines())
    (view,) = standing(tmp_path, "out.db")["positions"]
    assert (row["symbol"], row["side"], row["entry_time_ms"]) == ("X", "long", str(view["entry_time_ms"]))
    assert row["mark_time_ms"] == str(DAY_0_MS + 60 * MINUTE_MS)
    for name in ("quantity_base", "entry_price_usdt", "mark_price_usdt", "unrealised_usdt", "fees_usdt"):
        assert float(row[name]) == view[name]


def test_the_fills_file_has_every_fill_also_of_what_is_open(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 60, {3: BUY, 10: LEAVE, 40: BUY})
    ok(tmp_path, *scripted(tmp_path, "--candles", f"X={file}"), "--fills", "f.csv", "--db", "out.db")
    text = (tmp_path / "f.csv").read_text()
    assert text == ok(tmp_path, "trades", "--db", "out.db", "--fills", "-")
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["action"], row["reason"], row["side"]) for row in rows] == [
        ("open", "market", "buy"),
        ("close", "told", "sell"),
        ("open", "market", "buy"),
    ]
    assert [float(row["position_base"]) > 0.0 for row in rows] == [True, False, True]
    (trade,) = json.loads(ok(tmp_path, "trades", "--db", "out.db", "--json"))
    assert [fill["price_usdt"] for fill in trade["fills"]] == [float(row["price_usdt"]) for row in rows[:2]]


def test_a_run_over_the_same_files_writes_the_same_fills(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 60, {3: BUY, 10: LEAVE, 40: BUY})
    arguments = scripted(tmp_path, "--candles", f"X={file}")
    ok(tmp_path, *arguments, "--fills", "tape.csv")
    only_it = ("--set", "strategies.enabled=scripted")
    run = ("run", "--candles", f"X={file}", "--speed", "max", "--db", "paper.db", *only_it)
    done = papertape(tmp_path, *run, "--until-end", "--fills", "paper.csv")
    assert (done.returncode, done.stderr) == (0, "3 fills written to paper.csv\n")
    assert (tmp_path / "paper.csv").read_text() == (tmp_path / "tape.csv").read_text()
    with running(tmp_path, *run, "--fills", "again.csv") as process:
        wait_for((tmp_path / "again.csv").exists)
        assert process.poll() is None, "without --until-end the engine stays up"
    assert (tmp_path / "again.csv").read_text() == (tmp_path / "tape.csv").read_text()


def test_the_fills_of_a_run_are_no_input_and_need_a_market_that_ends(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 20, {})
    run = ("run", "--candles", f"X={file}", "--speed", "max", "--until-end", "--db", "log.db")
    for name in ("x.csv", "log.db"):
        assert refused(tmp_path, 2, *run, "--fills", name) == f"error: --fills {name}: this file is also an input"
    line = refused(tmp_path, 2, "run", "--feed", "sim", "--db", "log.db", "--fills", "f.csv")
    assert line == "error: --fills needs recorded candles; with the feed sim, use papertape trades --fills"
    assert not (tmp_path / "log.db").exists()


def test_the_files_of_trades_and_fills_are_two(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 20, {})
    arguments = scripted(tmp_path, "--candles", f"X={file}")
    done = papertape(tmp_path, *arguments, "--trades", "t.csv", "--fills", "t.csv")
    assert (done.returncode, done.stderr) == (2, "error: --fills t.csv: another option writes this file\n")


def test_a_run_with_nothing_open_leaves_no_positions_of_an_earlier_one(tmp_path: Path) -> None:
    arguments, open_file = scripted(tmp_path, "--trades", "t.csv"), tmp_path / "t.open.csv"
    nothing = ("--candles", f"X={candles(tmp_path / 'nothing.csv', 20, {})}")
    assert papertape(tmp_path, *arguments, *nothing).stderr == ""
    assert not open_file.exists()
    ok(tmp_path, *arguments, "--candles", f"X={candles(tmp_path / 'open.csv', 20, {3: BUY})}")
    assert len(open_file.read_text().splitlines()) == 2
    ok(tmp_path, *arguments, *nothing)
    assert len(open_file.read_text().splitlines()) == 1


@needs_data
@pytest.mark.parametrize("engine", ["python", "compiled"])
def test_a_real_long_that_is_open_at_the_last_candle(tmp_path: Path, engine: str) -> None:
    if engine == "compiled":
        pytest.importorskip("numba")
        from tests.research.ways import compile_once  # noqa: PLC0415 - belongs to an extra

        compile_once()
    file = path_of("binance_BTCUSDT_5m_2024-12-31_2025-09-30.csv.gz")
    files = ("--candles", str(file), "--to", "2024-12-31T12:10", "--strategy", "momentum")
    found = only(result_of(tmp_path, "backtest", "--engine", engine, *files))
    (held,) = found["open_positions"]
    assert (held["quantity_base"], held["entry_price_usdt"], held["mark_price_usdt"]) == (0.0846, 94_517.4, 94_540.5)
    assert round(held["unrealised_usdt"], 2) == 1.95
    assert round(found["performance"]["end_equity_usdt"], 2) == 9_997.16
    assert (found["performance"]["trades"], found["pending_orders"]) == (0, [])


# ---------------------------------------------------------------- coverage


def test_a_run_that_was_stopped_early_says_when_why_and_how_little_it_traded(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 400, {3: BUY, 30: LEAVE}, fall_at=20)
    arguments = scripted(tmp_path, "--candles", f"X={file}", "--from", "20250101", *TINY_LIMIT)
    result = result_of(tmp_path, *arguments)
    coverage = only(result)["coverage"]
    tripped_ms = DAY_0_MS + 21 * MINUTE_MS
    assert (result["requested_from_ms"], result["requested_until_ms"]) == (DAY_0_MS, None)
    assert (coverage["from_ms"], coverage["until_ms"]) == (DAY_0_MS, DAY_0_MS + 400 * MINUTE_MS)
    assert (coverage["traded_from_ms"], coverage["traded_until_ms"]) == (
        DAY_0_MS + 4 * MINUTE_MS,
        DAY_0_MS + 31 * MINUTE_MS,
    )
    assert coverage["entries_allowed_percent"] == pytest.approx(21 / 400 * 100.0)
    (trip,) = coverage["trips"]
    assert (trip["tripped_at_ms"], trip["reason"]) == (tripped_ms, "session_loss")
    text = ok(tmp_path, *arguments)
    assert "Coverage, requested 2025-01-01 00:00 to the last candle UTC" in text
    assert "2025-01-01 00:04 to 2025-01-01 00:31 (27m)" in text
    assert "5.2 %" in text
    assert "scripted stopped 2025-01-01 00:21 UTC: kill switch: session loss" in text


def test_signals_that_were_refused_are_counted_by_reason(tmp_path: Path) -> None:
    file = candles(tmp_path / "x.csv", 60, dict.fromkeys(range(10, 15), BUY))
    arguments = scripted(tmp_path, "--candles", f"X={file}", "--set", "scripted.stop_percent=0")
    coverage = only(result_of(tmp_path, *arguments))["coverage"]
    assert (coverage["refused"], coverage["traded_from_ms"]) == ({"stop_too_close": 5}, 0)
    assert coverage["entries_allowed_percent"] == 100.0
    text = ok(tmp_path, *arguments)
    assert "scripted: 5 signals refused: 5 x the stop is too close to the entry" in text


def test_a_symbol_whose_data_end_early_is_named_with_the_date(tmp_path: Path) -> None:
    long, short = candles(tmp_path / "x.csv", 300, {3: BUY}), candles(tmp_path / "y.csv", 100, {3: BUY})
    arguments = scripted(tmp_path, "--candles", f"X={long}", f"Y={short}")
    result = result_of(tmp_path, *arguments)
    assert [(one["symbol"], one["until_ms"] - DAY_0_MS, one["ends_early"]) for one in result["data"]] == [
        ("X", 300 * MINUTE_MS, False),
        ("Y", 100 * MINUTE_MS, True),
    ]
    text = ok(tmp_path, *arguments)
    assert "the data of Y ends at 2025-01-01 01:40 UTC, 3h 20m before the others" in text
    assert "the data of X" not in text


# ---------------------------------------------------------------- nothing to run


VERBS = (
    ("backtest", "--engine", "python"),
    ("backtest", "--engine", "compiled"),
    ("run", "--feed", "file", "--speed", "max", "--until-end", "--db", "paper.db"),
)


def refused(folder: Path, code: int, *arguments: str) -> str:
    """Return the one line with which a command ends."""
    done = papertape(folder, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("verb", VERBS, ids=["python", "compiled", "run"])
def test_candles_too_coarse_for_every_strategy_end_with_what_each_needs(tmp_path: Path, verb: tuple[str, ...]) -> None:
    file = candles(tmp_path / "h.csv", 48, {}, step_ms=60 * MINUTE_MS)
    line = refused(tmp_path, 4, *verb, "--candles", f"X={file}")
    needs = "vwap_rsi, momentum, liquidation need 5m, funding 15m"
    assert line == f"error: no strategy can run on 1h candles: {needs}"
    assert not (tmp_path / "paper.db").exists()


COVERED = "the candles cover 2025-01-01 00:00 to 2025-01-01 01:00 UTC"
PERIODS = {
    "before": (("", "20240101"), "no candle opens in the period to 2024-01-01 00:00"),
    "behind": (("2025-02-01", ""), "no candle opens in the period from 2025-02-01 00:00 on"),
    "the very end": (("2025-01-01T01:00", ""), "no candle opens in the period from 2025-01-01 01:00 on"),
}


@pytest.mark.parametrize("name", PERIODS)
def test_a_period_without_candles_names_what_the_files_cover(tmp_path: Path, name: str) -> None:
    (start, end), said = PERIODS[name]
    file = f"X={candles(tmp_path / 'x.csv', 60, {})}"
    limits = [word for option, value in (("--from", start), ("--to", end)) if value for word in (option, value)]
    assert refused(tmp_path, 2, "backtest", "--candles", file, *limits) == f"error: {said}; {COVERED}"
    sets = [f"feed.file.{key}={value}" for key, value in (("start", start), ("end", end)) if value]
    assert refused(tmp_path, 2, *VERBS[2], "--candles", file, "--set", *sets) == f"error: {said}; {COVERED}"
    assert not (tmp_path / "paper.db").exists()


def test_a_start_behind_the_end_is_an_error_of_its_own(tmp_path: Path) -> None:
    file = f"X={candles(tmp_path / 'x.csv', 60, {})}"
    for end in ("20250101", "20250101T0030", "1735691400"):
        line = refused(tmp_path, 2, "backtest", "--candles", file, "--from", "2025-01-01T00:30", "--to", end)
        assert "ends before it begins" in line
        assert line.endswith(COVERED)


# ---------------------------------------------------------------- moments


def test_a_compact_day_is_the_day_it_names(tmp_path: Path) -> None:
    file = f"X={candles(tmp_path / 'x.csv', 1500, {})}"
    assert result_of(tmp_path, *scripted(tmp_path, "--candles", file, "--to", "20250102"))["facts"] == 1_440
    behind = result_of(tmp_path, *scripted(tmp_path, "--candles", file, "--from", "1735776000"))
    assert only(behind)["coverage"]["from_ms"] == DAY_0_MS + 1_440 * MINUTE_MS


def test_what_could_mean_several_times_is_refused_with_what_could_be_written(tmp_path: Path) -> None:
    file = f"X={candles(tmp_path / 'x.csv', 60, {})}"
    for option in ("--from", "--to"):
        line = refused(tmp_path, 2, "backtest", "--candles", file, option, "202501")
        assert line.startswith(f"error: {option} '202501': not a time; write 2025-01-31, 20250131, ")
    line = refused(tmp_path, 2, "download", "--symbol", "BTCUSDT", "--from", "202501")
    assert line.startswith("error: --from '202501': not a time; write ")
