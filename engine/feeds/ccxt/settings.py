"""The settings of a live market through ccxt."""

from __future__ import annotations

from papertape.engine.feeds.live.exchange import LiveSettings


class CcxtSettings(LiveSettings, frozen=True, kw_only=True):
    """One exchange of ccxt. Empty addresses leave its own in place."""

    exchange: str
    rest_url: str = ""
    ws_url: str = ""
