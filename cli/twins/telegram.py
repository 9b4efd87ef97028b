"""`papertape twin telegram`: a stand-in of Telegram's Bot API on this machine, to see alerts without a bot.

Whoever types there is the owner: a line goes to the bot, and `[Confirm]` presses the newest button of that name.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import UsageError
from papertape.sandbox.telegram.twin import CHAT_ID, TOKEN, TelegramTwin

if TYPE_CHECKING:
    from papertape.sandbox.telegram.twin import ReceivedRequest

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LINE_CHARS_MAX: Final = 1_000


def serve_telegram(port: int, host: str) -> None:
    """Serve until SIGINT or SIGTERM; print each incoming message on a line, and send typed lines to the bot.

    Raise UsageError if the port is taken.
    """
    run_tasks(lambda: _serve(port, host))


async def _serve(port: int, host: str) -> None:
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    twin = TelegramTwin(SystemClock(), host=host, port=port, on_received=_print)
    try:
        async with twin:
            _say(
                f"telegram stand-in at {twin.api_url}: TELEGRAM_BOT_TOKEN={TOKEN} "
                f"TELEGRAM_CHAT_ID={CHAT_ID} papertape run --set telegram.api_url={twin.api_url}"
            )
            _listen(twin, asyncio.get_running_loop())
            await stop.wait()
    except OSError as error:
        raise UsageError(f"{twin.api_url} cannot be served: {error.strerror or error}") from error


def _print(received: ReceivedRequest) -> None:
    """What came, in one line; polls are left out, they come every few seconds and say nothing."""
    if received.method.lower() == "getupdates":
        return
    said = received.arguments.get("text") or received.arguments.get("caption") or ""
    line = " ".join(f"{received.status or 'no answer'} {received.method} {said} {received.description}".split())
    _say(line[:LINE_CHARS_MAX])


def _listen(twin: TelegramTwin, loop: asyncio.AbstractEventLoop) -> None:
    """Hand every line of stdin to the twin, by a thread of its own: nobody may type for hours."""
    stdin = sys.stdin
    if stdin is None or stdin.closed:
        return

    def hear() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # It is over, here or there.
            for line in stdin:
                loop.call_soon_threadsafe(_typed, twin, line.strip())

    Thread(target=hear, name="stdin", daemon=True).start()


def _typed(twin: TelegramTwin, line: str) -> None:
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
    write_message(f"{line}\n")
