"""What a human may ask of the engine: pause, resume, close, kill, reset. Each becomes events with actor and reason."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import problem
from papertape.api.query import SEQ_MAX, Name, body
from papertape.api.routes import GuardedRoute, Operation
from papertape.events.commands import ALL, Accepted, Close, Command, Kill, Pause, Reset, Resume
from papertape.events.errors import UsageError
from papertape.events.facts import GLOBAL_SCOPE
from papertape.events.names import unknown_name_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from papertape.projections.site.ports import Site

WORDS_CHARS_MAX = 200
SEEN_S_MAX = 2.0
Said = Annotated[str, Meta(min_length=1, max_length=WORDS_CHARS_MAX, pattern=r"\S", description="Kept in the log.")]


class CommandRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who asks, and why; both are kept in the log."""

    actor: Said
    reason: Said


class PauseRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Open nothing with a strategy, or with all. Open positions go on."""

    strategy: Name = ALL

    def command(self) -> Command:
        """For the engine."""
        return Pause(self.actor, self.reason, self.strategy)


class ResumeRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End a pause. A tripped kill switch stays tripped."""

    strategy: Name = ALL

    def command(self) -> Command:
        """For the engine."""
        return Resume(self.actor, self.reason, self.strategy)


class CloseRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Leave positions at the next open: of a strategy, in a symbol, or all there are."""

    strategy: Name = ALL
    symbol: Name = ALL

    def command(self) -> Command:
        """For the engine."""
        return Close(self.actor, self.reason, self.strategy, self.symbol)


class KillRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Trip a kill switch by hand, a strategy's or the global one: nothing is opened until it is reset."""

    scope: Name = GLOBAL_SCOPE

    def command(self) -> Command:
        """For the engine."""
        return Kill(self.actor, self.reason, self.scope)


class ResetRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End the trip that stands at `trip_seq`. A stale or second reset is refused with 409."""

    scope: Name
    trip_seq: Annotated[int, Meta(ge=1, le=SEQ_MAX)]

    def command(self) -> Command:
        """For the engine."""
        return Reset(self.actor, self.reason, self.scope, self.trip_seq)


KINDS: dict[str, tuple[type[Any], str]] = {
    "pause": (PauseRequest, "Open nothing more with a strategy, or with all"),
    "resume": (ResumeRequest, "End a pause"),
    "close": (CloseRequest, "Leave open positions at the next open"),
    "kill": (KillRequest, "Trip a kill switch by hand"),
    "reset": (ResetRequest, "End a kill switch's trip, which is named"),
}


def routes(site: Site) -> list[GuardedRoute]:
    """A route for every command."""
    return [_route(site, name, kind, summary) for name, (kind, summary) in KINDS.items()]


def _route(site: Site, name: str, kind: type[Any], summary: str) -> GuardedRoute:
    async def endpoint(request: Request) -> Response:
        command: Command = (await body(kind, request)).command()
        _check_names(site, command)
        return await _submit(site, command)

    operation = Operation(
        summary,
        Accepted,
        body=kind,
        refusals=(409, 413, 415, 422, 503, 504),
        about="Answered when it is committed: from the first to the last event it became, consequences included.",
    )
    return GuardedRoute(f"/api/v1/commands/{name}", endpoint, access=Access.COMMAND, method="POST", operation=operation)


async def _submit(site: Site, command: Command) -> Response:
    """Have it taken. A refusal is 409; no engine is 503, as it may come."""
    if not site.settings.commands_allowed:
        return problem(503, "this log is only looked at: no engine takes commands for it")
    try:
        accepted = await site.engine.submit(command)
    except UsageError as error:
        return problem(503, str(error))
    await _wait_for_views(site, accepted.last_seq)
    return Response(msgspec.json.encode(accepted), media_type="application/json")


async def _wait_for_views(site: Site, seq: int) -> None:
    """Wait a moment until the views hold what came of a command: whoever asks next finds it there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SEEN_S_MAX):
            while site.timeline.views.seq < seq:
                await site.timeline.wait_beyond(site.timeline.views.seq)


def _check_names(site: Site, command: Command) -> None:
    """Raises HTTPException 422 for a strategy or a symbol that this log does not have."""
    views = site.timeline.views
    symbols = dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols)
    match command:
        case Pause(strategy=strategy) | Resume(strategy=strategy):
            _known("strategy", strategy, (ALL, *views.strategies))
        case Close(strategy=strategy, symbol=symbol):
            _known("strategy", strategy, (ALL, *views.strategies))
            _known("symbol", symbol, (ALL, *symbols))
        case Kill(scope=scope) | Reset(scope=scope):
            _known("scope", scope, (GLOBAL_SCOPE, *views.strategies))


def _known(what: str, name: str, there: Iterable[str]) -> None:
    names = list(there)
    if name not in names:
        raise HTTPException(422, f"{what}: {unknown_name_text(what, name, names)}")
