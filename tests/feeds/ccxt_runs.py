"""Watched runs through ccxt: its own class for Bitget, at the stand-in's addresses and in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import asdict

from papertape.engine.feeds.ccxt.feed import CcxtFeed
from papertape.engine.feeds.ccxt.settings import CcxtSettings
from papertape.engine.feeds.live.exchange import LiveSettings

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.ports.clock import Clock
    from tests.sandbox.virtual_time import VirtualClock

pro = pytest.importorskip("ccxt.pro")
UNLIMITED = {"rateLimit": 0.001}
"""ccxt measures its own limit in real time, which does not pass in a virtual loop; ours applies all the same."""


def timed_class(kind: type[Any], clock: VirtualClock, changes: dict[str, Any] | None = None) -> type[Any]:
    """An exchange of ccxt whose time is the clock's. `changes` are merged into its description."""

    def describe(self: Any) -> Any:
        return self.deep_extend(kind.describe(self), UNLIMITED, changes or {})

    def hear_pong(_: Any, client: Any, message: Any) -> Any:
        client.lastPong = kind.milliseconds()  # ccxt's keeper of connections knows real time only.
        return message

    changed = {"describe": describe, "milliseconds": staticmethod(clock.now_ms), "handle_pong": hear_pong}
    return type(kind.__name__, (kind,), changed)


def through_ccxt(settings: BitgetSettings, clock: VirtualClock, changes: dict[str, Any] | None = None) -> CcxtFeed:
    """The feed of ccxt's class for Bitget, with the settings of Bitget's own feed."""
    common = {name: value for name, value in asdict(settings).items() if name in LiveSettings.__struct_fields__}
    ws_url = settings.ws_url.removesuffix("/v2/ws/public")
    chosen = CcxtSettings(**common, exchange="bitget", rest_url=settings.rest_url, ws_url=ws_url)
    return CcxtFeed(chosen, clock, timed_class(pro.bitget, clock, changes))


def feed_of_exchange(name: str, clock: Clock) -> CcxtFeed:
    """The feed of an exchange as ccxt describes it. Nothing is connected."""
    return CcxtFeed(CcxtSettings(exchange=name), clock)
