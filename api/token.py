"""The token that authenticates the owner, and the cookie that represents it in a browser.

It is set by `PAPERTAPE_TOKEN` or `PAPERTAPE_TOKEN_FILE`, in the environment or in a `.env` file beside the
configuration. `PAPERTAPE_SIGNAL_TOKEN` sets a second one, which allows sending signals and nothing else.
"""

from __future__ import annotations

import hmac
import re
import secrets
from hashlib import sha256
from typing import Final, NoReturn

from papertape.events.errors import ConfigError

TOKEN_VARIABLE: Final = "PAPERTAPE_TOKEN"  # noqa: S105 - a name, not a secret.
SIGNAL_TOKEN_VARIABLE: Final = "PAPERTAPE_SIGNAL_TOKEN"  # noqa: S105 - likewise.
TOKEN_BYTES: Final = 32
TOKEN_CHARS_MAX: Final = 512
DISTINCT_CHARS_MIN: Final = 10
"""64 random hexadecimal digits have fewer distinct ones only once in a million million times."""
HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
BASE64: Final = re.compile(r"[A-Za-z0-9_+/-]+={0,2}")
COOKIE_HOURS_MAX: Final = 24 * 30
MASK: Final = "<token>"


class TokenWeak(ConfigError):
    """The token could be guessed."""


class Token:
    """At least 32 random bytes as text. Its `repr` is a mask, and it cannot be pickled."""

    __slots__ = ("_key", "_text", "cookie_name")

    def __init__(self, text: str, variable: str = TOKEN_VARIABLE) -> None:
        """Check and store the token that `variable` holds. Raise TokenWeak, without the text."""
        check_strength(text, variable)
        self._text = text.encode()
        self._key = hmac.digest(self._text, b"papertape cookie", "sha256")
        name = hmac.digest(self._text, b"papertape cookie name", "sha256").hex()[:8]
        # Browsers share cookies between the ports of a host, so each server needs its own cookie name.
        self.cookie_name = f"papertape_{name}"

    def matches(self, text: str) -> bool:
        """Return whether a text is the token, in time that reveals nothing about it."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        return hmac.compare_digest(digest, sha256(self._text).digest())

    def cookie(self, now_s: int) -> str:
        """Return a cookie's value: its creation time, random text, and a proof made with the token."""
        body = f"{now_s}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._proof(body)}"

    def accepts_cookie(self, value: str, now_s: int) -> bool:
        """Return whether a cookie was made with this token and has not expired."""
        body, _, proof = value.rpartition(".")
        if not hmac.compare_digest(proof.encode("utf-8", "surrogatepass"), self._proof(body).encode()):
            return False
        made_s = int(body.partition(".")[0])
        return 0 <= now_s - made_s < COOKIE_HOURS_MAX * 3_600

    def _proof(self, body: str) -> str:
        return hmac.digest(self._key, body.encode("utf-8", "surrogatepass"), "sha256").hex()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled")


def new_token() -> str:
    """Return the text of a new random token."""
    while True:
        text = secrets.token_urlsafe(TOKEN_BYTES)
        if not text.startswith("-"):  # A command line would take it for an option.
            return text


def check_strength(text: str, variable: str = TOKEN_VARIABLE) -> None:
    """Raise TokenWeak for a text that does not contain 32 random bytes."""
    advice = "`papertape token` makes one"
    if len(text) > TOKEN_CHARS_MAX:
        raise TokenWeak(f"{variable} has more than {TOKEN_CHARS_MAX} characters; {advice}")
    byte_count = (
        len(text) // 2 if HEX.fullmatch(text) else len(text.rstrip("=")) * 3 // 4 if BASE64.fullmatch(text) else 0
    )
    if byte_count < TOKEN_BYTES:
        raise TokenWeak(
            f"{variable} must contain at least {TOKEN_BYTES} random bytes in base64 or hexadecimal; {advice}"
        )
    if len(set(text)) < DISTINCT_CHARS_MIN:
        raise TokenWeak(f"{variable} repeats a few characters, so it can be guessed; {advice}")
