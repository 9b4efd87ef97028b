"""Large answers are compressed for clients that can read it; streams never are."""

from __future__ import annotations

import gzip

from tests.events.loop import in_loop
from tests.web.site import client_of, example_day, site_of


@in_loop
async def test_a_large_answer_is_compressed_if_the_client_says_so() -> None:
    async with client_of(site_of(example_day())) as client:
        plain = await client.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        async with client.stream("GET", "/openapi.json", headers={"accept-encoding": "gzip"}) as packed:
            content = b"".join([part async for part in packed.aiter_raw()])
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        assert gzip.decompress(content) == plain.content
        assert len(content) < len(plain.content) / 5


@in_loop
async def test_a_small_answer_and_an_unchanged_view_stay_as_they_are() -> None:
    async with client_of(site_of(example_day())) as client:
        assert "content-encoding" not in (await client.get("/live")).headers
        first = await client.get("/api/v1/events", params={"limit": 1_000})
        assert first.headers["content-encoding"] == "gzip"
        etag = {"if-none-match": first.headers["etag"]}
        unchanged = await client.get("/api/v1/events", params={"limit": 1_000}, headers=etag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
