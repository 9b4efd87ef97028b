"""Templates follow the content security policy, and everything that a page loads exists."""

from __future__ import annotations

import json
import re

import pytest

from papertape.ui.rendering import ASSETS, STATIC, TEMPLATES
from tests.events.loop import in_loop
from tests.support import REPOSITORY
from tests.ui.site_pages import PAGES, Elements, visiting
from tools.assets import FILES, PINNED, UI

OWN = sorted([*TEMPLATES.rglob("*.html"), *STATIC.glob("*.js")])
INLINE = {
    "a style attribute": re.compile(r"\sstyle\s*="),
    "a style element": re.compile(r"<style", re.IGNORECASE),
    "a handler in an attribute": re.compile(r"<[^>]*\son[a-z]+\s*=\s*['\"]", re.IGNORECASE),
    "a script address": re.compile(r"javascript:", re.IGNORECASE),
    "an htmx attribute that is evaluated": re.compile(
        r"hx-on|hx-vars|hx-vals\s*=\s*['\"]js:|hx-headers\s*=\s*['\"]js:"
    ),
    "a script of its own": re.compile(r"<script(?![^>]*(\bsrc=|type=\"application/json\"))", re.IGNORECASE),
    "something from another server": re.compile(r"(src|href|action|hx-get)=\"(https?:)?//(?!www\.tradingview\.com/)"),
    "a value that is not escaped": re.compile(r"\|\s*safe\b|autoescape false"),
}


@pytest.mark.parametrize("what", INLINE)
def test_no_template_or_script_violates_the_content_policy(what: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {what}"
        for path in OWN
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if INLINE[what].search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a style attribute", '<p style="color:red">'),
        ("a style element", "<STYLE>"),
        ("a handler in an attribute", '<p class="x" onclick="f()">'),
        ("a script of its own", "<script>f()</script>"),
        ("something from another server", '<script src="//cdn.example/x.js">'),
        ("a value that is not escaped", "{{ name | safe }}"),
    ],
)
def test_the_policy_check_finds_violations(what: str, line: str) -> None:
    assert INLINE[what].search(line)


@in_loop
async def test_a_page_loads_only_our_files_and_fetched_assets() -> None:
    known = {f"/assets/{name}" for name in FILES} | {f"/static/{path.name}" for path in STATIC.iterdir()}
    async with visiting() as client:
        for address in PAGES:
            page = Elements((await client.get(address)).text)
            links = [attrs["href"] for tag, attrs in page.found if tag == "link"]
            loaded = {one.partition("?")[0] for one in (*page.of("script", "src"), *links)}
            assert loaded <= known, address


@in_loop
async def test_a_file_is_cacheable_if_its_address_has_its_digest() -> None:
    async with visiting() as client:
        page = Elements((await client.get("/")).text)
        for address in page.of("script", "src") + [attrs["href"] for tag, attrs in page.found if tag == "link"]:
            answer = await client.get(address)
            assert answer.status_code == 200, address
            assert "immutable" in answer.headers["cache-control"]
        assert "immutable" not in (await client.get("/static/layout.css")).headers["cache-control"]
        assert (await client.get("/static/../rendering.py")).status_code == 404


def test_versions_are_exact_and_pinned_with_the_hash_of_their_contents() -> None:
    package = json.loads((UI / "package.json").read_text())
    lock = json.loads((UI / "package-lock.json").read_text())
    for name, version in package["dependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        pinned = lock["packages"][f"node_modules/{name}"]
        assert pinned["version"] == version
        assert pinned["integrity"].startswith("sha512-")
    assert all("resolved" not in one for one in lock["packages"].values())
    assert all((UI / name).is_file() for name in PINNED)


@pytest.mark.skipif(not ASSETS.is_dir(), reason="npm was missing at setup: there are no assets")
def test_every_asset_has_its_licence() -> None:
    scripts = [name for name in FILES if name.endswith((".js", ".woff2"))]
    for name in scripts:
        assert (ASSETS / name).is_file()
        assert (ASSETS / f"{name.partition('.')[0]}.LICENSE").stat().st_size > 100
