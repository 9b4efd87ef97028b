"""The stand-in beside recordings of the real exchange: the same keys, the same types, the same order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.feeds.reading import shared_data
from tests.sandbox.served_twin import BTC, TwinClient, serve_twin

if TYPE_CHECKING:
    from papertape.sandbox.bitget.twin import BitgetTwin

ABSENT_LIVE = {"deliveryPrice"}
"""Recorded in some frames only."""
ADDED_LIVE = {"markPrice"}
"""Of the REST ticker the example is older than the exchange of today."""


def frames() -> list[dict[str, Any]]:
    """Recorded JSON frames."""
    lines = (shared_data() / "bitget" / "ws_v2_public_frames.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line) for line in lines]
    return [json.loads(one["text"]) for one in texts if one["text"].startswith("{") and "recorded" in one["provenance"]]


def bodies(page: str) -> list[dict[str, Any]]:
    """Recorded bodies of a page, recordings before examples."""
    lines = (shared_data() / "bitget" / "rest_v2_responses.jsonl").read_text(encoding="utf-8").splitlines()
    found = [one for one in map(json.loads, lines) if f"/market/{page}" in f"{one['request']}?".replace("?", "?", 1)]
    found = [one for one in found if one["request"].split("?")[0].endswith(f"/{page}")]
    return [json.loads(one["body"]) for one in sorted(found, key=lambda one: "recorded" not in one["provenance"])]


def shape(value: Any) -> Any:
    """Keys and types of a value; of a list those of its first item."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ABSENT_LIVE}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else [type(one).__name__ for one in value]
    return type(value).__name__


def pushed(kind: str, channel: str) -> dict[str, Any]:
    """The first frame of a kind that the stand-in sends on a channel."""
    found: list[dict[str, Any]] = []

    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        await client.follow((channel, BTC))
        found.extend(frame for frame in await client.frames(2.0) if kind in (frame.get("action"), frame.get("event")))

    serve_twin(use)
    return found[0]


@pytest.mark.parametrize(
    ("kind", "asked", "channel"),
    [("subscribe", "ticker", "ticker"), ("snapshot", "ticker", "ticker"), ("error", "candle1h", "candle1h")],
)
def test_frames_have_the_recorded_keys_and_types(kind: str, asked: str, channel: str) -> None:
    recorded = [
        one
        for one in frames()
        if kind in (one.get("action"), one.get("event"))
        and one.get("arg", {}).get("channel") == channel
        and (kind == "error" or one["arg"]["instType"] == "USDT-FUTURES")
    ]
    assert recorded
    mine = pushed(kind, asked)
    for one in recorded:
        assert shape(mine) == shape(one)
    assert mine["arg"].keys() == recorded[0]["arg"].keys()


def test_candle_frames_have_the_recorded_shape() -> None:
    lines = (shared_data() / "bitget" / "ws_v2_public_frames.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if "captured live" in line and "candle1m" in line]
    updates = [one for one in map(json.loads, texts) if one.get("action") == "update"]
    assert updates
    mine = pushed("update", "candle1m")
    assert list(mine) == list(updates[0]) == ["action", "arg", "data", "ts"]
    assert [shape(row) for row in mine["data"]] == [shape(row) for row in updates[0]["data"]] == [["str"] * 8]


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("contracts", {}),
        ("query-position-lever", {}),
        ("history-candles", {"granularity": "1m"}),
        ("history-mark-candles", {"granularity": "1m"}),
        ("candles", {"granularity": "1m"}),
        ("history-fund-rate", {}),
        ("funding-time", {}),
        ("open-interest", {}),
        ("symbol-price", {}),
        ("ticker", {}),
    ],
)
def test_pages_have_the_recorded_keys_and_types(page: str, query: dict[str, str]) -> None:
    recorded = bodies(page)[0]
    found: list[dict[str, Any]] = []

    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        found.append((await client.page(page, symbol=BTC, **query)).json())

    serve_twin(use)
    mine = found[0]
    assert list(mine) == list(recorded) == ["code", "msg", "requestTime", "data"]
    data, real = mine["data"], recorded["data"]
    if page == "ticker":
        data[0] = {key: value for key, value in data[0].items() if key not in ADDED_LIVE}
    if isinstance(real, list) and isinstance(real[0], list):
        data, real = data[0], real[0]
    assert shape(data) == shape(real)
    assert (mine["code"], mine["msg"]) == (recorded["code"], recorded["msg"])


@pytest.mark.parametrize(("page", "key"), [("history-candles", 0), ("history-fund-rate", "fundingTime")])
def test_rows_are_in_the_recorded_order(page: str, key: Any) -> None:
    found: list[Any] = []

    async def use(_twin: BitgetTwin, client: TwinClient) -> None:
        found.append(await client.data(page, symbol=BTC, granularity="1m"))

    serve_twin(use)
    rising = [
        [int(row[key]) for row in rows] == sorted(int(row[key]) for row in rows)
        for rows in (found[0], bodies(page)[0]["data"])
    ]
    assert rising[0] == rising[1]
