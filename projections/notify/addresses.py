"""The addresses of the owner's other channels: Apprise URLs, which are secrets like a bot's token.

`PAPERTAPE_NOTIFY_URLS` holds them, separated by spaces, in the environment or `.env`. `PAPERTAPE_NOTIFY_URLS_FILE`
names a file with one per line, where a line that begins with # is a comment.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, NoReturn

from papertape.events.errors import ConfigError
from papertape.projections.telegram.secret import secret

VARIABLE: Final = "PAPERTAPE_NOTIFY_URLS"
CHANNELS_MAX: Final = 8
EXTRA: Final = "notify"
NAME_DIGITS: Final = 24
FORMER_NAME_DIGITS: Final = 12
SCHEME: Final = re.compile(r"([a-z][a-z0-9]{1,20})://\S+", re.IGNORECASE)


class NotifyAddress:
    """One address. It is always shown by its title, and it cannot be pickled."""

    __slots__ = ("_url", "title")

    def __init__(self, url: str, title: str) -> None:
        self._url, self.title = url, title

    def name(self, key: bytes) -> str:
        """Return a name for the channel's cursors that does not depend on the order of the addresses.

        Without the key, nobody can tell from it whether a guessed URL is this one.
        """
        return hmac.new(key, self._url.encode(), hashlib.sha256).hexdigest()[:NAME_DIGITS]

    @property
    def former_name(self) -> str:
        """The name before there was a key: a guessed URL could be compared with it."""
        return hashlib.sha256(self._url.encode()).hexdigest()[:FORMER_NAME_DIGITS]

    def reveal(self) -> str:
        """Return the URL itself, for Apprise and for nothing else."""
        return self._url

    def __repr__(self) -> str:
        return f"NotifyAddress({self.title})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an address cannot be pickled")


def read_addresses(variables: Mapping[str, str]) -> list[NotifyAddress]:
    """Return the configured addresses; none without the variable.

    Raise ConfigError for an invalid URL, too many of them, a duplicate, or if Apprise is missing. No text shows a URL.
    """
    lines = secret(variables, VARIABLE).splitlines()
    urls = [url for line in lines if not line.lstrip().startswith("#") for url in line.split()]
    if not urls:
        return []
    if len(urls) > CHANNELS_MAX:
        raise ConfigError(f"{VARIABLE} has {len(urls)} addresses; at most {CHANNELS_MAX} are allowed")
    if len(set(urls)) < len(urls):
        raise ConfigError(f"{VARIABLE} contains the same address twice")
    schemes = [_scheme(url, number) for number, url in enumerate(urls, start=1)]
    if find_spec("apprise") is None:
        raise ConfigError(f"{VARIABLE} is set, but Apprise is not installed: pip install 'papertape[{EXTRA}]'")
    seen = Counter[str]()
    addresses = list[NotifyAddress]()
    for url, scheme in zip(urls, schemes, strict=True):
        seen[scheme] += 1
        number = f" {seen[scheme]}" if schemes.count(scheme) > 1 else ""
        addresses.append(NotifyAddress(url, f"{scheme}{number}"))
    return addresses


def _scheme(url: str, number: int) -> str:
    found = SCHEME.fullmatch(url)
    if found is None:
        raise ConfigError(
            f"{VARIABLE}: address {number} is not of the form discord://..., ntfys://... or mailtos://..."
        )
    return found[1].lower()
