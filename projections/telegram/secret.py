"""The token and the chat: where they come from, and how they stay out of every text.

`TELEGRAM_BOT_TOKEN` or `TELEGRAM_BOT_TOKEN_FILE`, `TELEGRAM_CHAT_ID` or `TELEGRAM_CHAT_ID_FILE`, in the environment
or in a `.env` file next to the configuration. The environment wins.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NoReturn

from msgspec import Struct

from papertape.projections.telegram.errors import ChatIdMalformed, SecretUnreadable, TokenMalformed

TOKEN_VARIABLE: Final = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - a name, not a secret.
CHAT_VARIABLE: Final = "TELEGRAM_CHAT_ID"
FILE_SUFFIX: Final = "_FILE"
FILE_BYTES_MAX: Final = 65_536
CHAT_ID_MAX: Final = 1 << 52
TOKEN: Final = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{30,64}")
IN_TEXT: Final = re.compile(r"(?i:bot)?\d{3,20}(?::|%3[aA])[A-Za-z0-9_-]{30,}|(?i:bot)\d+(?::|%3[aA])[A-Za-z0-9_-]+")
REDACTED: Final = "bot<redacted>"
MASK: Final = "<token>"
LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


class BotToken:
    """A bot's token. Every text of it is a mask, and it cannot be copied into a file by pickling."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raises TokenMalformed, without showing the text."""
        if TOKEN.fullmatch(text) is None:
            why = "digits, a colon and about 35 letters, digits, - or _, as BotFather says it"
            raise TokenMalformed(f"{TOKEN_VARIABLE} is not a bot's token: {why}")
        self._text = text

    def reveal(self) -> str:
        """The token itself, for the address of a request and for nothing else."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """A text without the token and without anything that looks like one."""
        return redact(text.replace(self._text, MASK))

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled")


class ChatCredentials(Struct, frozen=True):
    """What sending needs."""

    token: BotToken
    chat_id: int

    def __repr__(self) -> str:
        return f"ChatCredentials(token={MASK}, chat_id=...{self.chat_id % 1_000:03d})"


def redact(text: str) -> str:
    """A text in which whatever looks like a bot's token is masked."""
    return IN_TEXT.sub(REDACTED, text)


class Redaction(logging.Filter):
    """A filter for log handlers: the message and the traceback of a record leave without a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; it always passes."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact("".join(traceback.format_exception(record.exc_info[1])).rstrip())
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def read_access(variables: Mapping[str, str]) -> ChatCredentials | None:
    """What the variables give; None without a token.

    Raises TokenMalformed, ChatIdMalformed and SecretUnreadable; none of them shows what was given.
    """
    text = secret(variables, TOKEN_VARIABLE)
    if not text:
        return None
    token = BotToken(text)
    return ChatCredentials(token, _chat_id(secret(variables, CHAT_VARIABLE)))


def variables_of(
    environment: Mapping[str, str], env_file: Path | None, secrets: Iterable[str] = (TOKEN_VARIABLE, CHAT_VARIABLE)
) -> dict[str, str]:
    """The environment over the `.env` file, where there is one. `secrets` may each be given as a file.

    Raises SecretUnreadable.
    """
    found = env_lines(env_file) if env_file is not None and env_file.is_file() else {}
    for name in secrets:
        if environment.get(name) or environment.get(name + FILE_SUFFIX):
            # One that the environment gives as a file is not given twice because the `.env` gives it too.
            found.pop(name, None)
            found.pop(name + FILE_SUFFIX, None)
    return found | dict(environment)


def secret(variables: Mapping[str, str], name: str) -> str:
    """The value of a variable, or what stands in the file that `NAME_FILE` names; empty when there is neither.

    Raises SecretUnreadable for a file that cannot be read, and where both are given.
    """
    value, file = variables.get(name, "").strip(), variables.get(name + FILE_SUFFIX, "").strip()
    if value and file:
        raise SecretUnreadable(f"{name} and {name}{FILE_SUFFIX} are both given; one of them is enough")
    return _read(Path(file), f"{name}{FILE_SUFFIX}").strip() if file else value


def env_lines(path: Path) -> dict[str, str]:
    """The variables of a `.env` file: NAME=value, with or without quotes and `export`. Raises SecretUnreadable."""
    found: dict[str, str] = {}
    for number, line in enumerate(_read(path, ".env").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = LINE.fullmatch(line)
        if parts is None:
            raise SecretUnreadable(f"{path} line {number} is not NAME=value")
        found[parts[1]] = _unquoted(parts[2])
    return found


def _unquoted(value: str) -> str:
    for quote in ('"', "'"):
        if len(value) >= 2 and value[0] == quote and (end := value.find(quote, 1)) > 0:
            return value[1:end]
    return re.split(r"\s#", value, maxsplit=1)[0].rstrip()


def _read(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SecretUnreadable(f"{what}: {path} cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise SecretUnreadable(f"{what}: {path} has more than {FILE_BYTES_MAX} bytes: it is no such file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # The error itself would quote the bytes.
        pass
    raise SecretUnreadable(f"{what}: {path} is not UTF-8")


def _chat_id(text: str) -> int:
    if not text:
        raise ChatIdMalformed(f"{TOKEN_VARIABLE} is given and {CHAT_VARIABLE} is not: alerts need a chat")
    if re.fullmatch(r"-?\d{1,16}", text) is None or not 0 < abs(int(text)) < CHAT_ID_MAX:
        raise ChatIdMalformed(f"{CHAT_VARIABLE} is not a chat's id: a whole number, negative for a group; no @name")
    return int(text)
