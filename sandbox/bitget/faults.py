"""Faults of the exchange and of the way to it, switched on at run time. Each use is counted.

No fault touches the history: what the exchange publishes by REST (if it answers) stays the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any, Final, NoReturn

from papertape.sandbox.faults import ActiveFault, FaultInjector


class BitgetFault(StrEnum):
    """One way to fail. `value` and `symbol` are parameters where the text names them."""

    # At once, to the connections that are open now (`times` of them, or all).
    CLOSE = "close"
    """With a close frame; `value` is its code (1001)."""
    ABORT = "abort"
    """Without a close frame."""
    RESET = "reset"
    """With a TCP reset."""
    DAY_CUT = "day_cut"
    """The cut after 24 hours."""
    SILENT = "silent"
    """Open, but nothing is ever sent again: no data, no pong, no FIN."""
    STALLED = "stalled"
    """Open and answering pings, but without data."""
    GIANT = "giant"
    """A frame of `value` bytes (100 MB)."""
    SKEW = "skew"
    """The server's clock is off by `value` ms from now on. It never goes back: it stands still instead."""
    FUNDING_INTERVAL = "funding_interval"
    """`symbol` settles every `value` hours from now on."""

    # On the socket, while the switch is on.
    NO_PONG = "no_pong"
    SILENT_SYMBOL = "silent_symbol"
    REFUSED_SUBSCRIBE = "refused_subscribe"
    """30001 for a symbol that exists."""
    FALSE_ACK = "false_ack"
    """Acknowledged, but without data until it is subscribed again."""
    DUPLICATE = "duplicate"
    """Every candle frame comes twice."""
    OUT_OF_ORDER = "out_of_order"
    """An older version of a row follows it."""
    STALE_SNAPSHOT = "stale_snapshot"
    """A snapshot ends `value` (3) candles ago, with unfinished last rows."""
    TWO_ROWS = "two_rows"
    """At rollover the last and the first row come in one frame."""
    SKIPPED_BAR = "skipped_bar"
    """The next candle has no row at all; the one after it follows."""
    CORRECTED = "corrected"
    """The last row before the close is slightly wrong; the right one comes up to 1.5 s after it."""
    GARBAGE = "garbage"
    """A garbage frame beside the valid ones; `value` is a `Garbage`, otherwise a random one."""

    # On REST, while the switch is on.
    BUSY = "busy"
    """429; `value` (seconds) is its Retry-After, if given."""
    SERVER_ERROR = "server_error"
    HTML_OK = "html_ok"
    HTML_BAD_GATEWAY = "html_bad_gateway"
    REST_RESET = "rest_reset"
    HANGING = "hanging"
    CUT_BODY = "cut_body"
    EMPTY_DATA = "empty_data"
    UNKNOWN_SYMBOL = "unknown_symbol"
    """40034 for a symbol that exists."""
    ODD_CONTRACT = "odd_contract"
    """The fields of `value` (a dict) replace those of the contract of `symbol`; None removes one."""
    DELISTED = "delisted"
    """The exchange no longer lists `symbol`: requests for it get 40034."""

    # On everything, while the switch is on.
    REFUSED_CONNECTION = "refused_connection"
    """The port is closed."""
    MAINTENANCE = "maintenance"
    """Contracts say `maintain` (or `value`), everything else answers 503, sockets are closed and refused.

    With a `symbol`, only its contract says so, and nothing else happens.
    """


AT_ONCE: Final = frozenset(
    {
        BitgetFault.CLOSE,
        BitgetFault.ABORT,
        BitgetFault.RESET,
        BitgetFault.DAY_CUT,
        BitgetFault.SILENT,
        BitgetFault.STALLED,
        BitgetFault.GIANT,
        BitgetFault.SKEW,
        BitgetFault.FUNDING_INTERVAL,
    }
)

OF_CONTRACTS: Final = frozenset({BitgetFault.ODD_CONTRACT, BitgetFault.DELISTED})
"""Faults of one contract that never end by themselves, so no script injects them."""


class BitgetFaultInjector(FaultInjector[BitgetFault]):
    """The active faults of the exchange. A target is a symbol."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(_no_server)
        self.rng = Random(seed)  # noqa: S311 - faults, not secrets.
        self._act: Callable[[ActiveFault[BitgetFault]], None] = lambda _fault: _no_server()

    def bind(self, now_ms: Callable[[], int], act: Callable[[ActiveFault[BitgetFault]], None]) -> None:
        """Set the server's clock, and the function that applies immediate faults."""
        self._now_ms, self._act = now_ms, act

    def on(
        self,
        fault: BitgetFault,
        *,
        symbol: str | None = None,
        for_s: float | None = None,
        times: int | None = None,
        value: Any = None,
    ) -> None:
        """Switch a fault on: for some seconds, for some uses, or until it is switched off."""
        added = ActiveFault(fault, symbol, self._until_ms(for_s), times, value)
        if fault not in AT_ONCE:
            self._add(added)
        if fault in AT_ONCE or (symbol is None and fault in (BitgetFault.MAINTENANCE, BitgetFault.REFUSED_CONNECTION)):
            self._act(added)


def _no_server() -> NoReturn:
    raise AssertionError("no server is bound yet: immediate and timed faults need its clock")
