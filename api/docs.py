"""The API on a page: every route with what it takes and gives, from the same description, without a script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from api.gate import Access
from api.openapi import description
from api.routes import GuardedRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request

    from api.routes import Guarded

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>papertape API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/api/docs.css"></head>
<body><main><h1>papertape API</h1>
<p>Views of one log as JSON. Every view takes <code>as_of</code>, an event's seq or a time in UTC, and has an ETag.
Errors are <code>application/problem+json</code>. The same for machines: <a href="/openapi.json">openapi.json</a>.
Events as they come: <code>GET /api/v1/stream</code>, or the WebSocket <code>/api/v1/ws</code>.</p>
%s</main></body></html>
"""
STYLE: Final = """:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
section { border-top: 1px solid #8884; padding: .5rem 0; }
h2 { font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
p, summary { overflow-wrap: anywhere; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
pre { overflow-x: auto; padding: .6rem; background: #8882; }
"""
Tree = dict[str, Any]


def page(told: Tree) -> str:
    """The page of a description."""
    return PAGE % "\n".join(part for path in told["paths"] for part in _path(path, told))


def _path(path: str, told: Tree) -> Iterator[str]:
    for method, operation in told["paths"][path].items():
        yield f"<section><h2>{method.upper()} {escape(path)}</h2><p>{escape(operation['summary'])}.</p>"
        if "description" in operation:
            yield f"<p>{escape(operation['description'])}</p>"
        yield from _parameters(operation["parameters"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield _schema("Takes", content["schema"], told)
        for status, answer in operation["responses"].items():
            if status == "200":
                for content in answer["content"].values():
                    yield _schema("Gives", content["schema"], told)
        yield f"<p>Answers: {', '.join(map(escape, operation['responses']))}.</p></section>"


def _parameters(parameters: Sequence[Tree]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table><tr><th>parameter</th><th>in</th><th>what</th></tr>"
    for one in parameters:
        what = escape(msgspec.json.encode(one["schema"]).decode())
        yield f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td><code>{what}</code></td></tr>"
    yield "</table>"


def _schema(title: str, schema: Tree, told: Tree) -> str:
    """A schema, the one it names written out."""
    name = schema.get("$ref", "").rpartition("/")[2]
    shown = msgspec.json.format(msgspec.json.encode(told["components"]["schemas"].get(name, schema)), indent=2).decode()
    return f"<details><summary>{title} {escape(name)}</summary><pre>{escape(shown)}</pre></details>"


def routes(routes: Sequence[Guarded], version: str) -> list[GuardedRoute]:
    """The page and its style."""
    made = page(description(routes, version))

    async def shown(_: Request) -> Response:
        return Response(made, media_type="text/html; charset=utf-8")

    async def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css; charset=utf-8")

    return [
        GuardedRoute("/api/docs", shown, access=Access.PAGE),
        GuardedRoute("/api/docs.css", style, access=Access.OPEN),
    ]
