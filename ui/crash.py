"""Crash me: kill the engine while it works, wait for its restart, and compare its state with the log."""

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
    """How the running engine recovered: its process, and the event up to which it recovered.

    `digest_before` is the digest of the state as of `recovered_seq`, folded by this process, which was not killed;
    `digest_after` is the digest of the engine's state after its recovery.
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
    """Return the recovery of the running engine. Raise UsageError while no engine answers."""
    status = await site.engine.status()
    if status is None:
        raise UsageError("no engine answers yet")
    before = await site.inspector.digest(status.recovered_seq)
    return Recovery(
        pid=status.pid,
        recovered_seq=status.recovered_seq,
        replayed_events=status.replayed_events,
        recovery_ms=status.recovery_ms,
        digest_before=before,
        digest_after=status.digest_at_start,
        same=before == status.digest_at_start,
    )


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes to crash the engine and to check its recovery."""

    async def crash(_: Request) -> Response:
        status = await site.engine.status()
        if status is None:
            return problem(503, "no engine runs on this log")
        await site.engine.crash()
        return Response(msgspec.json.encode(CrashedProcess(status.pid)), media_type=JSON)

    async def check_recovery(_: Request) -> Response:
        try:
            return Response(msgspec.json.encode(await recovery(site)), media_type=JSON)
        except UsageError as error:
            return problem(503, str(error))

    return [
        GuardedRoute("/pages/crash", crash, access=Access.COMMAND, method="POST"),
        GuardedRoute("/pages/recovery", check_recovery, access=Access.READ),
    ]
