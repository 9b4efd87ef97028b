"""`papertape twin telegram`: a local stand-in for Telegram's Bot API, to see alerts without a bot.

Whoever types there is the owner: a line is sent to the bot, and `[Confirm]` presses the newest button of that name.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from papertape.cli.environment.early_signals import call_on_stop
from papertape.cli.environment.streams import write_message
from papertape.cli.environment.tasks import run_tasks
from papertape.engine.ports.clock import SystemClock
from papertape.events.errors import UsageError
from papertape.sandbox.telegram.twin import CHAT_ID, TOKEN, TelegramTwin

if TYPE_CHECKING:
    from papertape.sandbox.telegram.twin import ReceivedRequest

LINE_CHARS_MAX: Final = 1_000


def serve_telegram(port: int, host: str) -> None:
    """Serve until SIGINT or SIGTERM; print each incoming message on a line, and send typed lines to the bot.

    Raise UsageError if the port is taken.
    """
    run_tasks(lambda: _serve(port, host))


async def _serve(port: int, host: str) -> None:
    stop = asyncio.Event()
    call_on_stop(stop.set)
    twin = TelegramTwin(SystemClock(), host=host, port=port, on_received=_print_request)
    try:
        async with twin:
            write_message(
                f"Telegram stand-in at {twin.api_url}: TELEGRAM_BOT_TOKEN={TOKEN} "
                f"TELEGRAM_CHAT_ID={CHAT_ID} papertape run --set telegram.api_url={twin.api_url}\n"
            )
            _listen(twin, asyncio.get_running_loop())
            await stop.wait()
    except OSError as error:
        raise UsageError(f"{twin.api_url} cannot be served: {error.strerror or error}") from error


def _print_request(received: ReceivedRequest) -> None:
    """Print a request in one line, except for polls, which come every few seconds."""
    if received.method.lower() == "getupdates":
        return
    text = received.arguments.get("text") or received.arguments.get("caption") or ""
    line = " ".join(f"{received.status or 'no answer'} {received.method} {text} {received.description}".split())
    write_message(f"{line[:LINE_CHARS_MAX]}\n")


def _listen(twin: TelegramTwin, loop: asyncio.AbstractEventLoop) -> None:
    """Pass every line of stdin to the twin, in a thread, because nobody may type for hours."""
    stdin = sys.stdin
    if stdin is None or stdin.closed:
        return

    def read_lines() -> None:
        with suppress(OSError, ValueError, RuntimeError):  # stdin or the loop is closed.
            for line in stdin:
                loop.call_soon_threadsafe(_send_line, twin, line.strip())

    Thread(target=read_lines, name="stdin", daemon=True).start()


def _send_line(twin: TelegramTwin, line: str) -> None:
    if not (line.startswith("[") and line.endswith("]")):
        if line:
            twin.say(line)
        return
    buttons = [one for message in twin.messages for one in message.buttons if line[1:-1] in one.text]
    if buttons:
        twin.press(buttons[-1])
    else:
        write_message(f"there is no button {line}\n")
