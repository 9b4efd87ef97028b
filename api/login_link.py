"""A login by a printed address: its token logs one browser in, once and within ten minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from papertape.api.token import Token

if TYPE_CHECKING:
    from collections.abc import Callable

LOGIN_PATH: Final = "/login"
LOGIN_MINUTES: Final = 10
LOGIN_PARAMETER: Final = "token"


class LoginLink:
    """The one-time token of a printed address. It is not the owner's token, and it allows nothing but a login.

    `until_s` is on the clock, which is monotonic. `is_used` says that an earlier process of this page saw it used, and
    `on_use` tells later ones.
    """

    def __init__(
        self,
        text: str,
        until_s: float,
        *,
        is_used: bool = False,
        on_use: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise TokenWeak for a text that could be guessed."""
        self._token, self._until_s, self._clock = Token(text), until_s, clock
        self._is_used, self._on_use = is_used, on_use

    def redeem(self, text: str) -> bool:
        """Return whether a text is the token, is neither used nor expired, and so is used from now on."""
        is_right = self._token.matches(text)
        if not is_right or self._is_used or self._clock() >= self._until_s:
            return False
        self._is_used = True
        self._on_use()
        return True
