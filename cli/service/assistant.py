"""`papertape mcp`: an assistant asks a running page, over the Model Context Protocol on standard input and output.

It only reads: no tool changes anything, and the token, if reading needs one, never leaves this process.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from papertape.api.token import TOKEN_VARIABLE
from papertape.cli.page_token import web_variables
from papertape.client import AsyncClient, Call, calls
from papertape.events.errors import PapertapeError
from papertape.projections.telegram.secret import secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT_DEFAULT: Final = 20
INSTRUCTIONS: Final = (
    "papertape runs trading strategies with virtual money. Money is in USDT, times are UTC, and every event has a seq. "
    "With `as_of` (a seq or a time such as 2025-03-01T14:05) a tool that takes it answers as of that moment; empty "
    "means now. To explain a trade, take its seq from `trades` and ask `why`; to explain why nothing happens, ask "
    "`whynot`. Lists come in pages of `limit` items: to continue, pass `next` as `cursor` and the answer's `as_of.seq` "
    "as `as_of` (`studies` has none); a null `next` is the end. Ranges: `from_` and `to` are times, both inclusive; "
    "`after` and `before` are seqs, both exclusive; 0 means no bound."
)


class Assistant:
    """What an assistant may ask; each method is one tool, described by its docstring."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def tools(self) -> tuple[Callable[..., Awaitable[dict[str, Any]]], ...]:
        """Return the tools."""
        return (
            self.arena,
            self.strategy,
            self.positions,
            self.orders,
            self.trades,
            self.events,
            self.why,
            self.whynot,
            self.risk,
            self.studies,
            self.study,
        )

    async def arena(self, as_of: str | int = "") -> dict[str, Any]:
        """Rank the strategies by net return, with trades, win rate, profit factor, drawdown and costs."""
        return await self._read_view(calls.arena(str(as_of)))

    async def strategy(self, name: str, as_of: str | int = "") -> dict[str, Any]:
        """Show one strategy: account, parameters, limits, results by symbol and exit reason, positions and orders."""
        return await self._read_view(calls.runner(name, str(as_of)))

    async def positions(self, strategy: str = "", as_of: str | int = "") -> dict[str, Any]:
        """List the open positions of one strategy, or of all."""
        return await self._read_view(calls.positions(strategy, str(as_of)))

    async def orders(self, strategy: str = "", as_of: str | int = "") -> dict[str, Any]:
        """List the orders that wait for the next open or rest at a price."""
        return await self._read_view(calls.orders(strategy, str(as_of)))

    async def trades(
        self,
        strategy: str = "",
        symbol: str = "",
        result: Literal["", "won", "lost"] = "",
        from_: str = "",
        to: str = "",
        after: int = 0,
        before: int = 0,
        limit: int = LIMIT_DEFAULT,
        cursor: int = 0,
        as_of: str | int = "",
    ) -> dict[str, Any]:
        """List closed trades, newest first; the ranges apply to their exits."""
        return await self._read_view(
            calls.trades(
                strategy,
                symbol,
                result=result,
                from_=from_,
                to=to,
                after=after,
                before=before,
                limit=limit,
                cursor=cursor,
                as_of=str(as_of),
            )
        )

    async def events(
        self,
        types: list[str] | None = None,
        strategy: str = "",
        symbol: str = "",
        text: str = "",
        from_: str = "",
        to: str = "",
        after: int = 0,
        before: int = 0,
        limit: int = LIMIT_DEFAULT,
        cursor: int = 0,
        as_of: str | int = "",
    ) -> dict[str, Any]:
        """Search the log, newest first, by type (such as KillSwitchTripped), strategy, symbol or words of its text."""
        found = calls.events(
            types or (),
            symbol,
            strategy,
            text,
            after,
            before,
            order="newest",
            limit=limit,
            as_of=str(as_of),
            from_=from_,
            to=to,
            cursor=cursor,
        )
        return await self._read_view(found)

    async def why(self, seq: int) -> dict[str, Any]:
        """Explain an event: the chain back to its root cause, with the readings and conditions of each decision."""
        return await self._read_view(calls.why(seq))

    async def whynot(self, strategy: str, symbol: str, as_of: str | int = "") -> dict[str, Any]:
        """Tell what keeps a strategy from entering a symbol: every condition, met or not, with its numbers."""
        return await self._read_view(calls.conditions(strategy, symbol, str(as_of)))

    async def risk(self, as_of: str | int = "") -> dict[str, Any]:
        """Show how much of every limit is used, and the active and past trips of kill switches."""
        return await self._read_view(calls.risk(str(as_of)))

    async def studies(self, limit: int = LIMIT_DEFAULT, cursor: int = 0) -> dict[str, Any]:
        """List the studies of parameters with their verdicts, newest first."""
        return await self._read_view(calls.studies(limit, cursor))

    async def study(self, name: str) -> dict[str, Any]:
        """Show one study: the verdict with its gates, costs, and results out of sample."""
        return await self._read_view(calls.study(name))

    async def _read_view(self, call: Call[Any]) -> dict[str, Any]:
        """Return an answer as JSON. Raise ToolError, whose text the assistant reads."""
        try:
            answer: dict[str, Any] = msgspec.to_builtins(await self._client.send(call))
        except PapertapeError as error:
            raise ToolError(str(error)) from error
        return answer


def make_server(client: AsyncClient) -> MCPServer[Any]:
    """Return the server whose tools ask a page."""
    server: MCPServer[Any] = MCPServer(
        "papertape", instructions=INSTRUCTIONS, version=version("papertape"), log_level="WARNING"
    )
    for tool in Assistant(client).tools():
        server.tool(annotations=ToolAnnotations(read_only_hint=True))(tool)
    return server


def serve(url: str) -> None:
    """Serve an assistant until standard input ends. The token comes from the environment or from `.env`."""
    token = secret(web_variables(os.environ, Path()), TOKEN_VARIABLE) or None
    make_server(AsyncClient(url, token)).run("stdio")
