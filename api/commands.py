"""Commands to the engine: pause, resume, close, kill, reset, reload. Each becomes events with actor and reason."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import problem
from papertape.api.query import SEQ_MAX, Name, body
from papertape.api.repetitions import Repetitions
from papertape.api.routes import GuardedRoute, Operation
from papertape.events.commands import ALL, Accepted, Close, Command, Kill, Pause, Reload, Reset, Resume
from papertape.events.errors import UsageError
from papertape.events.facts import GLOBAL_SCOPE
from papertape.events.names import unknown_name_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from papertape.projections.site.ports import Site

TEXT_CHARS_MAX = 200
VIEWS_S_MAX = 2.0
RecordedText = Annotated[
    str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, pattern=r"\S", description="Recorded in the log.")
]


class CommandRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sender of a command and the reason; the log records both."""

    actor: RecordedText
    reason: RecordedText


class PauseRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Stop one strategy, or all, from opening positions. Open positions keep their stops and targets."""

    strategy: Name = ALL

    def command(self) -> Command:
        """Return the command for the engine."""
        return Pause(self.actor, self.reason, self.strategy)


class ResumeRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """End a pause. A tripped kill switch remains tripped."""

    strategy: Name = ALL

    def command(self) -> Command:
        """Return the command for the engine."""
        return Resume(self.actor, self.reason, self.strategy)


class CloseRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Close positions at the next open: those of a strategy, those in a symbol, or all."""

    strategy: Name = ALL
    symbol: Name = ALL

    def command(self) -> Command:
        """Return the command for the engine."""
        return Close(self.actor, self.reason, self.strategy, self.symbol)


class KillRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Trip a strategy's or the global kill switch by hand: it blocks new positions until it is reset."""

    scope: Name = GLOBAL_SCOPE

    def command(self) -> Command:
        """Return the command for the engine."""
        return Kill(self.actor, self.reason, self.scope)


class ResetRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Reset the trip with seq `trip_seq`. A stale or repeated reset is refused with 409."""

    scope: Name
    trip_seq: Annotated[int, Meta(ge=1, le=SEQ_MAX)]

    def command(self) -> Command:
        """Return the command for the engine."""
        return Reset(self.actor, self.reason, self.scope, self.trip_seq)


class ReloadRequest(CommandRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Apply the changed configuration file: all of it, or nothing if one change needs a restart."""

    def command(self) -> Command:
        """Return the command for the engine."""
        return Reload(self.actor, self.reason)


KINDS: dict[str, tuple[type[Any], str]] = {
    "pause": (PauseRequest, "Stop one strategy, or all, from opening positions"),
    "resume": (ResumeRequest, "End a pause"),
    "close": (CloseRequest, "Close open positions at the next open"),
    "kill": (KillRequest, "Trip a kill switch by hand"),
    "reset": (ResetRequest, "Reset one trip of a kill switch"),
    "reload": (ReloadRequest, "Apply the changed configuration file"),
}


def routes(site: Site) -> list[GuardedRoute]:
    """Return the routes of all commands."""
    repetitions = Repetitions()
    return [_route(site, repetitions, name, kind, summary) for name, (kind, summary) in KINDS.items()]


def _route(site: Site, repetitions: Repetitions, name: str, kind: type[Any], summary: str) -> GuardedRoute:
    async def endpoint(request: Request) -> Response:
        command: Command = (await body(kind, request)).command()
        _check_names(site, command)
        return await repetitions.once(request, lambda: _submit(site, command))

    operation = Operation(
        summary,
        Accepted,
        body=kind,
        refusals=(409, 413, 415, 422, 503, 504),
        about="The answer comes after the commit and names the first and the last resulting event. With the same "
        "Idempotency-Key header, a command is carried out once.",
    )
    return GuardedRoute(f"/api/v1/commands/{name}", endpoint, access=Access.COMMAND, method="POST", operation=operation)


async def _submit(site: Site, command: Command) -> Response:
    """Submit a command. A refusal is 409; a missing engine is 503, because it may come back."""
    if not site.settings.commands_allowed:
        return problem(503, "this log is read-only here: no engine accepts commands for it")
    try:
        accepted = await site.engine.submit(command)
    except UsageError as error:
        return problem(503, str(error))
    await wait_for_views(site, accepted.last_seq)
    return Response(msgspec.json.encode(accepted), media_type="application/json")


async def wait_for_views(site: Site, seq: int) -> None:
    """Wait briefly until the views include a command's events, so that the next request sees them."""
    with suppress(TimeoutError):
        async with asyncio.timeout(VIEWS_S_MAX):
            while site.timeline.views.seq < seq:
                await site.timeline.wait_beyond(site.timeline.views.seq)


def _check_names(site: Site, command: Command) -> None:
    """Raise HTTPException 422 for a strategy, symbol or scope that this log does not have."""
    views = site.timeline.views
    symbols = dict.fromkeys(symbol for runner in views.runners.values() for symbol in runner.symbols)
    match command:
        case Pause(strategy=strategy) | Resume(strategy=strategy):
            _check_name("strategy", strategy, (ALL, *views.strategies))
        case Close(strategy=strategy, symbol=symbol):
            _check_name("strategy", strategy, (ALL, *views.strategies))
            _check_name("symbol", symbol, (ALL, *symbols))
        case Kill(scope=scope) | Reset(scope=scope):
            _check_name("scope", scope, (GLOBAL_SCOPE, *views.strategies))
        case Reload():
            pass
        case _:
            assert_never(command)


def _check_name(field: str, name: str, valid: Iterable[str]) -> None:
    names = list(valid)
    if name not in names:
        raise HTTPException(422, f"{field}: {unknown_name_text(field, name, names)}")
