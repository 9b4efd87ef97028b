"""The `papertape` application, built from the table of commands. It turns errors into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from papertape.cli import INTERRUPTED
from papertape.cli.arguments import expand
from papertape.cli.commands.completion import answer_first_tab
from papertape.cli.commands.table import GROUPS, VERBS
from papertape.cli.environment.early_signals import exit_on_signals
from papertape.cli.environment.streams import prepare_streams, whole_output
from papertape.cli.keeper.child import exit_with_parent
from papertape.cli.keeper.status_board import write_last_error
from papertape.events.errors import PapertapeError, UsageError
from papertape.events.text import replace_unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_CODES = (
    "Exit codes: 0 success, 1 a difference or a failure, 2 wrong usage or no log, 3 another engine holds the log, "
    "4 invalid configuration, 5 damaged log, 6 different decisions"
)
WRONG_USAGE: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""The exception that typer raises for an invalid command line; it has no public name."""
_EXAMPLE = "Example: papertape arena --db data/papertape.db"


class CommandGroup(TyperGroup):
    """The group of all commands. It prints a `PapertapeError` in red on stderr and exits with the error's code."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Parse the command line."""
        with _printable_refusal():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse the command's own arguments and call it."""
        with _printable_refusal():
            return super().invoke(ctx)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line. Ctrl-C exits quietly with 130."""
        try:
            return super().main(*args, **extra)
        except PapertapeError as error:
            _print_error(error)
            write_last_error(os.environ, str(error))
            sys.exit(error.exit_code)
        except PermissionError as error:  # Any path can be denied; no command can check all of them beforehand.
            _print_error(UsageError(f"{error.filename}: {error.strerror}"))
            sys.exit(UsageError.exit_code)
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


VERSION_OPTION = "--version"


def _show_version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"papertape {version()}")
        raise typer.Exit


def version() -> str:
    """Return the installed version, or `unknown` for a source tree that is not installed."""
    from importlib import metadata  # noqa: PLC0415 - slow to import and rarely needed.

    try:
        return metadata.version("papertape")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


VersionOption = Annotated[
    bool, typer.Option(VERSION_OPTION, callback=_show_version, is_eager=True, help="Show the version and exit.")
]


def papertape(version: VersionOption = False) -> None:
    """Trade on paper with an event-sourced engine: the log is the truth, and everything else is a fold over it."""


def _application(only: str = "") -> typer.Typer:
    """Build the application with every command of the table under its heading, or with those of one first word."""
    application = typer.Typer(
        name="papertape",
        cls=CommandGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=f"{EXIT_CODES}\n\n{_EXAMPLE}",
    )
    application.callback()(papertape)
    groups = {"": application}
    for heading, verbs in VERBS.items():
        for verb in verbs:
            group, _, name = verb.name.rpartition(" ")
            if only not in ("", group or name):
                continue
            example = f"Example: {verb.example}"
            if group not in groups:
                groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS[group], epilog=example)
                application.add_typer(groups[group], name=group, rich_help_panel=heading)
            about = _paragraphs(verb.call.__doc__ or "")
            groups[group].command(name, cls=verb.kind, help=about, epilog=example, rich_help_panel=heading)(verb.call)
    return application


def _paragraphs(docstring: str) -> str:
    """Return a docstring with each paragraph on one line, so that the terminal's width breaks it."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(docstring).split("\n\n"))


app = _application()


def main() -> None:
    """Run the command line of this process."""
    prepare_streams()
    if os.getpid() == 1:  # The first process of a container receives only signals that it handles.
        exit_on_signals([signal.SIGTERM], lambda number: 128 + number)
    exit_with_parent()
    answer_first_tab()
    arguments = expand(sys.argv[1:])
    with whole_output():
        _application_for(arguments)(args=arguments, prog_name="papertape")


def _application_for(arguments: list[str]) -> typer.Typer:
    """Return an application with only what a command line needs: typer takes a while to prepare all commands."""
    first = arguments[0] if arguments else ""
    words = {verb.name.partition(" ")[0] for verbs in VERBS.values() for verb in verbs}
    return _application(first) if first in words or first == VERSION_OPTION else app


if __name__ == "__main__":
    main()
