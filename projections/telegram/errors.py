"""What Telegram refuses, by name. No text ever holds a URL or the token.

```
PapertapeError
├── ConfigError
│   ├── TokenMalformed        TELEGRAM_BOT_TOKEN is not a bot's token
│   ├── ChatIdMalformed       TELEGRAM_CHAT_ID is not a whole number
│   └── SecretUnreadable      a secret file or .env cannot be read, or a secret is given twice
└── TelegramError
    ├── TelegramUnreachable   no answer, or none that is Telegram's own; it may have acted all the same
    ├── TelegramBusy          429: wait so many seconds
    ├── TokenRefused          401, 404, 421: the token or the address is wrong
    ├── ChatRefused           403, a missing right, a closed topic, no such chat: it takes nothing for now
    ├── ChatMigrated          the group became a supergroup with another id
    ├── PollConflict          409: somebody else polls with this token
    └── RequestRefused        any other answer of its own
        ├── EntitiesRefused   the HTML cannot be parsed
        └── MessageTooLong    the text is longer than a message may be
```
"""

from __future__ import annotations

from papertape.events.errors import ConfigError, PapertapeError


class TokenMalformed(ConfigError):
    """The token is not digits, a colon and about 35 letters; the text never shows it."""


class ChatIdMalformed(ConfigError):
    """The chat id is missing or no whole number; the text never shows it."""


class SecretUnreadable(ConfigError):
    """A file that should hold a secret cannot be read, or a secret is given twice."""


class TelegramError(PapertapeError):
    """Telegram does not serve; the text names the method and why."""


class TelegramUnreachable(TelegramError):
    """No answer, or none that is Telegram's own: worth another try.

    `may_have_acted` is False only where it is sure that the request had no effect.
    """

    def __init__(self, text: str, *, may_have_acted: bool) -> None:
        super().__init__(text)
        self.may_have_acted = may_have_acted


class TelegramBusy(TelegramError):
    """Telegram asks to wait before anything else is sent."""

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class TokenRefused(TelegramError):
    """The token is revoked or was never one, or the address is not the Bot API's."""


class ChatRefused(TelegramError):
    """The chat takes no message from this bot for now: blocked, kicked, without rights, closed, unknown."""


class ChatMigrated(TelegramError):
    """The group became a supergroup; alerts follow it, and the owner is informed (`projections.telegram.address`)."""

    def __init__(self, text: str, chat_id: int) -> None:
        super().__init__(text)
        self.chat_id = chat_id


class PollConflict(TelegramError):
    """Somebody else asks for updates with this token, or a webhook is set."""


class RequestRefused(TelegramError):
    """Telegram refuses this request, perhaps for what it holds: a simpler one may pass."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class EntitiesRefused(RequestRefused):
    """The HTML of a message cannot be parsed; as plain text it may pass."""


class MessageTooLong(RequestRefused):
    """A text is longer than Telegram takes; in shorter parts it may pass."""
