"""`papertape`: the application of verbs, and how errors become one clear line and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import command_verbs, download_verb, engine_verbs, keeping_verbs, twin_verb, verbs, web_verbs
from cli.arguments import expand
from cli.kept import end_with_keeper
from events.errors import PapertapeError

EXIT_CODES = (
    "Exit codes: 0 ok, 1 a difference or a failure, 2 wrong usage or no log, 3 another engine holds the log, "
    "4 bad configuration, 5 the log is damaged"
)
_EXAMPLE = "Example: papertape arena --db data/papertape.db"


class Group(TyperGroup):
    """The group of all verbs: a `PapertapeError` becomes its text in red on stderr and its exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line. Ctrl-C ends quietly with 130."""
        try:
            return super().main(*args, **extra)
        except PapertapeError as error:
            _tell(error)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)


def _tell(error: PapertapeError) -> None:
    from cli.output import stderr  # noqa: PLC0415 - only a failure needs colours here.

    stderr().print(f"error: {error}", style="red", markup=False, soft_wrap=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"papertape {version()}")
        raise typer.Exit


def version() -> str:
    """The installed version; `unknown` for a source tree that is not installed."""
    from importlib import metadata  # noqa: PLC0415 - slow, and rarely asked for.

    try:
        return metadata.version("papertape")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
]


def papertape(version: VersionOption = False) -> None:
    """An event-sourced paper-trading engine: the log is the truth, everything else is a fold over it."""


def _application() -> typer.Typer:
    """All verbs, in the order of the help."""
    made = typer.Typer(
        name="papertape",
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=f"{EXIT_CODES}\n\n{_EXAMPLE}",
    )
    made.callback()(papertape)
    # The verbs that run an engine or a backtest: one line each.
    made.command("run", epilog="Example: papertape run --feed sim --speed 600 --db data/demo.db")(engine_verbs.run)
    made.command("up", epilog="Example: papertape up --config demo.toml")(engine_verbs.up)
    made.command("backtest", epilog="Example: papertape backtest --candles BTCUSDT=btc.csv.gz --strategy momentum")(
        engine_verbs.backtest
    )
    made.command("replay", epilog="Example: papertape replay --at 2025-01-03T12:00")(engine_verbs.replay)
    made.command("verify", epilog=engine_verbs.PROOF_EPILOG)(engine_verbs.verify)

    # The verbs that command an engine, running or not.
    made.command("pause", epilog='Example: papertape pause momentum --why "news at 14:30"')(command_verbs.pause)
    made.command("resume", epilog='Example: papertape resume momentum --why "the news are out"')(command_verbs.resume)
    made.command("close", epilog='Example: papertape close momentum --symbol BTCUSDT --why "weekend"')(
        command_verbs.close
    )
    made.command("kill", epilog='Example: papertape kill --why "something is odd"')(command_verbs.kill)
    made.command("reset", epilog='Example: papertape reset momentum --trip 16608 --why "looked at its trades"')(
        command_verbs.reset
    )

    # The verbs that keep a log safe.
    made.command("backup", epilog=keeping_verbs.BACKUP_EPILOG)(keeping_verbs.backup)
    made.command("restore", epilog=keeping_verbs.RESTORE_EPILOG)(keeping_verbs.restore)
    made.command("export", epilog=keeping_verbs.EXPORT_EPILOG)(keeping_verbs.export)
    made.command("import", epilog=keeping_verbs.IMPORT_EPILOG)(keeping_verbs.import_)
    made.command("refold", epilog=keeping_verbs.REFOLD_EPILOG)(keeping_verbs.refold)

    # The verbs about exchanges.
    made.command("download", epilog="Example: papertape download --symbol BTCUSDT --from 2025-01-01")(
        download_verb.download
    )
    twin = typer.Typer(
        no_args_is_help=True, help="Serve a stand-in of an exchange or a chat.", epilog="Example: papertape twin bitget"
    )
    twin.command("bitget", epilog="Example: papertape twin bitget --port 8701 --speed 60")(twin_verb.bitget)
    twin.command("telegram", epilog="Example: papertape twin telegram --port 8702")(twin_verb.telegram)
    made.add_typer(twin, name="twin")

    # The verbs that read a log.
    made.command("log", epilog="Example: papertape log --strategy momentum --follow")(verbs.log)
    made.command("why", epilog="Example: papertape why 4711")(verbs.why)
    made.command("arena", epilog="Example: papertape arena --json")(verbs.arena)
    made.command("trades", epilog="Example: papertape trades --symbol BTCUSDT --csv trades.csv")(verbs.trades)
    made.command("positions", epilog="Example: papertape positions")(verbs.positions)
    made.command("compare", epilog="Example: papertape compare data/live.db data/backtest.db")(verbs.compare)
    # The verbs of the page.
    made.command("ui", epilog=web_verbs.UI_EPILOG)(web_verbs.ui)
    made.command("token", epilog=web_verbs.MADE_EPILOG)(web_verbs.token)
    # The verbs about the installation.
    made.command("strategies", epilog="Example: papertape strategies momentum")(verbs.strategies)
    config = typer.Typer(
        no_args_is_help=True, help="Look at the configuration.", epilog="Example: papertape config check"
    )
    config.command("check", epilog="Example: papertape config check papertape.toml")(verbs.config_check)
    made.add_typer(config, name="config")
    made.command("doctor", epilog="Example: papertape doctor --full")(verbs.doctor)
    return made


app = _application()


def main() -> None:
    """The entry point `papertape`."""
    end_with_keeper()
    app(args=expand(sys.argv[1:]), prog_name="papertape")


if __name__ == "__main__":
    main()
