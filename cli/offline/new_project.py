"""`papertape init`: a folder with a commented configuration, fresh tokens and a first strategy."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from papertape.api.token import SIGNAL_TOKEN_VARIABLE, TOKEN_VARIABLE, new_token
from papertape.cli.config.places import FILE_NAME
from papertape.cli.config.sections import DATA
from papertape.cli.render.console import emit, stdout
from papertape.events.durable import make_folder
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES: Final = Path(__file__).absolute().parents[2] / "examples"
STRATEGIES: Final = "strategies"
FIRST_STRATEGY: Final = "dip_buyer.py"
SPEED: Final = 60
CHANGED: Final = (
    ("\nspeed = 0.0 ", f"\nspeed = {SPEED}.0"),
    ("\nfolders = []        #", f'\nfolders = ["{STRATEGIES}"]   #'),
)
"""What differs from the complete example: a speed that a person can follow, and the first strategy's folder."""
ENV_TEXT: Final = """\
# The secrets of this folder: keep this file private. Lines are NAME=value; the environment wins over them.

# The page asks for this token.
{web}={web_token}

# Senders of signals, such as webhooks, show this one.
{signal}={signal_token}

# Alerts and commands on Telegram: both or none. The token comes from @BotFather.
#TELEGRAM_BOT_TOKEN=
#TELEGRAM_CHAT_ID=
"""
IGNORED: Final = f".env\n{DATA}/\nlogs/\n"
OPEN_TO_ALL, OWNER_ONLY = 0o666, 0o600


def make_project(folder: Path, *, as_json: bool) -> None:
    """Write the files and show what to run next. Raise UsageError if one of them exists, or cannot be written."""
    files = project_files()
    existing = [name for name in (*files, DATA) if name != ".gitignore" and os.path.lexists(folder / name)]
    if existing:
        raise UsageError(
            f"{folder.absolute()} already has {', '.join(existing)}: nothing was written; name a new folder"
        )
    try:
        for name in (DATA, STRATEGIES):
            make_folder(folder / name)
        written = [name for name, (text, mode) in files.items() if _write_new(folder / name, text, mode)]
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    if as_json:
        emit({"folder": folder.absolute(), "files": written})
    else:
        _show(folder, written)


def project_files() -> Mapping[str, tuple[str, int]]:
    """Return the texts and modes of the files of a new folder."""
    tokens = {"web": TOKEN_VARIABLE, "signal": SIGNAL_TOKEN_VARIABLE}
    fresh = {f"{name}_token": new_token() for name in tokens}
    return {
        FILE_NAME: (_configuration(), OPEN_TO_ALL),
        ".env": (ENV_TEXT.format(**tokens, **fresh), OWNER_ONLY),
        ".gitignore": (IGNORED, OPEN_TO_ALL),
        f"{STRATEGIES}/{FIRST_STRATEGY}": ((EXAMPLES / FIRST_STRATEGY).read_text(encoding="utf-8"), OPEN_TO_ALL),
    }


def _configuration() -> str:
    text = (EXAMPLES / FILE_NAME).read_text(encoding="utf-8")
    for before, after in CHANGED:
        assert text.count(before) == 1, f"the example has no line {before.strip()}"
        text = text.replace(before, after)
    return text.replace("The values are the defaults", "The values are the defaults, but for speed and folders")


def _write_new(path: Path, text: str, mode: int) -> bool:
    """Write a file with these permissions, unless there is one; return whether there was none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def _show(folder: Path, written: list[str]) -> None:
    console = stdout()
    there = [] if folder.absolute() == Path.cwd() else [f"  cd {shlex.quote(str(folder))}"]
    for line in (
        f"{folder.absolute()}: wrote {', '.join(written)}",
        "next:",
        *there,
        "  papertape config check                # what it says, and whether it is valid",
        f"  papertape up                          # the simulated market at {SPEED} times real time, and its page",
        f"  papertape check {STRATEGIES}/{FIRST_STRATEGY}  # does your strategy honour its contract?",
        f'For the live market, change kind to "bitget" in {FILE_NAME}. The page asks for the token in .env.',
    ):
        console.print(line, markup=False, soft_wrap=True)
