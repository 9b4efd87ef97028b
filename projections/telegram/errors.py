"""What Telegram refuses, by name. No text contains a URL or the token.

```
PapertapeError
├── ConfigError
│   ├── TokenMalformed        TELEGRAM_BOT_TOKEN is not a bot's token
│   ├── ChatIdMalformed       TELEGRAM_CHAT_ID is not an integer
│   └── SecretUnreadable      a secret file or .env cannot be read, or a secret is given twice
└── TelegramError
    ├── TelegramUnreachable   no answer from Telegram itself; the request may still have taken effect
    ├── TelegramBusy          429: wait so many seconds
    ├── TokenRefused          401, 404, 421: the token or the address is wrong
    ├── ChatRefused           403, a missing right, a closed topic, no such chat: it accepts nothing for now
    ├── ChatMigrated          the group became a supergroup with another id
    ├── PollConflict          409: another client polls with this token
    └── RequestRefused        any other refusal
        ├── EntitiesRefused   the HTML cannot be parsed
        └── MessageTooLong    the text exceeds the maximum length
```
"""

from __future__ import annotations

from papertape.events.errors import ConfigError, PapertapeError


class TokenMalformed(ConfigError):
    """The token is not digits, a colon and about 35 letters; the text never shows it."""


class ChatIdMalformed(ConfigError):
    """The chat id is missing or not an integer; the text never shows it."""


class SecretUnreadable(ConfigError):
    """A file that should hold a secret cannot be read, or a secret is given twice."""


class TelegramError(PapertapeError):
    """Telegram refused or failed a request; the text names the method and the reason."""


class TelegramUnreachable(TelegramError):
    """No answer from Telegram itself: worth another try.

    `may_have_acted` is False only if the request certainly had no effect.
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
    """The token is revoked or was never valid, or the address is not the Bot API's."""


class ChatRefused(TelegramError):
    """The chat accepts no message from this bot for now: blocked, kicked, without rights, closed, unknown."""


class ChatMigrated(TelegramError):
    """The group became a supergroup: alerts follow it and tell the owner (`projections.telegram.chat_address`)."""

    def __init__(self, text: str, chat_id: int) -> None:
        super().__init__(text)
        self.chat_id = chat_id


class PollConflict(TelegramError):
    """Another client polls with this token, or a webhook is set."""


class RequestRefused(TelegramError):
    """Telegram refuses this request, perhaps for its content: a simpler one may be accepted."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class EntitiesRefused(RequestRefused):
    """The HTML of a message cannot be parsed; as plain text it may be accepted."""


class MessageTooLong(RequestRefused):
    """A text exceeds the maximum length; in shorter parts it may be accepted."""
