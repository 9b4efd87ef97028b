"""A command does not import what it does not need, so it starts faster."""

from __future__ import annotations

import subprocess
import sys


def test_an_engine_without_chat_and_exchange_starts_without_their_clients() -> None:
    clients = {"httpx", "websockets", "starlette", "anyio", "jinja2", "PIL", "polars", "pydantic"}
    code = (
        f"import sys, papertape.cli.service.engine, papertape.cli.offline.backtest; print({clients} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_engine_without_a_terminal_starts_without_its_colours() -> None:
    code = "import sys, papertape.cli.service.engine, papertape.cli.render.event_lines; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_ctrl_c_while_everything_is_imported_ends_quietly() -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # Whoever runs in the background ignores it.
        "at_typer = lambda event, args: signal.raise_signal(signal.SIGINT) if args[:1] == ('typer',) else None\n"
        "sys.addaudithook(at_typer)\n"
        "from papertape.cli.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_rehearsal_starts_without_those_who_tell_the_owner() -> None:
    program = "papertape.cli.service.engine, papertape.cli.render.event_lines"
    code = f"import sys, {program}; print('papertape.cli.service.engine_services' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_help_loads_nothing_that_a_verb_needs() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from papertape.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = ('papertape.engine', 'papertape.projections', 'aiosqlite', 'msgspec', 'numpy')\n"
        "print(sorted(name for name in sys.modules if name.startswith(heavy)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
