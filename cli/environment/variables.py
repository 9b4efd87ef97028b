"""Check the environment variables that papertape reads; refuse an invalid one by name before any file is touched."""

from __future__ import annotations

import os
import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from papertape.api.token import SIGNAL_TOKEN_VARIABLE as SIGNAL_TOKEN
from papertape.api.token import TOKEN_VARIABLE as WEB_TOKEN
from papertape.api.token import Token
from papertape.cli.page_token import resolve_signal_token
from papertape.events.errors import ConfigError
from papertape.projections.notify.addresses import VARIABLE as NOTIFY_URLS
from papertape.projections.notify.addresses import read_addresses
from papertape.projections.telegram.secret import CHAT_VARIABLE as TELEGRAM_CHAT
from papertape.projections.telegram.secret import FILE_SUFFIX, read_access, secret, variables_of
from papertape.projections.telegram.secret import TOKEN_VARIABLE as TELEGRAM_TOKEN
from papertape.projections.watchdog.settings import heartbeat_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from papertape.cli.config.sections import Config

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
NO_PROXY: Final = "no_proxy"
CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
SECRETS: Final = (TELEGRAM_TOKEN, TELEGRAM_CHAT, WEB_TOKEN, SIGNAL_TOKEN, NOTIFY_URLS)
PORT_MAX: Final = 65_535


def check_variables(config: Config, environment: Mapping[str, str]) -> None:
    """Raise ConfigError with one line for every variable that is invalid with this configuration."""
    if found := list(variable_problems(config, environment)):
        raise ConfigError("\n".join(found))


def variable_problems(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems with variables in the environment and in the `.env` file beside the configuration."""
    try:
        variables = variables_of(environment, config.folder / ".env", SECRETS)
    except ConfigError as error:
        yield str(error)
        return
    checks = (
        lambda: read_access(variables),
        lambda: heartbeat_s(config.watchdog, variables),
        lambda: _web_token(variables),
        lambda: resolve_signal_token(variables),
        lambda: read_addresses(variables),
    )
    for check in checks:
        try:
            check()
        except ConfigError as error:
            yield str(error)
    telegram = variables.get(TELEGRAM_TOKEN) or variables.get(TELEGRAM_TOKEN + FILE_SUFFIX)
    if telegram or config.feed.live is not None or config.telegram.dead_mans_switch_url:
        yield from network_problems(environment)


def _web_token(variables: Mapping[str, str]) -> None:
    if given := secret(variables, WEB_TOKEN):
        Token(given)


# ---------------------------------------------------------------- the network


def prepare_network(warn: Callable[[str], None]) -> None:
    """Prepare the network variables for the libraries that read them.

    Remove entries of NO_PROXY that httpx cannot read, with one warning. Raise ConfigError for an invalid proxy or
    certificate file.
    """
    if found := list(network_problems(os.environ)):
        raise ConfigError("\n".join(found))
    for name in [name for name in os.environ if name.lower() == NO_PROXY]:
        kept, left_out = readable_entries(os.environ[name])
        if left_out:
            warn(
                f"{name}: ignored entries that cannot be read (use hosts, domains or addresses): {', '.join(left_out)}"
            )
            os.environ[name] = ",".join(kept)


def readable_entries(text: str) -> tuple[list[str], list[str]]:
    """Return the entries of NO_PROXY that httpx can read, and those that it cannot."""
    import httpx  # noqa: PLC0415 - slow to import, and only the network needs it.

    kept, left_out = list[str](), list[str]()
    for entry in filter(None, (one.strip() for one in text.split(","))):
        bare = entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
        try:
            httpx.URL(_pattern(bare))
        except httpx.InvalidURL:
            left_out.append(entry)
        else:
            kept.append(bare)
    return kept, left_out


def _pattern(entry: str) -> str:
    """Return the URL pattern that httpx builds from an entry."""
    if "://" in entry:
        return entry
    is_ipv6 = entry.count(":") > 1
    return f"all://[{entry}]" if is_ipv6 else f"all://*{entry}"


def network_problems(variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems with proxies and certificates, without the proxy's address, which may contain a password."""
    for name, value in variables.items():
        if name.lower() in PROXIES and value.strip() and (why := _proxy_fault(value)):
            yield f"{name}: {why}; write http://HOST:PORT, or unset it"
    for name in CERTIFICATES:
        if (value := variables.get(name, "")) and (why := _certificates_fault(name, value)):
            yield f"{name} = {value}: {why}"


def _proxy_fault(address: str) -> str:
    import httpx  # noqa: PLC0415 - slow to import, and only the network needs it.

    try:
        found = httpx.Proxy(address if "://" in address else f"http://{address}").url
    except httpx.InvalidURL:
        return "the proxy's address is not a URL"
    except ValueError:
        return "a proxy address must begin with http://, https:// or socks5://"
    if found.scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio (pip install 'httpx[socks]')"
    if not found.host or " " in found.host or "%20" in found.host or (found.port or 1) > PORT_MAX:
        return "the proxy's address has no valid host and port"
    return ""


def _certificates_fault(name: str, path: str) -> str:
    try:
        if name == CERTIFICATES[0]:
            ssl.create_default_context(cafile=path)
        else:
            os.scandir(path).close()
    except ssl.SSLError:
        return "this file contains no certificates"
    except OSError as error:
        return error.strerror or "cannot be read"
    return ""
