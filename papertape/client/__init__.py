"""A typed client of the HTTP API, with and without asyncio: `from papertape.client import Client, calls`."""

from papertape.api.commands import CloseRequest, KillRequest, PauseRequest, ReloadRequest, ResetRequest, ResumeRequest
from papertape.api.signals import SignalRequest
from papertape.client import calls
from papertape.client.calls import Call
from papertape.client.clients import AsyncClient, Client
from papertape.events.errors import ApiProblem, ApiUnreachable

__all__ = [
    "ApiProblem",
    "ApiUnreachable",
    "AsyncClient",
    "Call",
    "Client",
    "CloseRequest",
    "KillRequest",
    "PauseRequest",
    "ReloadRequest",
    "ResetRequest",
    "ResumeRequest",
    "SignalRequest",
    "calls",
]
