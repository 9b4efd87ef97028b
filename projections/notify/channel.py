"""An Apprise channel as the notifier's chat: texts without tags, and answers in Telegram's terms.

Apprise is synchronous, and reports only that a send failed; its log lines say more. Each message is sent in its own
daemon thread, for which neither the engine nor its shutdown waits longer than `ANSWER_S_MAX`.

| what happened                             | the notifier                                            |
|-------------------------------------------|---------------------------------------------------------|
| 429                                       | pauses for a minute                                     |
| no answer, 5xx, an unknown failure        | retries with random pauses of up to 60 s, forever       |
| 401, 403, 404, 407, 410, SMTP 5xx         | parks, and retries with pauses of up to ten minutes     |
| an address that Apprise does not know     | likewise                                                |
| 400 and other refusals                    | tries a simpler text, then a notice; then it parks      |
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from papertape.projections.alerts.markup import plain_text
from papertape.projections.notify.addresses import NotifyAddress
from papertape.projections.telegram.errors import (
    ChatRefused,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
)

T = TypeVar("T")
ANSWER_S_MAX: Final = 30.0
SOCKET_S_MAX: Final = 10.0
"""For a connection, and for each part of an answer."""
BUSY_S: Final = 60.0
TITLE: Final = "papertape"
TITLE_CHARS_MAX: Final = 120
LOGGERS: Final = ("apprise", "urllib3")
"""Their lines may contain a URL, so they must never be shown."""
FAULTS: Final = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""What a fault in a service of Apprise may raise."""
CODE: Final = re.compile(r"error=(\d{3})\b|\((\d{3}), b['\"]")
"""The status of an HTTP answer, or of an SMTP server's."""
CHANNEL_REFUSES: Final = frozenset({401, 403, 404, 407, 410})


class NotifyChannel:
    """Sends texts to one address, one at a time. `deliver_by` hands a URL, a title and a text to Apprise."""

    def __init__(
        self,
        address: NotifyAddress,
        answer_s_max: float = ANSWER_S_MAX,
        deliver_by: Callable[[str, str, str], TelegramError | None] | None = None,
    ) -> None:
        self._address, self._answer_s_max = address, answer_s_max
        self._deliver = deliver_by or deliver
        self._thread: threading.Thread | None = None

    async def get_me(self) -> None:
        """Do nothing: Apprise cannot ask a service whether it answers."""

    async def send_message(self, chat_id: int, text: str, *, html: bool = True, silent: bool = False) -> None:  # noqa: ARG002 - a service has one chat and its own sounds.
        """Send a text: its first line is the title where the service has titles. Raise TelegramError."""
        title, body = titled(plain_text(text) if html else text)
        failure = await self._in_thread(lambda: self._deliver(self._address.reveal(), title, body))
        if failure is not None:
            raise failure

    async def _in_thread(self, send: Callable[[], TelegramError | None]) -> TelegramError | None:
        if self._thread is not None and self._thread.is_alive():
            return TelegramUnreachable("the previous message is still being sent", may_have_acted=False)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[TelegramError | None] = loop.create_future()

        def settle(failure: TelegramError | None) -> None:
            if not result.done():
                result.set_result(failure)

        def run() -> None:
            failure: TelegramError | None = TelegramUnreachable("Apprise itself failed", may_have_acted=True)
            try:
                failure = send()
            except FAULTS:  # Their texts may contain the URL, so they are not shown.
                pass
            finally:
                with suppress(RuntimeError):  # The loop has ended meanwhile.
                    loop.call_soon_threadsafe(settle, failure)

        self._thread = threading.Thread(target=run, name=f"notify-{self._address.title}", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(self._answer_s_max):
                return await result
        except TimeoutError:
            return TelegramUnreachable(f"no answer within {self._answer_s_max:g} s", may_have_acted=True)


class FixedDestination:
    """A channel that never moves; see `ChatDestination`."""

    notice: str = ""
    moved_to: int = 0

    async def send_to_chat(self, send: Callable[[int], Awaitable[T]]) -> T:
        """Return the result of a request to the channel."""
        return await send(0)


def titled(text: str) -> tuple[str, str]:
    """Return title and body of a text: its first line, and the rest; a text of one line gets a default title."""
    first, _, rest = text.strip().partition("\n")
    return (first[:TITLE_CHARS_MAX], rest.strip()) if rest.strip() and len(first) <= TITLE_CHARS_MAX else (TITLE, text)


# ---------------------------------------------------------------- in the thread


def deliver(url: str, title: str, body: str) -> TelegramError | None:
    """Send a message through Apprise; return why it was not accepted. This blocks."""
    import apprise  # noqa: PLC0415 - an extra, and a second to import.

    with ThreadLines() as lines:
        service = known_service(url)
        if service is None:
            return ChatRefused("the address is not one that Apprise knows")
        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        is_sent = sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
    return None if is_sent else lines.failure()


def known_service(url: str) -> Any | None:
    """Return Apprise's service for a URL, with bounded waits and long texts split; None if it knows none."""
    import apprise  # noqa: PLC0415 - an extra, and a second to import.

    # With its own limit, Apprise would send from a thread pool that the process waits for at exit.
    asset = apprise.AppriseAsset(service_timeout=0)
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is not None:
        service.socket_connect_timeout = service.socket_read_timeout = SOCKET_S_MAX
        service.overflow_mode = apprise.OverflowMode.SPLIT
    return service


def is_known(address: NotifyAddress) -> bool:
    """Return whether Apprise knows an address; nothing is sent. This blocks for a second."""
    with ThreadLines():
        return known_service(address.reveal()) is not None


class ThreadLines(logging.Handler):
    """Reads the status code of a refusal from the lines that Apprise logs in this thread, and keeps nothing else."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._http_code = self._smtp_code = 0
        self._thread_id = threading.get_ident()

    def failure(self) -> TelegramError:
        """Return the error for a message that was not sent."""
        code = self._http_code or self._smtp_code
        if not code:
            return TelegramUnreachable("it could not be reached", may_have_acted=True)
        text = f"it answered {code}"
        if code == 429:
            return TelegramBusy(text, BUSY_S)
        if code in CHANNEL_REFUSES or self._smtp_code >= 500:
            return ChatRefused(text)
        is_request = 400 <= code < 500 and not self._smtp_code
        return RequestRefused(text, code) if is_request else TelegramUnreachable(text, may_have_acted=True)

    def __enter__(self) -> Self:
        silence_loggers()
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.thread == self._thread_id and (found := CODE.search(record.getMessage())) is not None:
            self._http_code, self._smtp_code = int(found[1] or 0), int(found[2] or 0)


def silence_loggers() -> None:
    """Keep the lines of Apprise and its HTTP client out of every log."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.DEBUG if name == "apprise" else logging.CRITICAL)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
