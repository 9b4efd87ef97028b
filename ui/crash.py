"""Crash me: the engine is killed while it works, comes back by itself, and has to know what it knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import problem
from papertape.api.routes import GuardedRoute
from papertape.events.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

    from papertape.projections.site.ports import Site

JSON = "application/json"


class Recovery(Struct, frozen=True):
    """How the engine that runs now came back: its process, and where it took up the log.

    `digest_before` is of everything up to `recovered_seq`, folded here by a process that was not killed;
    `digest_after` is what the engine knew when it was back.
    """

    pid: int
    recovered_seq: int
    replayed_events: int
    recovery_ms: float
    digest_before: str
    digest_after: str
    same: bool


class CrashedProcess(Struct, frozen=True):
    """The process that was killed."""

    pid: int


async def recovery(site: Site) -> Recovery:
    """Of the engine as it runs. Raises UsageError while none does."""
    said = await site.engine.status()
    if said is None:
        raise UsageError("no engine answers yet")
    before = await site.inspector.digest(said.recovered_seq)
    return Recovery(
        pid=said.pid,
        recovered_seq=said.recovered_seq,
        replayed_events=said.replayed_events,
        recovery_ms=said.recovery_ms,
        digest_before=before,
        digest_after=said.digest_at_start,
        same=before == said.digest_at_start,
    )


def routes(site: Site) -> list[GuardedRoute]:
    """To crash, and to see how it came back."""

    async def crash(_: Request) -> Response:
        said = await site.engine.status()
        if said is None:
            return problem(503, "no engine runs on this log")
        await site.engine.crash()
        return Response(msgspec.json.encode(CrashedProcess(said.pid)), media_type=JSON)

    async def came_back(_: Request) -> Response:
        try:
            return Response(msgspec.json.encode(await recovery(site)), media_type=JSON)
        except UsageError as error:
            return problem(503, str(error))

    return [
        GuardedRoute("/pages/crash", crash, access=Access.COMMAND, method="POST"),
        GuardedRoute("/pages/recovery", came_back, access=Access.READ),
    ]
