"""The token that proves the owner, and the cookie that stands for it in a browser.

`PAPERTAPE_TOKEN` or `PAPERTAPE_TOKEN_FILE`, in the environment or in a `.env` file beside the configuration.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256
from typing import Final, NoReturn

from papertape.events.errors import ConfigError

TOKEN_VARIABLE: Final = "PAPERTAPE_TOKEN"  # noqa: S105 - a name, not a secret.
TOKEN_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 512
DIFFERENT_CHARS_MIN: Final = 10
"""Of 64 random hexadecimal digits at least so many differ, but for one time in a million millions."""
HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
BASE64: Final = re.compile(r"[A-Za-z0-9_+/-]+={0,2}")
COOKIE_HOURS_MAX: Final = 24 * 30
MASK: Final = "<token>"


class TokenWeak(ConfigError):
    """A token that could be guessed."""


class Token:
    """At least 32 random bytes as text. Every text of it is a mask, and it cannot be copied by pickling."""

    __slots__ = ("_key", "_text", "cookie_name")

    def __init__(self, text: str) -> None:
        """Raises TokenWeak, without showing the text."""
        check_strength(text)
        self._text = text.encode()
        self._key = hmac.digest(self._text, b"papertape cookie", "sha256")
        name = hmac.digest(self._text, b"papertape cookie name", "sha256").hex()[:8]
        # Browsers share cookies between the ports of a host: two servers there have cookies of their own.
        self.cookie_name = f"papertape_{name}"

    def matches(self, given: str) -> bool:
        """Whether this is the token; how long it takes says nothing about how much of it is right."""
        hidden = sha256(given.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(hidden, sha256(self._text).digest())

    def cookie(self, now_s: int) -> str:
        """A cookie's value: when it was made, something random, and the proof that who made it knew the token."""
        body = f"{now_s}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._proof(body)}"

    def takes_cookie(self, value: str, now_s: int) -> bool:
        """Whether a cookie was made with this token and is not too old."""
        body, _, proof = value.rpartition(".")
        given = proof.encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, self._proof(body).encode()):
            return False
        made_s = int(body.partition(".")[0])
        return 0 <= now_s - made_s < COOKIE_HOURS_MAX * 3_600

    def _proof(self, body: str) -> str:
        return hmac.digest(self._key, body.encode("utf-8", "surrogatepass"), "sha256").hex()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled")


def new_token() -> str:
    """The text of a fresh token."""
    while True:
        text = secrets.token_urlsafe(TOKEN_BYTES)
        if not text.startswith("-"):  # One that a command line would take for an option is not handy.
            return text


def check_strength(text: str) -> None:
    """Raises TokenWeak for a text that does not hold 32 random bytes."""
    how = "`papertape token` makes one"
    if len(text) > TOKEN_CHARS_MAX:
        raise TokenWeak(f"{TOKEN_VARIABLE} has more than {TOKEN_CHARS_MAX} characters; {how}")
    held = len(text) // 2 if HEX.fullmatch(text) else len(text.rstrip("=")) * 3 // 4 if BASE64.fullmatch(text) else 0
    if held < TOKEN_BYTES:
        raise TokenWeak(
            f"{TOKEN_VARIABLE} must hold at least {TOKEN_BYTES} random bytes as base64 or hexadecimal digits; {how}"
        )
    if len(set(text)) < DIFFERENT_CHARS_MIN:
        raise TokenWeak(f"{TOKEN_VARIABLE} repeats a few characters, so it can be guessed; {how}")
