"""The commands that read a log, run as a user runs them on a small log."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from papertape.cli.app import app
from papertape.engine.strategy_registry import BUILT_IN_ORDER
from papertape.events.log import Entry
from papertape.projections.folds.arena import ArenaRow
from papertape.projections.folds.portfolio import PortfolioView
from papertape.projections.folds.trades import CSV_COLUMNS, TradeView
from tests.build import candle, closed, opened, ordered
from tests.cli.written_log import CLOSING, FILL, HEAD, ORDER, REJECTED, TRIP, write_log
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

pytestmark = pytest.mark.system

READING = ("log", "why", "arena", "trades", "positions", "compare", "strategies", "config check", "doctor")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "small.db")


def run(*arguments: object, columns: int = 140) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": str(columns)})


def ok(*arguments: object, columns: int = 140) -> str:
    result = run(*arguments, columns=columns)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*arguments: object) -> Any:
    return json.loads(ok(*arguments, "--json"))


def json_lines(*arguments: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ok(*arguments, "--json").splitlines()]


# ---------------------------------------------------------------- help and errors


@pytest.mark.parametrize("verb", READING)
def test_help_shows_an_example_and_json(verb: str) -> None:
    shown = ok(*verb.split(), "--help")
    assert "Example" in shown
    assert "--json" in shown


def test_help_states_the_exit_codes() -> None:
    shown = " ".join(ok("--help").split())
    for text in (
        "0 success",
        "1 a difference",
        "2 wrong usage",
        "3 another engine",
        "4 invalid configuration",
        "5 damaged log",
    ):
        assert text in shown


def test_version_is_shown() -> None:
    assert ok("--version").startswith("papertape ")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["arena", "--db", "none.db"], 2, "there is no log at"),
        (["arena", "--db", __file__], 2, "is not a papertape log"),
        (["arena", "--config", "none.toml"], 4, "this configuration file does not exist"),
        (["config", "check", "none.toml"], 4, "this configuration file does not exist"),
        (["strategies", "momentm"], 2, "there is no strategy 'momentm'; did you mean momentum? there are: vwap_rsi"),
        (["arnea"], 2, "Did you mean 'arena'?"),
        (["log", "--limit", "0"], 2, "Invalid value for '--limit'"),
    ],
)
def test_an_error_is_a_text_and_an_exit_code(arguments: list[str], code: int, text: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert text in " ".join(result.stderr.split())
    assert not result.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["log", "--type", "PositionOpend"],
            "no event type 'PositionOpend'; did you mean PositionOpened? there are: Contr",
        ),
        (["log", "--symbol", "BTCUSD"], "no symbol 'BTCUSD'; did you mean BTCUSDT? the log has: BTCUSDT"),
        (["log", "--strategy", "x"], "no strategy 'x'; the log has: momentum, funding, liquidation"),
        (["trades", "--symbol", "ETHUSDT"], "no symbol 'ETHUSDT'; did you mean BTCUSDT? the log has: BTCUSDT"),
        (["why", "999"], "there is no seq 999: the log ends at seq 15"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(arguments: list[str], text: str, db: Path) -> None:
    result = run(*arguments, "--db", db)
    assert result.exit_code == 2
    assert text in " ".join(result.stderr.split())


def test_a_damaged_log_ends_with_5(tmp_path: Path) -> None:
    path = write_log(tmp_path / "torn.db")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"holiday", b"holidaz", 1))
    result = run("arena", "--db", path)
    assert result.exit_code == 5
    assert "the log is damaged at seq 13: the row does not match its hash" in result.stderr


# ---------------------------------------------------------------- log


def test_the_log_is_shown_in_words_without_the_market_stream(db: Path) -> None:
    lines = ok("log", "--db", db).splitlines()
    assert len(lines) == 11
    assert lines[0].split()[:4] == ["1", "2025-01-01", "00:00", "#"]
    assert any("LONG BTCUSDT: momentum opened 1.0000 at 100.00 (100.00 USDT)" in line for line in lines)
    assert not any("BTCUSDT closed at" in line for line in lines)


def test_the_log_shows_everything_on_demand(db: Path) -> None:
    assert len(ok("log", "--db", db, "--all").splitlines()) == HEAD
    assert len(json_lines("log", "--db", db, "--type", "CandleClosed")) == 4


def test_the_log_shows_the_newest_or_goes_forward_from_a_seq(db: Path) -> None:
    assert [row["seq"] for row in json_lines("log", "--db", db, "--all", "--limit", 3)] == [13, 14, 15]
    assert [row["seq"] for row in json_lines("log", "--db", db, "--all", "--limit", 3, "--from", 4)] == [4, 5, 6]


def test_the_log_is_filtered_by_strategy_and_symbol(db: Path) -> None:
    assert [row["seq"] for row in json_lines("log", "--db", db, "--strategy", "funding")] == [4, TRIP]
    of_symbol = json_lines("log", "--db", db, "--symbol", "BTCUSDT", "--strategy", "momentum")
    assert [row["seq"] for row in of_symbol] == [3, ORDER, FILL, CLOSING, REJECTED]


def test_an_event_as_json_has_its_place_and_its_fields(db: Path) -> None:
    (fill,) = json_lines("log", "--db", db, "--type", "PositionOpened")
    assert list(fill)[:4] == ["seq", "type", "at_ms", "cause"]
    assert (fill["seq"], fill["type"], fill["cause"], fill["price_usdt"]) == (FILL, "PositionOpened", ORDER, 100.0)


def test_an_empty_selection_says_why(db: Path) -> None:
    assert "--all also shows" in ok("log", "--db", db, "--strategy", "funding", "--from", 13)


def test_following_shows_what_is_appended_and_ends_quietly_on_ctrl_c(tmp_path: Path) -> None:
    path = write_log(tmp_path / "small.db")
    command = [sys.executable, "-m", "papertape", "log", "--db", str(path), "--follow", "--json", "--limit", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests in the background may have SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread runs here.
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["seq"] == REJECTED
        write_log(path, [[Entry(opened(price_usdt=106.0))]])
        assert json.loads(process.stdout.readline())["seq"] == HEAD + 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_reader_that_goes_away_is_no_error_text(tmp_path: Path) -> None:
    path = write_log(tmp_path / "long.db", [[Entry(candle(minute, 100.0)) for minute in range(4_000)]])
    command = [sys.executable, "-m", "papertape", "log", "--db", str(path), "--all", "--limit", "4000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


# ---------------------------------------------------------------- why


def test_why_goes_from_a_fill_to_its_candle_with_the_conditions_in_force(db: Path) -> None:
    shown = ok("why", FILL, "--db", db)
    assert f"seq {FILL} " in shown
    assert "✓ 15m ADX: 31.5 >= 31" in shown
    assert "readings: close 101, highest 100" in shown
    assert "seq 6 " in shown
    assert "changed since" not in shown


def test_why_of_a_closing_tells_its_entry_too(db: Path) -> None:
    chain = as_json("why", CLOSING, "--db", db)
    assert [link["seq"] for link in chain["links"]] == [CLOSING, 10]
    assert [link["seq"] for link in chain["origin"]] == [FILL, ORDER, 6]
    conditions = chain["origin"][1]["conditions"]
    assert conditions[0] == {"name": "15m ADX", "value": 31.5, "relation": ">=", "threshold": 31.0, "met": True}
    assert (chain["complete"], chain["notes"]) == (True, [])


def test_why_of_a_trip_tells_base_equity_and_threshold(db: Path) -> None:
    shown = ok("why", TRIP, "--db", db)
    assert "base 10,000.00, peak 10,000.00, equity 9,498.00" in shown
    assert "loss 5.02 % of the base, threshold 5 %" in shown


def test_why_of_a_refused_signal_marks_what_was_not_met(db: Path) -> None:
    shown = ok("why", REJECTED, "--db", db)
    assert "✗ close outside the range: 101 < 90" in shown


def test_why_says_when_a_strategy_is_not_there_any_more(tmp_path: Path) -> None:

    path = write_log(tmp_path / "old.db", [[Entry(candle(0, 100.0)), Entry(ordered(strategy="gone"), 1)]])
    assert "gone: this strategy is not installed here" in ok("why", 2, "--db", path)


# ---------------------------------------------------------------- arena, trades, positions


def test_the_arena_ranks_and_says_who_is_stopped_and_why(db: Path) -> None:
    shown = ok("arena", "--db", db)
    assert "1  momentum     ● active   +0.05 %    10,004.88      1*" in shown
    assert "■ stopped" in shown
    assert "‖ paused" in shown
    assert "funding: kill switch: session loss 5.02 % of 10,000.00 reached the limit of 5 %" in shown
    assert "* fewer than 30 closed trades: counts, not verdicts" in shown


def test_the_arena_as_json_has_the_fields_of_its_rows(db: Path) -> None:
    rows = as_json("arena", "--db", db)
    assert [row["strategy"] for row in rows] == ["momentum", "funding", "liquidation"]
    assert (*rows[0], "promise") == ArenaRow.__struct_fields__  # None of them follows a study.


@pytest.mark.parametrize("columns", [80, 100, 140])
@pytest.mark.parametrize("verb", ["arena", "trades", "positions"])
def test_tables_fit_the_terminal(verb: str, columns: int, db: Path) -> None:
    shown = ok(verb, "--db", db, columns=columns)
    assert max(len(line) for line in shown.splitlines()) <= columns
    assert "…" not in shown


def test_trades_are_listed_with_their_total(db: Path) -> None:
    shown = ok("trades", "--db", db)
    assert "▲ long" in shown
    assert "+4.88" in shown
    assert "1 of 1 shown; all: net +4.88 USDT, fees 0.12, funding 0.00" in shown
    assert "No closed trades of funding in the log's 15 events." in ok("trades", "--db", db, "--strategy", "funding")


def test_trades_as_json_have_the_fields_of_the_view(db: Path) -> None:
    (trade,) = as_json("trades", "--db", db, "--symbol", "BTCUSDT")
    assert tuple(trade) == TradeView.__struct_fields__
    assert (trade["net_usdt"], trade["seq"], trade["order_seq"]) == (4.88, CLOSING, ORDER)


def test_trades_are_written_as_csv(db: Path, tmp_path: Path) -> None:
    ok("trades", "--db", db, "--csv", tmp_path / "trades.csv")
    with (tmp_path / "trades.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows[1][:3] == ["momentum", "BTCUSDT", "long"]
    assert ok("trades", "--db", db, "--csv", "-") == (tmp_path / "trades.csv").read_text()
    assert run("trades", "--db", db, "--csv", tmp_path / "no" / "t.csv").exit_code == 2


def test_limits_take_the_newest_trades(tmp_path: Path) -> None:
    trades = [Entry(fact) for gain in (1.0, 2.0, 3.0) for fact in (opened(), closed(gain))]
    path = write_log(tmp_path / "three.db", [[Entry(candle(0, 100.0)), *trades]])
    shown = as_json("trades", "--db", path, "--limit", 2)
    assert [round(trade["gross_usdt"]) for trade in shown] == [3, 2]


def test_positions_say_when_nothing_stands(db: Path) -> None:
    shown = ok("positions", "--db", db)
    assert "No open positions at 2025-01-01 00:04 UTC, seq 15: none of the 3 strategies has one." in shown
    assert "No pending orders." in shown
    assert "■ funding stopped since 2025-01-01 00:00 UTC, trip 12: kill switch: session loss" in shown
    assert "‖ liquidation paused by anna: holiday" in shown


def test_positions_show_what_is_open_and_ordered(tmp_path: Path) -> None:
    from tests.cli.written_log import entries  # noqa: PLC0415

    first, ordered, filled, *_ = entries()
    assert "open ▲ long" in ok("positions", "--db", write_log(tmp_path / "a.db", [first, ordered]))
    path = write_log(tmp_path / "b.db", [first, ordered, filled, [Entry(candle(2, 103.0))]])
    assert "+3.00" in ok("positions", "--db", path)
    view = as_json("positions", "--db", path)
    assert tuple(view) == PortfolioView.__struct_fields__
    assert view["positions"][0]["unrealised_usdt"] == 3.0


@pytest.mark.parametrize("verb", ["log", "arena", "trades", "positions"])
def test_a_log_without_trading_says_so(verb: str, tmp_path: Path) -> None:
    path = write_log(tmp_path / "fresh.db", [[Entry(candle(0, 100.0))]])
    assert "o" in ok(verb, "--db", path)


def test_a_log_is_read_while_an_engine_holds_it(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    from papertape.events.sqlite_log import SqliteEventLog  # noqa: PLC0415

    path = write_log(tmp_path / "held.db")

    async def held() -> subprocess.CompletedProcess[str]:
        log = await SqliteEventLog.open(path, clock_ms=lambda: 1)
        await log.append(log.head.seq, [Entry(candle(9, 100.0))])
        command = [sys.executable, "-m", "papertape", "positions", "--json", "--db", str(path)]
        found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        await log.close()
        return found

    assert json.loads(asyncio.run(held()).stdout)["seq"] == HEAD + 1


# ---------------------------------------------------------------- strategies, config, doctor


def test_strategies_are_listed_and_shown_with_their_parameters() -> None:
    assert [row["name"] for row in as_json("strategies")] == list(BUILT_IN_ORDER)
    momentum = as_json("strategies", "momentum")
    assert momentum["parameters"][0] == {
        "name": "breakout_lookback", "type": "int", "default": 20, "ge": 1, "gt": None, "le": 2_048, "lt": None,
        "unit": "candles", "meaning": "candles whose range must be broken",
    }  # fmt: skip
    assert "1 to 2048 candles" in ok("strategies", "momentum")
    assert "Breakout with the trend" in ok("strategies")


def test_a_valid_configuration_is_summed_up(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[strategies.momentum]\ntp_percent = 1\n[groups]\nXRPUSDT = 'a'\n")
    shown = ok("config", "check", path)
    assert "tp_percent = 1" in shown
    assert "groups.XRPUSDT groups a symbol that is not watched" in shown
    assert as_json("config", "check", path)["valid"] is True


def test_the_doctor_finds_a_good_log_good(db: Path) -> None:
    findings = as_json("doctor", "--db", db, "--full")
    assert {finding["level"] for finding in findings} <= {"ok", "warn"}
    by_name = {finding["name"]: finding["text"] for finding in findings}
    assert by_name["sqlite mode"] == "journal_mode wal, synchronous full"
    assert by_name["chain"] == "the whole chain is intact: 6 commits"
    assert "15 events" in by_name["log"]


def test_the_doctor_fails_on_a_damaged_log_and_a_bad_configuration(tmp_path: Path) -> None:
    path = write_log(tmp_path / "torn.db")
    path.write_bytes(path.read_bytes().replace(b"holiday", b"holidaz", 1))
    (tmp_path / "bad.toml").write_text("[risk]\nleverage = 500")
    result = run("doctor", "--db", path, "--config", tmp_path / "bad.toml")
    assert result.exit_code == 1
    assert "✗ fail  configuration" in result.stdout
    assert "damaged at seq 13" in result.stdout


def test_reading_verbs_load_no_array_library(db: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from papertape.cli.app import app\n"
        f"for verb in (['arena'], ['log'], ['why', '9'], ['doctor'], ['trades'], ['positions']):\n"
        f"    assert CliRunner().invoke(app, [*verb, '--db', {str(db)!r}]).exit_code == 0\n"
        "print({'numpy', 'numba', 'polars', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
