"""Who gets in: the token the owner has given, or one that is made for this session.

On this machine alone anybody may look, and commands need the session's token. An address that others reach needs a
token of the owner's for everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from papertape.api.hosts import is_loopback
from papertape.api.token import TOKEN_VARIABLE, Token, new_token
from papertape.events.errors import ConfigError
from papertape.projections.telegram.secret import secret, variables_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SESSION_VARIABLE: Final = "PAPERTAPE_SESSION_TOKEN"
"""How the keeper hands over the token of its session, which outlives a restart of the page."""


class PageAccess(Struct, frozen=True):
    """The token; whether looking is free; and the token's text where it was made here and has to be told."""

    token: Token
    reading_open: bool
    made: str = ""


def resolve_access(variables: Mapping[str, str], bound: str) -> PageAccess:
    """How to get in where the page is served on `bound`.

    Raises ConfigError for an address that others reach without a token of the owner's, TokenWeak, SecretUnreadable.
    """
    given = secret(variables, TOKEN_VARIABLE)
    if given:
        return PageAccess(Token(given), reading_open=False)
    if not is_loopback(bound):
        raise ConfigError(
            f"the address {bound} is reached by other machines, so it needs a token: `papertape token` makes one, "
            f"{TOKEN_VARIABLE} or {TOKEN_VARIABLE}_FILE gives it, in the environment or in .env"
        )
    session = variables.get(SESSION_VARIABLE, "")
    made = session or new_token()
    return PageAccess(Token(made), reading_open=True, made="" if session else made)


def web_variables(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment over the `.env` file in the configuration's folder. Raises SecretUnreadable."""
    return variables_of(environment, folder / ".env", (TOKEN_VARIABLE,))
