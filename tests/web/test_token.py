"""The token: how many random bytes it holds, that it shows itself to nobody, and what its cookies are worth."""

from __future__ import annotations

import string
import time

import pytest

from papertape.api.token import Token, TokenWeak, new_token
from tests.web.given import TOKEN


@pytest.mark.parametrize(
    "weak",
    [
        string.ascii_letters[:42],
        string.hexdigits[:16] * 3 + string.hexdigits[:14],
        "",
        "secret",
        "a" * 64,
        "0123456789abcdef" * 3,
        "x" * 42,
        "ab" * 40,
        TOKEN + "!",
        " " * 50,
        "z" * 600,
    ],
)
def test_a_token_that_can_be_guessed_is_refused_without_being_shown(weak: str) -> None:
    with pytest.raises(TokenWeak) as refused:
        Token(weak)
    assert not weak or weak not in str(refused.value)


@pytest.mark.parametrize("strong", [string.ascii_letters[:43], string.hexdigits[:16] * 4])
def test_a_token_of_thirty_two_bytes_is_taken(strong: str) -> None:
    assert Token(strong).matches(strong)


def test_a_token_shows_itself_to_nobody() -> None:
    token = Token(new_token())
    assert repr(token) == f"{token}" == "<token>"
    assert new_token() != new_token()


@pytest.mark.parametrize("value", ["", ".", "..", "a.b.c", "1", "9" * 5_000, "é.ü", "1.x.", "\ud800.b.c"])
def test_a_cookie_that_was_not_made_with_the_token_is_worth_nothing(value: str) -> None:
    assert not Token(TOKEN).accepts_cookie(value, int(time.time()))
