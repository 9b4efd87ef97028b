"""How heartbeats and faults reach the owner: in the chat or, without a token, in a file beside the log."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Final, Protocol

from papertape.cli.service.log_files import ROOT
from papertape.projections.telegram.errors import ChatMigrated, RequestRefused, TelegramBusy
from papertape.projections.telegram.secret import Redaction
from papertape.projections.telegram.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

    from papertape.events.cursors import Cursors
    from papertape.projections.telegram.chat_address import ChatAddress
    from papertape.projections.telegram.client import TelegramClient
    from papertape.projections.telegram.rate_limit import MessageRateLimiter

ALERT_FILE_BYTES_MAX: Final = 1_000_000
ALERT_FILES_KEPT: Final = 3
LOGGER: Final = f"{ROOT}.chat"
HEARTBEAT_CURSOR: Final = "telegram.heartbeat."
"""The prefix before the chat id: a message id is valid only within its chat."""
PING_S_MAX: Final = 10.0


class OwnerChannel(Protocol):
    """The destination of messages that no event causes. Its methods raise PapertapeError if the delivery fails."""

    async def beat(self, html: str) -> None:
        """Send a heartbeat in place of the previous one."""

    async def say(self, html: str, *, silent: bool) -> None:
        """Send one message."""


class TelegramChannel:
    """The owner's chat. `pace` is shared with the other senders."""

    def __init__(
        self, client: TelegramClient, address: ChatAddress, cursors: Cursors, pace: MessageRateLimiter
    ) -> None:
        self._client, self._address, self._cursors, self._pace = client, address, cursors, pace

    async def beat(self, html: str) -> None:
        """Edit the last heartbeat, or send the first one and store its id."""
        chat_id = self._address.id
        last_id = self._cursors.position(f"{HEARTBEAT_CURSOR}{chat_id}")
        if last_id:
            with suppress(RequestRefused, ChatMigrated):  # The owner may have deleted it, or the chat has moved.
                self._pace.record_sent()
                await self._client.edit_message_text(chat_id, last_id, html)
                return
        sent = await self._send(html, silent=True)
        cursor = f"{HEARTBEAT_CURSOR}{self._address.id}"
        self._cursors.advance(cursor, max(self._cursors.position(cursor), sent))

    async def say(self, html: str, *, silent: bool) -> None:
        """See `OwnerChannel.say`."""
        await self._send(html, silent=silent)

    async def _send(self, html: str, *, silent: bool) -> int:
        self._pace.record_sent()
        try:
            send = partial(self._client.send_message, text=html, silent=silent)
            return (await self._address.send_to_chat(send)).message_id
        except TelegramBusy as busy:
            self._pace.back_off(busy.retry_after_s)
            raise


class FileChannel:
    """The file of alerts, used without a token."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line

    async def beat(self, html: str) -> None:
        """See `OwnerChannel.beat`."""
        self._write_line(one_line(html))

    async def say(self, html: str, *, silent: bool) -> None:  # noqa: ARG002 - a file makes no sound.
        """See `OwnerChannel.say`."""
        self._write_line(one_line(html))


def alert_file(path: Path, stack: AsyncExitStack) -> Callable[[str], None]:
    """Return the function that writes an alert to a rotating file, one per line, and to the program's own log."""
    handler = RotatingFileHandler(path, maxBytes=ALERT_FILE_BYTES_MAX, backupCount=ALERT_FILES_KEPT, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handler.addFilter(Redaction())
    stack.callback(handler.close)
    logger = logging.getLogger(LOGGER)

    def write_line(line: str) -> None:
        logger.info("%s", line)
        handler.handle(logging.makeLogRecord({"msg": line, "levelno": logging.INFO, "levelname": "INFO"}))

    return write_line


async def ping(url: str) -> None:
    """Tell an external dead man's switch that all is well. Raise OSError if that fails."""
    import httpx  # noqa: PLC0415 - slow to import and rarely needed.

    try:
        async with httpx.AsyncClient(timeout=PING_S_MAX) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"the dead man's switch cannot be reached: {type(error).__name__}") from None
    if not answer.is_success:
        raise OSError(f"the dead man's switch answered {answer.status_code}")
