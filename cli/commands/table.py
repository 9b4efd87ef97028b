"""Every command of `papertape`, in the order of the help and under its headings. A new command is one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from papertape.cli.commands.archive import archive, backup, export, import_, refold, restore, seal, unseal
from papertape.cli.commands.control import close, kill, pause, reload, reset, resume, signal
from papertape.cli.commands.download import download, sample
from papertape.cli.commands.inspect import (
    arena,
    check,
    compare,
    config_check,
    config_show,
    decide_diff,
    doctor,
    fork,
    log,
    positions,
    strategies,
    trades,
    why,
    whynot,
)
from papertape.cli.commands.promote import promote
from papertape.cli.commands.research import (
    report,
    study_backtest,
    study_export,
    study_forget,
    study_list,
    study_show,
    study_verify,
    sweep,
    walkforward,
)
from papertape.cli.commands.run import backtest, replay, run, up, verify
from papertape.cli.commands.serve import mcp, token, ui
from papertape.cli.commands.start import demo, init
from papertape.cli.commands.twins import bitget, telegram
from papertape.cli.commands.variables import LongCommand, VariableCommand

if TYPE_CHECKING:
    from collections.abc import Callable


class Verb(NamedTuple):
    """A command as it is typed, the function it calls, and a working command line for its help."""

    name: str
    call: Callable[..., None]
    example: str
    kind: type[VariableCommand] = VariableCommand


VERBS: dict[str, tuple[Verb, ...]] = {
    "Begin": (
        Verb("demo", demo, "papertape demo", LongCommand),
        Verb("init", init, "papertape init my_tape"),
    ),
    "Run and prove": (
        Verb("run", run, "papertape run --feed sim --speed 600 --db data/demo.db", LongCommand),
        Verb("up", up, "papertape up --config demo.toml", LongCommand),
        Verb("backtest", backtest, "papertape backtest --candles BTCUSDT=btc.csv.gz --strategy momentum", LongCommand),
        Verb("replay", replay, "papertape replay --at 2025-01-03T12:00"),
        Verb("verify", verify, "papertape verify --db data/demo.db", LongCommand),
    ),
    "Research": (
        Verb("sample", sample, "papertape sample market"),
        Verb(
            "sweep",
            sweep,
            "papertape sweep --strategy momentum --candles BTCUSDT=btc.csv.gz --vary sl_percent=0.2:1.2:0.1",
            LongCommand,
        ),
        Verb(
            "walkforward",
            walkforward,
            "papertape walkforward momentum-btc --train 90d --test 30d --embargo 1d",
            LongCommand,
        ),
        Verb("study list", study_list, "papertape study list"),
        Verb("study show", study_show, "papertape study show momentum-btc"),
        Verb("study verify", study_verify, "papertape study verify momentum-btc"),
        Verb("study backtest", study_backtest, "papertape study backtest momentum-btc"),
        Verb("study export", study_export, "papertape study export momentum-btc --out sets.parquet"),
        Verb("study forget", study_forget, "papertape study forget momentum-btc"),
        Verb("report", report, "papertape report data/papertape.db --html report.html"),
        Verb("promote", promote, "papertape promote momentum-btc --to papertape.toml"),
    ),
    "Control an engine, running or not": (
        Verb("pause", pause, 'papertape pause momentum --why "news at 14:30"'),
        Verb("resume", resume, 'papertape resume momentum --why "the news is out"'),
        Verb("close", close, 'papertape close momentum --symbol BTCUSDT --why "weekend"'),
        Verb("kill", kill, 'papertape kill --why "something is odd"'),
        Verb("reload", reload, 'papertape reload --why "wider stops"'),
        Verb("reset", reset, 'papertape reset momentum --trip 16608 --why "reviewed its trades"'),
        Verb("signal", signal, "papertape signal trend 1 --symbol BTCUSDT"),
    ),
    "Read a log": (
        Verb("arena", arena, "papertape arena --json"),
        Verb("positions", positions, "papertape positions"),
        Verb("trades", trades, "papertape trades --symbol BTCUSDT --csv trades.csv"),
        Verb("log", log, "papertape log --strategy momentum --follow"),
        Verb("why", why, "papertape why 4711"),
        Verb("whynot", whynot, "papertape whynot momentum --symbol BTCUSDT --days 7"),
        Verb("compare", compare, "papertape compare data/live.db data/backtest.db"),
        Verb("decide-diff", decide_diff, "papertape decide-diff data/demo.db --set momentum.sl_percent=0.8"),
        Verb("fork", fork, "papertape fork data/demo.db --at 2025-01-03 --set risk.leverage=2"),
    ),
    "Show it on a page": (
        Verb("ui", ui, "papertape ui --db data/demo.db", LongCommand),
        Verb("token", token, "PAPERTAPE_TOKEN=$(papertape token) papertape ui --host 0.0.0.0"),
        Verb("mcp", mcp, "papertape mcp --url http://127.0.0.1:8700"),
    ),
    "Keep a log safe": (
        Verb("backup", backup, "papertape backup --to /mnt/usb --keep 30"),
        Verb("restore", restore, "papertape restore data/backups/papertape.db-20260302T040000Z-000000123456.backup"),
        Verb("seal", seal, "papertape seal --older-than 1d"),
        Verb("unseal", unseal, "papertape unseal --db data/demo.db"),
        Verb("archive", archive, "papertape archive --before 2026-01-01 --to /mnt/usb/papertape"),
        Verb("export", export, "papertape export --out odd-trade.jsonl.gz --redact"),
        Verb("import", import_, "papertape import odd-trade.jsonl.gz --db data/odd.db"),
        Verb("refold", refold, "papertape refold --db copy.backup --expect 0f343b0931126a20f133d67c2b018a3b"),
    ),
    "Exchanges": (
        Verb(
            "download", download, "papertape download --symbol BTCUSDT --from 2025-01-01 --to 2025-02-01", LongCommand
        ),
        Verb("twin bitget", bitget, "papertape twin bitget --port 8701 --speed 60", LongCommand),
        Verb("twin telegram", telegram, "papertape twin telegram --port 8702", LongCommand),
    ),
    "This installation": (
        Verb("strategies", strategies, "papertape strategies momentum"),
        Verb("check", check, "papertape check my_strategies/three_down.py"),
        Verb("config check", config_check, "papertape config check papertape.toml"),
        Verb("config show", config_show, "papertape config show --changed"),
        Verb("doctor", doctor, "papertape doctor --full"),
    ),
}
"""The commands by heading. The first of two words names a group."""
GROUPS = {
    "twin": "Serve a local stand-in for Bitget or Telegram.",
    "config": "Check and show the configuration.",
    "study": "Show, check, export or delete what a sweep has found.",
}
"""The help of each group."""
