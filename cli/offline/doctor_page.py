"""What the doctor says of the page: who reaches it, and what they need."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from papertape.api.hosts import is_loopback
from papertape.api.token import TOKEN_VARIABLE
from papertape.cli.config.sections import load_config
from papertape.cli.offline.doctor_finding import Finding
from papertape.cli.page_token import resolve_access, web_variables
from papertape.events.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def page(config: Path | None, sets: Sequence[str]) -> Iterator[Finding]:
    """One finding; none where the configuration is wrong, which is told already."""
    try:
        loaded = load_config(config, tuple(sets))
    except ConfigError:
        return
    host, port = loaded.web.host, loaded.web.port
    where = f"{host}, port {port}"
    try:
        found = resolve_access(web_variables(os.environ, loaded.folder), host)
    except ConfigError as error:
        yield Finding("fail", "page", f"{where}: {error}", "give it a token, or let it listen on 127.0.0.1")
        return
    if found.reading_open:
        yield Finding("ok", "page", f"{where}, this machine alone: reading is free, commands need the session's token")
    elif is_loopback(host):
        yield Finding("ok", "page", f"{where}, this machine alone: everything needs {TOKEN_VARIABLE}")
    else:
        yield Finding(
            "ok",
            "page",
            f"{where}, other machines reach it: everything needs {TOKEN_VARIABLE}",
            "" if loaded.web.proxies else "a proxy that ends TLS keeps the token from being read on the way",
        )
