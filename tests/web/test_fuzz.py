"""Any request gets an answer that the description allows, and never a bug."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.generation.meta import CoveragePhaseData
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from papertape.api.app import api_routes
from papertape.api.openapi import description
from papertape.api.streams import Streams
from tests.patience import PATIENCE_S
from tests.support import PROVING, examples
from tests.ui.site_pages import example_studies
from tests.web.site import BEARER, gate_of, served, site_of
from tests.web.test_commands import trading

pytestmark = pytest.mark.system

ENDLESS = "/api/v1/stream"
LOGIN = "/log(in|out)"
EXAMPLES_MAX = 15
ALIKE = ("unspecified_http_method", "object_required_and_optional", "object_unexpected_properties")
"""What the coverage phase tries in many ways, of which a short run tries one."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def described() -> dict[str, object]:
    """Return the public description."""
    site = site_of([])
    return description(api_routes(site, gate_of(), Streams(site.timeline)), "test")


SCHEMA = schemathesis.openapi.from_dict(described()).exclude(path=ENDLESS).exclude(path_regex=LOGIN)


@contextmanager
def in_a_thread() -> Iterator[str]:
    """Run a server with an engine in its own event loop; yield its address."""
    ready, ended = threading.Event(), threading.Event()
    at: list[str] = []

    async def main() -> None:
        site, _ = trading()
        site.studies = example_studies()
        async with served(site) as address:
            at.append(address)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield f"http://{at[0]}"
    finally:
        ended.set()
        thread.join(30.0)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """One server for all examples, which share its state."""
    with in_a_thread() as address:
        yield address


TRIED: set[tuple[object, ...]] = set()


def is_left_out(case: schemathesis.Case[Any]) -> bool:
    """Return whether a short run leaves a case out, because it has tried another of that kind."""
    if PROVING or case.meta is None or not isinstance(data := case.meta.phase.data, CoveragePhaseData):
        return False
    text = "" if data.scenario in ALIKE else data.description
    kind = (case.operation.label, data.scenario, data.parameter, text)
    is_tried = kind in TRIED
    TRIED.add(kind)
    return is_tried


@SCHEMA.parametrize()
@examples(EXAMPLES_MAX)
def test_every_answer_matches_the_description(case: schemathesis.Case[Any], server: str) -> None:
    if is_left_out(case):
        return
    response = case.call(base_url=server, headers=BEARER)
    case.validate_response(response, checks=CHECKS)
