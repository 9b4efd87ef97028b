"""The API's documentation page: every route with its input and output, made from the description, without scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.openapi import description
from papertape.api.routes import GuardedRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request

    from papertape.api.routes import Guarded

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>papertape API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/api/docs.css"></head>
<body><main><p><a href="/">papertape</a></p><h1>API</h1>
<p>Views of one log as JSON. Every view takes <code>as_of</code>, an event's seq or a time in UTC, and has an ETag.
Errors are <code>application/problem+json</code>. For programs: <a href="/openapi.json">openapi.json</a>.
Events as they happen: <code>GET /api/v1/stream</code>, or the WebSocket <code>/api/v1/ws</code>.</p>
<nav aria-label="Routes"><h2>Routes</h2><ul>%s</ul></nav>
%s</main></body></html>
"""
STYLE: Final = """:root {
  color-scheme: light dark;
  --bg: light-dark(#f6f7f9, #0b0c0f); --surface: light-dark(#fff, #111317); --line: light-dark(#e6e8ec, #1f2329);
  --text: light-dark(#14171c, #e7e9ec); --muted: light-dark(#4c545f, #a6adb7); --accent: light-dark(#4350d0, #8592ff);
  background: var(--bg); color: var(--text); font: 14px/22px Inter, system-ui, sans-serif;
}
body { margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 16px; }
main, section, nav { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; }
h1 { margin: 0; font-size: 22px; line-height: 28px; }
h2 { margin: 0; font: 500 13px/20px ui-monospace, monospace; overflow-wrap: anywhere; }
h2 b { display: inline-block; min-width: 40px; color: var(--accent); font-weight: 600; }
p { margin: 0; color: var(--muted); }
p, summary { overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
section, nav { gap: 8px; padding: 12px 16px; border: 1px solid var(--line); border-radius: 8px;
  background: var(--surface); scroll-margin-top: 12px; }
nav ul { margin: 0; padding: 0; list-style: none; columns: 280px; font: 12px/22px ui-monospace, monospace; }
nav a { color: inherit; text-decoration: none; overflow-wrap: anywhere; }
nav a:hover { text-decoration: underline; }
nav b { display: inline-block; min-width: 36px; color: var(--accent); font-weight: 500; }
summary { cursor: pointer; color: var(--muted); }
code, pre { font: 12px/18px ui-monospace, monospace; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-size: 13px; }
th { color: var(--muted); font-weight: 500; }
td, th { text-align: left; padding: 2px 16px 2px 0; vertical-align: top; }
pre { overflow-x: auto; margin: 8px 0 0; padding: 12px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--bg); }
"""
Tree = dict[str, Any]


def page(tree: Tree) -> str:
    """Return the page for a description."""
    routes = [(method, path) for path, methods in tree["paths"].items() for method in methods]
    contents = "".join(f'<li><a href="#{_anchor(*one)}">{_named(*one)}</a></li>' for one in routes)
    return PAGE % (contents, "\n".join(part for path in tree["paths"] for part in _path(path, tree)))


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}{path}".translate(str.maketrans("/{}.", "----")))


def _named(method: str, path: str) -> str:
    return f"<b>{method.upper()}</b> {escape(path)}"


def _path(path: str, tree: Tree) -> Iterator[str]:
    for method, operation in tree["paths"][path].items():
        yield f'<section id="{_anchor(method, path)}"><h2>{_named(method, path)}</h2>'
        yield f"<p>{escape(operation['summary'])}.</p>"
        if "description" in operation:
            yield f"<p>{escape(operation['description'])}</p>"
        yield from _parameters(operation["parameters"])
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield _schema("Request body", content["schema"], tree)
        for status, answer in operation["responses"].items():
            if status == "200":
                for content in answer["content"].values():
                    yield _schema("Response body", content["schema"], tree)
        yield f"<p>Status codes: {', '.join(map(escape, operation['responses']))}.</p></section>"


def _parameters(parameters: Sequence[Tree]) -> Iterator[str]:
    if not parameters:
        return
    yield "<table><tr><th>parameter</th><th>in</th><th>schema</th></tr>"
    for one in parameters:
        schema = escape(msgspec.json.encode(one["schema"]).decode())
        yield f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td><code>{schema}</code></td></tr>"
    yield "</table>"


def _schema(title: str, schema: Tree, tree: Tree) -> str:
    """Return a schema as a section; a reference is replaced by the schema it names."""
    name = schema.get("$ref", "").rpartition("/")[2]
    shown = msgspec.json.format(msgspec.json.encode(tree["components"]["schemas"].get(name, schema)), indent=2).decode()
    return f"<details><summary>{title} {escape(name)}</summary><pre>{escape(shown)}</pre></details>"


def routes(routes: Sequence[Guarded], version: str) -> list[GuardedRoute]:
    """Return the routes of the page and its style sheet."""
    html = page(description(routes, version))

    async def shown(_: Request) -> Response:
        return Response(html, media_type="text/html; charset=utf-8")

    async def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css; charset=utf-8")

    return [
        GuardedRoute("/api/docs", shown, access=Access.PAGE),
        GuardedRoute("/api/docs.css", style, access=Access.OPEN),
    ]
