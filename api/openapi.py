"""The description of the API, generated from the Structs that read the questions and make the answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from api.gate import Access
from api.problems import MEDIA_TYPE, Problem
from api.routes import Guarded, GuardedRoute, Operation

if TYPE_CHECKING:
    from starlette.requests import Request

Tree = dict[str, Any]
REFERENCE: Final = "#/components/schemas/{name}"
STREAM: Final = "text/event-stream"


def described(routes: Iterable[Guarded]) -> list[GuardedRoute]:
    """The routes that say what they do."""
    return [route for route in routes if isinstance(route, GuardedRoute) and route.operation is not None]


def description(routes: Sequence[Guarded], version: str) -> Tree:
    """The whole description, OpenAPI 3.1."""
    told = described(routes)
    kinds = [Problem, *(kind for route in told for kind in _kinds(_operation(route)))]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    by_kind = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: Tree = {}
    for route in told:
        paths.setdefault(route.path, {})[route.method.lower()] = _described(route, by_kind, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "papertape", "version": version, "description": "The views of a log, and commands."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: GuardedRoute) -> Operation:
    assert route.operation is not None
    return route.operation


def _kinds(operation: Operation) -> list[Any]:
    return [kind for kind in (operation.answer, operation.query, operation.body) if kind is not None]


def _key(kind: Any) -> str:
    return repr(kind)


def _described(route: GuardedRoute, by_kind: Tree, components: Tree) -> Tree:
    operation = _operation(route)
    told: Tree = {
        "summary": operation.summary,
        "operationId": f"{route.method.lower()}{route.path}".replace("/", "_").replace("{", "").replace("}", ""),
        "parameters": _parameters(route, by_kind, components),
        "responses": _responses(route, operation, by_kind),
    }
    if operation.about:
        told["description"] = operation.about
    if operation.body is not None:
        told["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_kind[_key(operation.body)]}},
        }
    if route.access is not Access.OPEN:
        told["security"] = [{"token": []}, *([{}] if route.access is not Access.COMMAND else [])]
    return told


def _parameters(route: GuardedRoute, by_kind: Tree, components: Tree) -> list[Tree]:
    """The fields of the query: those that stand in the path, and the others."""
    query = _operation(route).query
    if query is None:
        return []
    schema = components[by_kind[_key(query)]["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "path" if name in route.param_convertors else "query",
            "required": name in required or name in route.param_convertors,
            "schema": field,
            **({"style": "form", "explode": True} if field.get("type") == "array" else {}),
        }
        for name, field in schema["properties"].items()
    ]


def _responses(route: GuardedRoute, operation: Operation, by_kind: Tree) -> Tree:
    """The good answer, and every refusal that may come."""
    answers: Tree = {}
    if operation.answer is None:
        answers["303"] = {"description": "See another page"}
    else:
        content = {operation.media_type: {"schema": by_kind[_key(operation.answer)]}}
        for status in (200, *operation.also):
            answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    secured = () if route.access is Access.OPEN else (401, 403, 429)
    for status in (*secured, *operation.refusals):
        answers.setdefault(str(status), _problem(status))
    return answers


def _problem(status: int) -> Tree:
    schema = {"$ref": REFERENCE.format(name="Problem")}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}


def route(routes: Sequence[Guarded], version: str) -> GuardedRoute:
    """Where the description is; it is made once."""
    made = msgspec.json.encode(description(routes, version))

    async def endpoint(_: Request) -> Response:
        return Response(made, media_type="application/json")

    return GuardedRoute("/openapi.json", endpoint, access=Access.READ)
