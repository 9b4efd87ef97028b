"""The OpenAPI description, generated from the Structs of the queries and the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec
from starlette.responses import Response

from papertape.api.gate import Access
from papertape.api.problems import MEDIA_TYPE, Problem
from papertape.api.routes import Guarded, GuardedRoute, Operation

if TYPE_CHECKING:
    from starlette.requests import Request

Tree = dict[str, Any]
REFERENCE: Final = "#/components/schemas/{name}"
SCHEMA_NAMES: Final = {
    "Accepted": "CommandAccepted",
    "EquityMarker": "EquityMarkView",
    "FeedRepairs": "FeedRepairsView",
    "DetectedProblem": "TroubleView",
    "ViewAsOf": "Answer",
}
"""The public names of schemas that differ from the class names. Generated clients rely on them: never change one."""
STREAM: Final = "text/event-stream"
OPERATION_NAMES: Final = {
    "GET /api/v1/runners/{strategy}": "get_runner",
    "GET /api/v1/candles/{symbol}": "get_candles",
    "GET /api/v1/events/{seq}": "get_event",
    "GET /api/v1/why/{seq}": "get_why",
    "GET /api/v1/trades.csv": "get_trades_csv",
    "GET /api/v1/events.csv": "get_events_csv",
    "GET /api/v1/stream": "stream_events",
    "POST /api/v1/signals": "record_signals",
    "GET /api/v1/studies/{name}": "get_study",
    "GET /api/v1/studies/{name}/sets": "get_study_sets",
    "GET /api/v1/jobs/{job}": "get_job",
    "POST /api/v1/jobs/backtest": "start_backtest",
    "POST /api/v1/jobs/sweep": "start_sweep",
    "POST /api/v1/jobs/{job}/cancel": "cancel_job",
    "POST /api/v1/jobs/{job}/again": "start_job_again",
    "POST /login": "log_in",
    "POST /logout": "log_out",
}
"""The names of operations whose path does not give one. Generated clients rely on them: never change one."""
TAGS: Final = {
    "/api/v1/commands": "commands",
    "/api/v1/signals": "signals",
    "/api/v1/studies": "studies",
    "/api/v1/library": "library",
    "/api/v1/comparison": "library",
    "/api/v1/engines": "library",
    "/api/v1/jobs": "jobs",
    "/api/v1/stream": "streams",
    "/api/v1/status": "health",
    "/api/v1": "views",
    "/log": "login",
    "/": "health",
}
"""The group of an operation, by the first of these with which its path begins."""


def documented_routes(routes: Iterable[Guarded]) -> list[GuardedRoute]:
    """Return the routes that describe their operation."""
    return [route for route in routes if isinstance(route, GuardedRoute) and route.operation is not None]


def description(routes: Sequence[Guarded], version: str) -> Tree:
    """Return the whole description, OpenAPI 3.1."""
    documented = documented_routes(routes)
    kinds = [one for kind in _all_kinds(documented) for one in _with_parts(kind)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    by_kind = {_key(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: Tree = {}
    for route in documented:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation_object(route, by_kind, components)
    names = _schema_names(components, by_kind, kinds)
    paths = _with_public_names(paths, names)
    # Generators prefer a schema's title to its name, and msgspec's titles are Python's names of the types.
    components = {
        names[name]: _with_public_names({**schema, "title": names[name]}, names) for name, schema in components.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "papertape",
            "version": version,
            "description": "Views of a log, and commands to its engine.",
        },
        "paths": paths,
        "components": {
            "schemas": _reachable(paths, components),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "signalToken": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _all_kinds(routes: Sequence[GuardedRoute]) -> list[Any]:
    return [Problem, *(kind for route in routes for kind in _kinds(_operation(route)))]


def _with_parts(kind: Any) -> Iterator[Any]:
    """Yield a type and every generic type inside it, each of which is a separate schema."""
    yield kind
    for part in get_args(kind):
        if get_args(part):
            yield from _with_parts(part)


def _schema_names(components: Tree, by_kind: Tree, kinds: Iterable[Any]) -> dict[str, str]:
    """Return the public name of each schema, without module path and punctuation."""
    names = {name: SCHEMA_NAMES.get(name, name) for name in components}
    for kind in kinds:
        if "$ref" in (schema := by_kind[_key(kind)]):
            names[schema["$ref"].rpartition("/")[2]] = _schema_name(kind)
    assert len(set(names.values())) == len(names), "two schemas share a name: rename one in SCHEMA_NAMES"
    return names


def _schema_name(kind: Any) -> str:
    """Return `TradeViewPageAnswer` for `ViewAsOf[Page[TradeView]]`; a tuple is a list."""
    origin = get_origin(kind)
    if origin is None:
        name: str = kind.__name__
        return SCHEMA_NAMES.get(name, name)
    holder = "List" if origin is tuple else SCHEMA_NAMES.get(origin.__name__, origin.__name__)
    return _schema_name(get_args(kind)[0]) + holder


def _with_public_names(tree: Any, names: Mapping[str, str]) -> Any:
    """Return the description with its references changed to the public names."""
    if isinstance(tree, list):
        return [_with_public_names(one, names) for one in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: REFERENCE.format(name=names[value.rpartition("/")[2]])
        if key == "$ref" and value.rpartition("/")[2] in names
        else _with_public_names(value, names)
        for key, value in tree.items()
    }


def _reachable(paths: Tree, components: Tree) -> Tree:
    """Return the schemas that the paths refer to; queries are described by their parameters."""
    reachable: Tree = {}
    names = _references(paths)
    while names:
        name = names.pop()
        if name not in reachable:
            reachable[name] = components[name]
            names += _references(components[name])
    return dict(sorted(reachable.items()))


def _references(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        own = [tree["$ref"].rpartition("/")[2]] if isinstance(tree.get("$ref"), str) else []
        return own + [name for value in tree.values() for name in _references(value)]
    return [name for one in tree for name in _references(one)] if isinstance(tree, list) else []


def _operation(route: GuardedRoute) -> Operation:
    assert route.operation is not None
    return route.operation


def _kinds(operation: Operation) -> list[Any]:
    return [kind for kind in (operation.answer, operation.query, operation.body) if kind is not None]


def _key(kind: Any) -> str:
    return repr(kind)


def _operation_object(route: GuardedRoute, by_kind: Tree, components: Tree) -> Tree:
    operation = _operation(route)
    described: Tree = {
        "summary": operation.summary,
        "operationId": _operation_name(route),
        "tags": [next(tag for path, tag in TAGS.items() if route.path.startswith(path))],
        "parameters": _parameters(route, by_kind, components),
        "responses": _responses(route, operation, by_kind),
    }
    if operation.about:
        described["description"] = operation.about
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_kind[_key(operation.body)]}},
        }
    if route.access is Access.SIGNAL:
        described["security"] = [{"signalToken": []}]
    elif route.access is not Access.OPEN:
        described["security"] = [{"token": []}, *([{}] if route.access is not Access.COMMAND else [])]
    return described


def _operation_name(route: GuardedRoute) -> str:
    """Return `get_arena` for `GET /api/v1/arena`, and `pause` for `POST /api/v1/commands/pause`."""
    name = route.path.rpartition("/")[2]
    default = name if route.method == "POST" else f"{route.method.lower()}_{name}"
    return OPERATION_NAMES.get(f"{route.method} {route.path}", default)


def _parameters(route: GuardedRoute, by_kind: Tree, components: Tree) -> list[Tree]:
    """Return the fields of the query as path and query parameters."""
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
    """Return the successful responses and every possible refusal."""
    answers: Tree = {}
    if operation.answer is None:
        answers["303"] = {"description": "Redirect to a page"}
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
    """Return the route of the description, which is generated once."""
    content = msgspec.json.encode(description(routes, version))

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type="application/json")

    return GuardedRoute("/openapi.json", endpoint, access=Access.READ)
