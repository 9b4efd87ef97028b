"""The doctor's findings about an exchange's contracts, against the stand-in in real time."""

from __future__ import annotations

import asyncio

from papertape.cli.doctor.doctor_exchange import ExchangeCheckResult, check_exchange, findings
from papertape.engine.feeds.bitget.feed import BitgetFeed
from papertape.engine.feeds.bitget.settings import BitgetSettings
from papertape.engine.ports.clock import SystemClock
from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.market import SimTwinMarket
from papertape.sandbox.bitget.twin import BitgetTwin

BTC, ETH, NOPE = "BTCUSDT", "ETHUSDT", "NOPEUSDT"


async def looked_at() -> tuple[BitgetSettings, ExchangeCheckResult]:
    """Check an exchange with one valid contract and one that cannot be read."""
    async with BitgetTwin(SimTwinMarket((BTC, ETH)), SystemClock()) as twin:
        twin.faults.on(BitgetFault.ODD_CONTRACT, symbol=ETH, value={"minTradeUSDT": ""})
        settings = BitgetSettings(symbols=(BTC, ETH, NOPE), rest_url=twin.rest_url, ws_url=twin.ws_url)
        return settings, await asyncio.to_thread(check_exchange, BitgetFeed(settings, SystemClock()))


def test_the_doctor_tells_a_contract_that_cannot_be_read_from_one_that_is_not_there() -> None:
    found = [one for one in findings(*asyncio.run(looked_at())) if one.name == "symbols"]
    assert [(one.level, one.text) for one in found] == [
        ("fail", f"not traded there: {NOPE}"),
        ("warn", f"contract cannot be read: {ETH} (minTradeUSDT '')"),
    ]
