"""The token and the chat id: where they come from, and how they stay out of every text.

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
    """A bot's token. It is always shown as a mask, and it cannot be pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Raise TokenMalformed, without showing the text."""
        if TOKEN.fullmatch(text) is None:
            why = "it must be digits, a colon and about 35 letters, digits, - or _, as BotFather shows it"
            raise TokenMalformed(f"{TOKEN_VARIABLE} is not a bot's token: {why}")
        self._text = text

    def reveal(self) -> str:
        """Return the token itself, for the URL of a request and for nothing else."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """Return a text without the token and anything that looks like one."""
        return redact(text.replace(self._text, MASK))

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled")


class ChatCredentials(Struct, frozen=True):
    """What sending needs."""

    token: BotToken
    chat_id: int

    def __repr__(self) -> str:
        return f"ChatCredentials(token={MASK}, chat_id=...{self.chat_id % 1_000:03d})"


def redact(text: str) -> str:
    """Mask whatever looks like a bot's token."""
    return IN_TEXT.sub(REDACTED, text)


class Redaction(logging.Filter):
    """A filter for log handlers that removes tokens from a record's message and traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place and let it pass."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = redact("".join(traceback.format_exception(record.exc_info[1])).rstrip())
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def read_access(variables: Mapping[str, str]) -> ChatCredentials | None:
    """Return the credentials in the variables; None without a token.

    Raises TokenMalformed, ChatIdMalformed and SecretUnreadable, none of which shows a value.
    """
    text = secret(variables, TOKEN_VARIABLE)
    if not text:
        return None
    token = BotToken(text)
    return ChatCredentials(token, _chat_id(secret(variables, CHAT_VARIABLE)))


def variables_of(
    environment: Mapping[str, str], env_file: Path | None, secrets: Iterable[str] = (TOKEN_VARIABLE, CHAT_VARIABLE)
) -> dict[str, str]:
    """Return the environment over the `.env` file, if there is one. Each of `secrets` may be given as a file.

    Raises SecretUnreadable, also for a name of a secret in the file that is not in capitals.
    """
    variables = env_lines(env_file) if env_file is not None and env_file.is_file() else {}
    names = {name + suffix for name in secrets for suffix in ("", FILE_SUFFIX)}
    for name in variables:
        if name not in names and name.upper() in names:
            raise SecretUnreadable(f"{name} in {env_file} is an unknown variable; did you mean {name.upper()}?")
    for name in secrets:
        if environment.get(name) or environment.get(name + FILE_SUFFIX):
            # The environment replaces both forms in the `.env`, so the secret is not given twice.
            variables.pop(name, None)
            variables.pop(name + FILE_SUFFIX, None)
    return variables | dict(environment)


def secret(variables: Mapping[str, str], name: str) -> str:
    """Return a variable, or the content of the file that `NAME_FILE` names; empty without either.

    Raises SecretUnreadable for an unreadable file, and if both are given.
    """
    value, file = variables.get(name, "").strip(), variables.get(name + FILE_SUFFIX, "").strip()
    if value and file:
        raise SecretUnreadable(f"{name} and {name}{FILE_SUFFIX} are both set; set only one")
    return _read(Path(file), f"{name}{FILE_SUFFIX}").strip() if file else value


def env_lines(path: Path) -> dict[str, str]:
    """Return the variables of a `.env` file: NAME=value, also quoted or with `export`. Raises SecretUnreadable."""
    variables: dict[str, str] = {}
    for number, line in enumerate(_read(path, ".env").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = LINE.fullmatch(line)
        if parts is None:
            raise SecretUnreadable(f"{path} line {number} is not NAME=value")
        variables[parts[1]] = _unquoted(parts[2])
    return variables


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
        raise SecretUnreadable(f"{what}: {path} has more than {FILE_BYTES_MAX} bytes: it cannot be a secret")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # The error itself would quote the bytes.
        pass
    raise SecretUnreadable(f"{what}: {path} is not UTF-8")


def _chat_id(text: str) -> int:
    if not text:
        raise ChatIdMalformed(f"{TOKEN_VARIABLE} is set and {CHAT_VARIABLE} is not: alerts need a chat")
    if re.fullmatch(r"-?\d{1,16}", text) is None or not 0 < abs(int(text)) < CHAT_ID_MAX:
        raise ChatIdMalformed(f"{CHAT_VARIABLE} is not a chat id: an integer, negative for a group, not an @name")
    return int(text)
