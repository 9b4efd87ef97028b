"""Where the page is served, and how much of it at once: the section `[web]` of the configuration."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

PORT_DEFAULT = 8_700
STREAMS_MAX: Final = 200
"""The default; here, as every command reads the configuration and few serve anything."""
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]


class WebSettings(Struct, frozen=True):
    """The section. The token is a secret: it comes from the environment or `.env`."""

    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="the port; 0 is any free one")] = PORT_DEFAULT
    streams_max: Annotated[int, Meta(ge=1, le=10_000, description="streams of events that are open at once")] = (
        STREAMS_MAX
    )
    trusted_hosts: Annotated[
        tuple[Name, ...], Meta(max_length=100, description="further names by which browsers may call it")
    ] = ()
    proxies: Annotated[
        tuple[Name, ...], Meta(max_length=100, description="addresses of proxies whose X-Forwarded-For is believed")
    ] = ()
