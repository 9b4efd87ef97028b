"""What can go wrong on the way from the exchange, as switches that tests set at run time. Each use is counted.

No fault touches the history: what the exchange publishes by REST (when it answers) stays the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any, Final, NoReturn

from msgspec import Struct

SWITCHES_MAX: Final = 1_000
FOR_EVER_MS: Final = 1 << 62


class BitgetFault(StrEnum):
    """One way to fail. `value` and `symbol` say more where the text names them."""

    # At once, to the connections that are open now (`times` of them, or all).
    CLOSE = "close"
    """With a close frame; `value` is its code (1001)."""
    ABORT = "abort"
    """Without a close frame."""
    RESET = "reset"
    """By a TCP reset."""
    DAY_CUT = "day_cut"
    """As after 24 hours."""
    SILENT = "silent"
    """Open, but nothing more is ever sent: no data, no pong, no FIN."""
    STALLED = "stalled"
    """Open and answering pings, but without data."""
    GIANT = "giant"
    """A frame of `value` bytes (100 MB)."""
    SKEW = "skew"
    """The server's clock is `value` ms off from now on. It never shows less than it has shown: it waits instead."""
    FUNDING_INTERVAL = "funding_interval"
    """`symbol` settles every `value` hours from now on."""

    # On the socket, while the switch is on.
    NO_PONG = "no_pong"
    SILENT_SYMBOL = "silent_symbol"
    REFUSED_SUBSCRIBE = "refused_subscribe"
    """30001 for a symbol that exists."""
    FALSE_ACK = "false_ack"
    """Acknowledged, and never any data until it is asked for again."""
    DUPLICATE = "duplicate"
    """Every frame of candles twice."""
    OUT_OF_ORDER = "out_of_order"
    """After a row an older version of it."""
    STALE_SNAPSHOT = "stale_snapshot"
    """A snapshot ends `value` (3) candles ago, its last rows as they were while they formed."""
    TWO_ROWS = "two_rows"
    """At rollover the last and the first row come in one frame."""
    SKIPPED_BAR = "skipped_bar"
    """No row of the next candle at all: the one after it follows."""
    CORRECTED = "corrected"
    """The last row before the close is a little wrong; the right one comes up to 1.5 s after it."""
    GARBAGE = "garbage"
    """A frame of rubbish beside the good ones; `value` is a `Garbage`, otherwise one is drawn."""

    # On REST, while the switch is on.
    BUSY = "busy"
    """429; with `value` (seconds) as Retry-After where given."""
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
    """The contract of `symbol` has the fields of `value` (a dict) in place of its own; None takes one away."""
    DELISTED = "delisted"
    """The exchange has ended `symbol`: it is in no list, and whoever asks for it gets 40034."""

    # On everything, while the switch is on.
    REFUSED_CONNECTION = "refused_connection"
    """Nobody listens on the port."""
    MAINTENANCE = "maintenance"
    """Contracts say `maintain` (or `value`), everything else answers 503, sockets are closed and refused.

    With a `symbol` only its contract says so, and nothing else happens.
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
"""What the exchange decides of one contract: nothing that passes by itself, so no script throws it."""


class ActiveBitgetFault(Struct):
    """A fault that is on: for which symbol (None: all), until when, how often still (None: always)."""

    fault: BitgetFault
    symbol: str | None
    until_ms: int
    times: int | None
    value: Any


class BitgetFaultInjector:
    """All switches of a server. `counts` says how often each fault has been applied."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = Random(seed)  # noqa: S311 - faults, not secrets.
        self.counts: Counter[BitgetFault] = Counter()
        self.active: dict[BitgetFault, list[ActiveBitgetFault]] = {}
        self._now_ms: Callable[[], int] = _no_server
        self._act: Callable[[ActiveBitgetFault], None] = lambda _switch: _no_server()

    def bind(self, now_ms: Callable[[], int], act: Callable[[ActiveBitgetFault], None]) -> None:
        """The server's clock, and who does what happens at once."""
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
        """Switch a fault on: for some seconds, for some times, or until it is switched off."""
        until_ms = FOR_EVER_MS if for_s is None else self._now_ms() + int(for_s * 1_000.0)
        switch = ActiveBitgetFault(fault, symbol, until_ms, times, value)
        if fault not in AT_ONCE:
            switches = self.active.setdefault(fault, [])
            assert len(switches) < SWITCHES_MAX, f"{fault} is on {SWITCHES_MAX} times"
            switches.append(switch)
        if fault in AT_ONCE or (symbol is None and fault in (BitgetFault.MAINTENANCE, BitgetFault.REFUSED_CONNECTION)):
            self._act(switch)

    def off(self, fault: BitgetFault, symbol: str | None = None) -> None:
        """Switch a fault off; with a symbol only for that one."""
        kept = [one for one in self.active.get(fault, ()) if symbol is not None and one.symbol != symbol]
        self.active.pop(fault, None)
        if kept:
            self.active[fault] = kept

    def clear(self) -> None:
        """Switch everything off. Connections that were made silent stay so: the client has to notice."""
        self.active.clear()

    def sees(self, fault: BitgetFault, symbol: str | None = None) -> ActiveBitgetFault | None:
        """The switch that concerns a symbol now, if there is one. Nothing is counted."""
        switches = self.active.get(fault)
        if not switches:
            return None
        now_ms = self._now_ms()
        kept = [one for one in switches if one.until_ms > now_ms and one.times != 0]
        if len(kept) < len(switches):
            self.active[fault] = kept
        if not kept:
            del self.active[fault]
        return next((one for one in kept if one.symbol is None or one.symbol == symbol), None)

    def hits(self, fault: BitgetFault, symbol: str | None = None) -> ActiveBitgetFault | None:
        """The same, counted and used up once."""
        if fault not in self.active:
            return None
        switch = self.sees(fault, symbol)
        if switch is not None:
            self.count(fault)
            if switch.times is not None:
                switch.times -= 1
        return switch

    def count(self, fault: BitgetFault, times: int = 1) -> None:
        """A fault was applied."""
        self.counts[fault] += times


def _no_server() -> NoReturn:
    raise AssertionError("no server has these faults yet: what happens at once or lasts for a time needs its clock")
