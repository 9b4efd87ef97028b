"""`papertape twin telegram`: a stand-in of Telegram's Bot API on this machine, to see alerts without a bot.

Whoever types there is the owner: a line goes to the bot, and `[Confirm]` presses the newest button of that name.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, Final

from cli.streams import tell
from cli.tasks import run_tasks
from engine.clock import SystemClock
from events.errors import UsageError

CHECKOUT: Final = Path(__file__).resolve().parents[1]
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LINE_CHARS_MAX: Final = 1_000


def serve_telegram(port: int, host: str) -> None:
    """Serve until SIGINT or SIGTERM and print what comes in, a line a message; what is typed goes to the bot.

    Raises UsageError where the stand-in is not installed (it lies beside the tests) and for a port that is taken.
    """
    if not (CHECKOUT / "tests" / "twins" / "telegram.py").is_file():
        raise UsageError(
            f"the stand-in lies beside the tests and is not installed with papertape: there is none in {CHECKOUT}; "
            "run `papertape twin telegram` from a checkout of the repository"
        )
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    run_tasks(lambda: _serve(port, host))


async def _serve(port: int, host: str) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = import_module("tests.twins.telegram")
    twin = server.TelegramTwin(SystemClock(), host=host, port=port, on_received=_print)
    try:
        async with twin:
            _say(
                f"telegram stand-in at {twin.api_url}: TELEGRAM_BOT_TOKEN={server.TOKEN} "
                f"TELEGRAM_CHAT_ID={server.CHAT_ID} papertape run --set telegram.api_url={twin.api_url}"
            )
            _listen(twin, asyncio.get_running_loop())
            await stop.wait()
    except OSError as error:
        raise UsageError(f"{twin.api_url} cannot be served: {error.strerror or error}") from error


def _print(received: Any) -> None:
    """What came, in one line; polls are left out, they come every few seconds and say nothing."""
    if received.method.lower() == "getupdates":
        return
    said = received.arguments.get("text") or received.arguments.get("caption") or ""
    line = " ".join(f"{received.status or 'no answer'} {received.method} {said} {received.description}".split())
    _say(line[:LINE_CHARS_MAX])


def _listen(twin: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Hand every line of stdin to the twin, by a thread of its own: nobody may type for hours."""
    stdin = sys.stdin
    if stdin is None or stdin.closed:
        return

    def hear() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # It is over, here or there.
            for line in stdin:
                loop.call_soon_threadsafe(_typed, twin, line.strip())

    Thread(target=hear, name="stdin", daemon=True).start()


def _typed(twin: Any, line: str) -> None:
    if not (line.startswith("[") and line.endswith("]")):
        if line:
            twin.say(line)
        return
    found = [one for message in twin.messages for one in message.buttons if line[1:-1] in one.text]
    if found:
        twin.press(found[-1])
    else:
        _say(f"nobody offers a button {line}")


def _say(line: str) -> None:
    tell(f"{line}\n")
