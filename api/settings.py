"""The section `[web]` of the configuration: where the page is served, and its limits."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

PORT_DEFAULT = 8_700
STREAMS_MAX: Final = 200
"""The default. It stands here because every command reads the configuration, but few start a server."""
NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
ORIGIN_PATTERN = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$"
Origin = Annotated[str, Meta(pattern=ORIGIN_PATTERN)]


class WebSettings(Struct, frozen=True):
    """The section `[web]`. The token is a secret: it comes from the environment or from `.env`."""

    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="the port; 0 means any free one")] = PORT_DEFAULT
    streams_max: Annotated[int, Meta(ge=1, le=10_000, description="the maximum number of open event streams")] = (
        STREAMS_MAX
    )
    trusted_hosts: Annotated[
        tuple[Name, ...], Meta(max_length=100, description="further host names that browsers may use")
    ] = ()
    cors_origins: Annotated[
        tuple[Origin, ...],
        Meta(max_length=100, description="other sites whose pages may use the API, such as https://example.org"),
    ] = ()
    jobs: Annotated[
        Literal["on", "off"], Meta(description="whether the page starts backtests and sweeps for token holders")
    ] = "on"
    proxies: Annotated[
        tuple[Name, ...], Meta(max_length=100, description="addresses of proxies whose X-Forwarded-For is trusted")
    ] = ()
