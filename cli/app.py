"""`papertape`: the application of verbs, and how errors become one clear line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from papertape.cli import INTERRUPTED
from papertape.cli.arguments import expand
from papertape.cli.commands.table import GROUPS, VERBS
from papertape.cli.environment.streams import prepare_streams, whole_output
from papertape.cli.keeper.child import exit_with_parent
from papertape.cli.keeper.status_board import leave_last_words
from papertape.events.errors import PapertapeError
from papertape.events.text import replace_unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = (
    "Exit codes: 0 ok, 1 a difference or a failure, 2 wrong usage or no log, 3 another engine holds the log, "
    "4 bad configuration, 5 the log is damaged"
)
WRONG_USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The exception that typer raises for an invalid command line; it has no public name."""
_EXAMPLE = "Example: papertape arena --db data/papertape.db"


class CommandGroup(TyperGroup):
    """The group of all verbs: a `PapertapeError` becomes its text in red on stderr and its exit code."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line."""
        with _printable_refusal():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse the command's own arguments, and call the command."""
        with _printable_refusal():
            return super().invoke(ctx)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line. Ctrl-C ends quietly with 130."""
        try:
            return super().main(*args, **extra)
        except PapertapeError as error:
            _print_error(error)
            leave_last_words(os.environ, str(error))
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@contextmanager
def _printable_refusal() -> Iterator[None]:
    """Replace unsafe characters in the error for a refused command line."""
    try:
        yield
    except WRONG_USAGE as error:
        error.message = replace_unsafe(error.message)
        raise


def _print_error(error: PapertapeError) -> None:
    from papertape.cli.render.console import stderr  # noqa: PLC0415 - only a failure needs colours here.

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
    """All verbs of the table, each under its heading."""
    made = typer.Typer(
        name="papertape",
        cls=CommandGroup,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=f"{EXIT_CODES}\n\n{_EXAMPLE}",
    )
    made.callback()(papertape)
    groups = {"": made}
    for heading, verbs in VERBS.items():
        for verb in verbs:
            group, _, name = verb.name.rpartition(" ")
            example = f"Example: {verb.example}"
            if group not in groups:
                groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS[group], epilog=example)
                made.add_typer(groups[group], name=group, rich_help_panel=heading)
            groups[group].command(name, epilog=example, rich_help_panel=heading)(verb.call)
    return made


app = _application()


def _end(number: int, frame: object) -> None:  # noqa: ARG001
    """Exit with the code of a process that a signal ended."""
    sys.exit(128 + number)


def main() -> None:
    """The entry point `papertape`."""
    prepare_streams()
    if os.getpid() == 1:  # The first process of a container gets only the signals that it has a handler for.
        signal.signal(signal.SIGTERM, _end)
    exit_with_parent()
    with whole_output():
        app(args=expand(sys.argv[1:]), prog_name="papertape")


if __name__ == "__main__":
    main()
