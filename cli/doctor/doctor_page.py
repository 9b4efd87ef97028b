"""The doctor's check of the page: who can reach it, and what they need."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from papertape.api.hosts import is_loopback
from papertape.api.token import TOKEN_VARIABLE
from papertape.cli.config.overrides import load_config_of_log
from papertape.cli.doctor.doctor_finding import Finding
from papertape.cli.page_token import resolve_access, web_variables
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def page(config: Path | None, sets: Sequence[str]) -> Iterator[Finding]:
    """Yield one finding; none if the configuration is invalid, which is reported elsewhere."""
    try:
        loaded = load_config_of_log(config, tuple(sets))
    except ConfigError:
        return
    host, port = loaded.web.host, loaded.web.port
    address = f"{host}, port {port}"
    try:
        access = resolve_access(web_variables(os.environ, loaded.folder), host)
    except ConfigError as error:
        yield Finding("fail", "page", f"{address}: {error}", "set a token, or let the page listen on 127.0.0.1")
        return
    if access.reading_open:
        yield Finding("ok", "page", f"{address}, only this machine: reading is free, commands need the session's token")
    elif is_loopback(host):
        yield Finding("ok", "page", f"{address}, only this machine: everything needs {TOKEN_VARIABLE}")
    else:
        advice = "" if loaded.web.proxies else "put a TLS proxy in front, so that nobody can read the token on its way"
        text = f"{address}, other machines can reach it: everything needs {TOKEN_VARIABLE}"
        yield Finding("ok", "page", text, advice)
