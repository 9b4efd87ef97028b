"""The token: its strength, its secrecy, and its cookies."""

from __future__ import annotations

import string
import time

import pytest

from papertape.api.token import Token, TokenWeak, new_token
from tests.web.site import TOKEN


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
def test_a_weak_token_is_refused_and_not_shown(weak: str) -> None:
    with pytest.raises(TokenWeak) as refused:
        Token(weak)
    assert not weak or weak not in str(refused.value)


@pytest.mark.parametrize("strong", [string.ascii_letters[:43], string.hexdigits[:16] * 4])
def test_a_token_of_thirty_two_bytes_is_accepted(strong: str) -> None:
    assert Token(strong).matches(strong)


def test_a_token_is_never_shown() -> None:
    token = Token(new_token())
    assert repr(token) == f"{token}" == "<token>"
    assert new_token() != new_token()


@pytest.mark.parametrize("value", ["", ".", "..", "a.b.c", "1", "9" * 5_000, "é.ü", "1.x.", "\ud800.b.c"])
def test_a_cookie_of_another_token_is_invalid(value: str) -> None:
    assert not Token(TOKEN).accepts_cookie(value, int(time.time()))
