"""JSON, page and chat show the same numbers as of the same event."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from papertape.projections.alerts.markup import plain_text
from papertape.projections.telegram import replies
from papertape.projections.text.formats import gain, gain_percent, money, price, quantity
from tests.events.loop import in_loop
from tests.ui.site_pages import DAY, TAG, visiting
from tests.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from papertape.events.facts import ContractListed

HEAD = len(DAY)
NUMBER = re.compile(r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?")


async def shown(client: httpx.AsyncClient, path: str, seq: int) -> Any:
    """Return the data of the API as of an event."""
    answer = (await client.get(f"/api/v1/{path}", params={"as_of": seq})).json()
    assert answer["as_of"]["seq"] == seq
    return answer["data"]


async def on_page(client: httpx.AsyncClient, path: str, seq: int) -> set[str]:
    """Return every number in the text of a page as of an event."""
    answer = await client.get(path, params={"as_of": seq})
    assert answer.status_code == 200
    text = unescape(TAG.sub(" ", answer.text)).replace("\u2212", "-").replace("\u00a0", " ")
    return set(NUMBER.findall(text))


def in_chat(html: str) -> set[str]:
    """Return every number of a message."""
    return set(NUMBER.findall(plain_text(html)))


def of_positions(positions: list[dict[str, Any]], contracts: Mapping[str, ContractListed]) -> set[str]:
    """Return the formatted numbers of open positions."""
    found: set[str] = set()
    for one in positions:
        symbol = one["symbol"]
        found |= {price(one[name], symbol, contracts) for name in ("entry_price_usdt", "mark_price_usdt")}
        found |= {quantity(one["quantity_base"], symbol, contracts), gain(one["unrealised_usdt"])}
    return found


def numbers(text: str) -> set[str]:
    """Return the numbers of a formatted amount, without its unit."""
    return set(NUMBER.findall(text))


@pytest.mark.parametrize("seq", [8, 12, 14, 20, 25, HEAD])
@in_loop
async def test_json_page_and_chat_show_the_same_numbers(seq: int) -> None:
    site = site_of(list(DAY))
    views = await site.timeline.as_of(seq)
    contracts = views.contracts.by_symbol
    async with visiting(site) as client:
        portfolio = (await shown(client, "state", seq))["portfolio"]
        totals = {money(portfolio["equity_usdt"]), gain(portfolio["day_result_usdt"])}
        overview = await on_page(client, "/", seq)
        assert totals <= overview
        assert totals <= in_chat(replies.status(views))

        positions = of_positions(await shown(client, "positions", seq), contracts)
        assert positions <= await on_page(client, "/trades", seq)
        assert positions <= in_chat(replies.positions(views))

        arena = await shown(client, "arena", seq)
        returns = {one for row in arena for one in numbers(gain_percent(row["net_return_percent"]))}
        assert returns <= await on_page(client, "/arena", seq)
        assert returns <= in_chat(replies.arena(views))

        trades = (await shown(client, "trades", seq))["items"]
        results = {gain(one["net_usdt"]) for one in trades}
        assert results <= await on_page(client, "/trades", seq)
