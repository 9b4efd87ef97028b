"""Access to the page: by the owner's token, or by one that is generated for the session.

On a loopback address anybody may read, and commands need the session's token. An address that other machines can
reach needs the owner's token for everything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.api.hosts import is_loopback
from papertape.api.login_link import LOGIN_MINUTES, LOGIN_PARAMETER, LOGIN_PATH
from papertape.api.token import SIGNAL_TOKEN_VARIABLE, TOKEN_VARIABLE, Token, new_token
from papertape.events.errors import ConfigError
from papertape.projections.telegram.secret import secret, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SESSION_VARIABLE: Final = "PAPERTAPE_SESSION_TOKEN"
"""The environment variable with the supervisor's session token, which survives a restart of the page."""
LOGIN_VARIABLE: Final = "PAPERTAPE_LOGIN_TOKEN"
"""The environment variable with the supervisor's login token and its end: a restart of the page renews neither."""


class IssuedLogin(Struct, frozen=True):
    """The token of an address that logs in once, until `until_s` on the monotonic clock of this machine."""

    text: str
    until_s: float

    def variable(self) -> str:
        """Return the value of `LOGIN_VARIABLE`."""
        return f"{self.until_s:.3f} {self.text}"


class PageAccess(Struct, frozen=True):
    """The token, whether reading needs none, the token's text if it was generated here, and the one-time login."""

    token: Token
    reading_open: bool
    generated: str = ""
    signal_token: Token | None = None
    login: IssuedLogin | None = None

    def variables(self) -> dict[str, str]:
        """Return the variables that give a supervised page the same access."""
        login = {} if self.login is None else {LOGIN_VARIABLE: self.login.variable()}
        return {SESSION_VARIABLE: self.generated, **login} if self.generated else {}

    def announcement(self, url: str) -> list[str]:
        """Return the lines that tell the person at the terminal where the page is, and how to log in there."""
        if not self.generated or self.login is None:
            return [f"papertape: {url}" + ("" if self.reading_open else f"  (asks for the token in {TOKEN_VARIABLE})")]
        address = f"{url}{LOGIN_PATH}?{LOGIN_PARAMETER}={self.login.text}"
        return [
            f"papertape: {address}  (logs in once, within {LOGIN_MINUTES} minutes)",
            f"commands need this token: {self.generated}",
        ]


def resolve_access(variables: Mapping[str, str], bound: str) -> PageAccess:
    """Return the access to a page that is served on the address `bound`.

    Raise ConfigError if other machines can reach the address and the owner has set no token; TokenWeak,
    SecretUnreadable.
    """
    own, signal_token = secret(variables, TOKEN_VARIABLE), resolve_signal_token(variables)
    if own:
        return PageAccess(Token(own), reading_open=False, signal_token=signal_token)
    if not is_loopback(bound):
        raise ConfigError(
            f"other machines can reach the address {bound}, so it needs a token: create one with `papertape token`, "
            f"and set it as {TOKEN_VARIABLE} or {TOKEN_VARIABLE}_FILE in the environment or in .env"
        )
    session = variables.get(SESSION_VARIABLE, "")
    token = session or new_token()
    login = _issued(variables.get(LOGIN_VARIABLE, "")) if session else _new_login()
    return PageAccess(Token(token), True, "" if session else token, signal_token, login)


def _new_login() -> IssuedLogin:
    return IssuedLogin(new_token(), time.monotonic() + 60.0 * LOGIN_MINUTES)


def _issued(variable: str) -> IssuedLogin | None:
    """Return the login that a supervisor issued."""
    until_s, _, text = variable.partition(" ")
    return IssuedLogin(text, float(until_s)) if text else None


def resolve_signal_token(variables: Mapping[str, str]) -> Token | None:
    """Return the token that allows sending signals, None if none is set.

    Raise ConfigError if it is also the owner's token; TokenWeak, SecretUnreadable.
    """
    text = secret(variables, SIGNAL_TOKEN_VARIABLE)
    if text and text == secret(variables, TOKEN_VARIABLE):
        raise ConfigError(f"{SIGNAL_TOKEN_VARIABLE} must differ from {TOKEN_VARIABLE}: senders of signals know it")
    return Token(text, SIGNAL_TOKEN_VARIABLE) if text else None


def web_variables(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Merge the `.env` file in the configuration's folder with the environment. Raise SecretUnreadable."""
    return variables_of(environment, folder / ".env", (TOKEN_VARIABLE, SIGNAL_TOKEN_VARIABLE))
