"""The page of the API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from papertape.api.app import api_routes
from papertape.api.openapi import description
from tools.reference.markdown import NOTE, joined, table

if TYPE_CHECKING:
    from collections.abc import Iterator


def page() -> str:
    """Return the page of all operations, by group, with their parameters and answers."""
    served: Any = SimpleNamespace(settings=SimpleNamespace(version=""), timeline=SimpleNamespace(views=None))
    tree = description(api_routes(served, served, served), "")
    lines = [
        "# API operations",
        "",
        NOTE,
        "",
        "Every operation that the page of an engine or of a log serves. The conventions are described in",
        "[the HTTP API](../http-api.md); a running page serves the same description, with every schema,",
        "as `/openapi.json` and `/api/docs`.",
    ]
    groups: dict[str, list[str]] = {}
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).extend(_operation(method, path, operation))
    for group in sorted(groups):
        lines += ["", f"## {group.capitalize()}", *groups[group]]
    return joined(lines)


def _operation(method: str, path: str, operation: Any) -> Iterator[str]:
    yield from ("", f"### `{method.upper()} {path}`", "", f"{operation['summary']}. `{operation['operationId']}`")
    if "description" in operation:
        yield from ("", operation["description"])
    rows = [(f"`{one['name']}`", one["in"], _kind(one["schema"])) for one in operation["parameters"]]
    if rows:
        yield from ("", *table([("parameter", "in", "type"), *rows]))
    answers = ", ".join(f"{status}{_schema(answer)}" for status, answer in operation["responses"].items())
    yield from ("", f"Answers: {answers}.")


def _kind(schema: Any) -> str:
    """Return the type of a parameter in words."""
    kinds = [one.get("type", "value") for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(kinds)


def _schema(answer: Any) -> str:
    """Return the name of an answer's schema, in parentheses."""
    for content in answer.get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        return f" (`{name}`)" if name else ""
    return ""
