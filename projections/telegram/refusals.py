"""Map a failed Telegram answer to an error, according to what it concerns.

The Bot API describes errors only in words, which may change. A wrong guess must lose nothing: an error known to
concern the chat makes alerts wait; otherwise simpler forms are tried
(`projections.telegram.delivery_queues.MessageForm`), the last of which the chat takes if it takes anything.

| concerns              | examples                                                              | error            |
|-----------------------|-----------------------------------------------------------------------|------------------|
| the token             | 401, 404, 421                                                         | TokenRefused     |
| the chat, the rights  | 403; not enough rights, TOPIC_CLOSED, CHAT_RESTRICTED, chat not found | ChatRefused      |
| where the chat is now | migrate_to_chat_id                                                    | ChatMigrated     |
| the tags of a text    | can't parse entities, ENTITIES_TOO_LONG                               | EntitiesRefused  |
| the length of a text  | message is too long, MEDIA_CAPTION_TOO_LONG                           | MessageTooLong   |
| something else        | message to edit not found, BUTTON_DATA_INVALID, anything unknown      | RequestRefused   |
| the moment            | 429, a slow mode                                                      | TelegramBusy     |
"""

from __future__ import annotations

import re
from typing import Final

from papertape.projections.telegram.errors import (
    ChatMigrated,
    ChatRefused,
    EntitiesRefused,
    MessageTooLong,
    PollConflict,
    RequestRefused,
    TelegramBusy,
    TelegramError,
    TelegramUnreachable,
    TokenRefused,
)
from papertape.projections.telegram.wire import TelegramEnvelope

RETRY_AFTER_S_DEFAULT: Final = 5.0
SLOW_MODE: Final = re.compile(r"slow_?mode_wait(?:_(\d{1,6}))?")
OF_THE_CHAT: Final = re.compile(
    r"chat not found|user not found|group chat was (?:upgraded|deactivated|deleted)|is deactivated"
    r"|\brights\b|not a member|(?:was|been|is) (?:kicked|blocked|banned|restricted|frozen|closed|deleted)"
    r"|can't (?:initiate conversation|send messages to)|message thread (?:not found|is closed)"
    r"|have no (?:write )?access|bot was|upgraded to a supergroup"
    r"|\b(?:chat|channel|peer|topic|user|group)_(?:[a-z0-9]+_)*"
    r"(?:invalid|private|closed|deleted|restricted|forbidden|required|deactivated|disabled|blocked|missing)\b"
    r"|\b(?:user_banned_in_channel|user_is_blocked|user_is_bot|you_blocked_user|chat_id is empty"
    r"|input_user_deactivated|frozen_method_invalid)\b"
    r"|allow_payment_required|payment_required|premium_(?:account_)?required|balance_too_low"
)
OF_THE_TAGS: Final = re.compile(
    r"can't parse (?:entities|message text|caption)|entit(?:y|ies)_|can't find end|unsupported start tag"
)
OF_THE_LENGTH: Final = re.compile(r"(?:message|text|caption) is too long|(?:message|text|caption)_too_long")
OF_THE_KEYS: Final = re.compile(r"\bbutton_|reply_markup|user_privacy_restricted")
"""These mention users and bots too, but concern a button."""


def error_of(method: str, envelope: TelegramEnvelope, words: str, status: int, retry_after: str) -> TelegramError:
    """Return the error for a failed answer from Telegram itself; `words` is its cleaned description."""
    code, lower = envelope.error_code or status, words.lower()
    text = f"{method}: {code} {words}"
    if (slow := SLOW_MODE.search(lower)) is not None:
        return TelegramBusy(text, float(slow[1] or RETRY_AFTER_S_DEFAULT))
    if code == 429:
        seconds = envelope.parameters.retry_after
        return TelegramBusy(text, seconds if seconds is not None else seconds_of(retry_after))
    if code >= 500:
        return TelegramUnreachable(text, may_have_acted=False)
    if envelope.parameters.migrate_to_chat_id is not None:
        return ChatMigrated(text, envelope.parameters.migrate_to_chat_id)
    if code in (401, 421) or (code == 404 and "_" not in words):
        return TokenRefused(text)
    if code == 409:
        return PollConflict(text)
    return _of_the_request(text, code, lower)


def _of_the_request(text: str, code: int, lower: str) -> TelegramError:
    if code == 403:
        return ChatRefused(text)
    if OF_THE_TAGS.search(lower):
        return EntitiesRefused(text, code)
    if OF_THE_LENGTH.search(lower):
        return MessageTooLong(text, code)
    if OF_THE_CHAT.search(lower) and not OF_THE_KEYS.search(lower):
        return ChatRefused(text)
    return RequestRefused(text, code)


def seconds_of(text: str) -> float:
    """Return the seconds of a Retry-After header, or a short default."""
    return float(text) if text.isdecimal() and len(text) < 10 else RETRY_AFTER_S_DEFAULT
