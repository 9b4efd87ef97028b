"""One WebSocket client: its requests, its subscriptions, and its limits."""

from __future__ import annotations

import json
from typing import Any, Final, Protocol

from papertape.sandbox.bitget.faults import BitgetFault
from papertape.sandbox.bitget.history import STREAMED
from papertape.sandbox.bitget.limits import (
    AGE_MS_MAX,
    ARGS_BYTES_MAX,
    CHANNELS_MAX,
    MESSAGES_A_SECOND_MAX,
    PING_MS_MAX,
    SUBSCRIBES_AN_HOUR_MAX,
    RateWindow,
)
from papertape.sandbox.bitget.stream import CANDLE, TICKER, Key
from papertape.sandbox.bitget.text import INSTRUMENTS, arg_text, frame_of
from papertape.sandbox.bitget.venue import Venue

ENVELOPE_BYTES: Final = len('{"op":"subscribe","args":[]}')
CHANNELS: Final = frozenset({TICKER, *(CANDLE + name for name in STREAMED)})
NO_ENTRY: Final = 30_001
ILLEGAL_REQUEST: Final = 30_002
INVALID_OP: Final = 30_003
TOO_MANY_REQUESTS: Final = 30_006
OVER_LIMIT: Final = 30_007
PARAM_ERROR: Final = 30_016
POLICY_VIOLATION: Final = 1_008
NEVER_MS: Final = 1 << 62


class MessageTransport(Protocol):
    """What sends a session's messages."""

    def send(self, message: str | bytes) -> None:
        """Send one message: text, or binary for bytes."""
        ...

    def send_frame(self, frame: bytes) -> None:
        """Send a frame as bytes."""
        ...

    def close(self, code: int) -> None:
        """Close with a close frame."""
        ...

    def abort(self) -> None:
        """Close without a close frame."""
        ...


class SubscriptionRegistry(Protocol):
    """The subscriptions of all sessions."""

    def follow(self, session: Session, key: Key) -> str | None:
        """Subscribe a session to a channel; return the channel's first frame."""
        ...

    def leave(self, session: Session, key: Key) -> None:
        """Unsubscribe a session from a channel."""
        ...


class Session:
    """A connected client."""

    def __init__(self, venue: Venue, registry: SubscriptionRegistry, transport: MessageTransport) -> None:
        now_ms = venue.now_ms()
        self.transport = transport
        self.keys: dict[Key, None] = {}
        self.unserved: set[Key] = set()
        """Channels that were acknowledged, but get no data."""
        self.stalled = False
        """Pongs are sent, data is not."""
        self.silent = False
        """Nothing is sent."""
        self.opened_ms = now_ms
        self.pinged_ms = now_ms
        self._venue = venue
        self._registry = registry
        self._messages = RateWindow(MESSAGES_A_SECOND_MAX, 1_000)
        self._subscribes = RateWindow(SUBSCRIBES_AN_HOUR_MAX, 3_600_000)

    @property
    def deadline_ms(self) -> int:
        """When the session is cut: without pings, or for its age. A silent session is never cut."""
        if self.silent:
            return NEVER_MS
        return min(self.pinged_ms + PING_MS_MAX, self.opened_ms + AGE_MS_MAX)

    def push(self, key: Key, frame: bytes) -> None:
        """Send a frame of a subscribed channel."""
        if not self.stalled and key not in self.unserved:
            self.transport.send_frame(frame)

    def take(self, message: str | bytes) -> None:
        """Handle a message of the client."""
        now_ms, statistics = self._venue.now_ms(), self._venue.statistics
        statistics.messages += 1
        if not self._messages.allows(now_ms):
            statistics.breach(now_ms, "messages_a_second", f"more than {MESSAGES_A_SECOND_MAX} messages in a second")
            if self._venue.behaviour.limits:
                self._error(OVER_LIMIT, "request over limit")
                self.transport.close(POLICY_VIOLATION)
                return
        if message == "ping":
            self.pinged_ms = now_ms
            if not self._venue.faults.hits(BitgetFault.NO_PONG):
                self.transport.send("pong")
            return
        self._request(message, now_ms)

    def _request(self, message: str | bytes, now_ms: int) -> None:
        request = _decoded(message)
        op, args = request.get("op"), request.get("args")
        if op not in ("subscribe", "unsubscribe"):
            known = "op" in request and op != "ping"
            self._error(INVALID_OP if known else ILLEGAL_REQUEST, "Invalid op" if known else "Illegal request")
        elif not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            self._error(ILLEGAL_REQUEST, "Illegal request", op=op)
        elif self._is_allowed(op, len(message), now_ms):
            for arg in args:
                self._apply(op, arg)

    def _is_allowed(self, op: str, length: int, now_ms: int) -> bool:
        statistics, limits = self._venue.statistics, self._venue.behaviour.limits
        if length - ENVELOPE_BYTES > ARGS_BYTES_MAX:
            statistics.breach(now_ms, "args_bytes", f"{length} bytes of args")
            if limits:
                self._error(ILLEGAL_REQUEST, "Illegal request", op=op)
                return False
        if op == "subscribe" and not self._subscribes.allows(now_ms):
            statistics.breach(now_ms, "subscribes_an_hour", f"more than {SUBSCRIBES_AN_HOUR_MAX} in an hour")
            if limits:
                self._error(TOO_MANY_REQUESTS, "Too many requests", op=op)
                return False
        return True

    def _apply(self, op: str, arg: dict[str, Any]) -> None:
        instruments, channel, symbol = (str(arg.get(name, "")) for name in ("instType", "channel", "instId"))
        text, key = arg_text(channel, symbol, instruments), (channel, symbol)
        if channel not in CHANNELS:
            self._error(PARAM_ERROR, "Param error", text, op)
        elif self._is_refused(op, instruments, symbol):
            about = f"instType:{instruments},channel:{channel},instId:{symbol},precision:null"
            self._error(NO_ENTRY, f"{about} doesn't exist", text, op)
        elif op == "unsubscribe":
            self._venue.statistics.unsubscribes += 1
            self._registry.leave(self, key)
            self.transport.send(f'{{"event":"unsubscribe","arg":{text}}}')
        elif len(self.keys) >= CHANNELS_MAX and key not in self.keys:
            self._venue.statistics.breach(self._venue.now_ms(), "channels", f"more than {CHANNELS_MAX}")
            self._error(OVER_LIMIT, "request over limit", text, op)
            self.transport.close(POLICY_VIOLATION)
        else:
            self._subscribe(key, text)

    def _is_refused(self, op: str, instruments: str, symbol: str) -> bool:
        if instruments != INSTRUMENTS or not self._venue.is_known(symbol):
            return True
        return op == "subscribe" and self._venue.faults.hits(BitgetFault.REFUSED_SUBSCRIBE, symbol) is not None

    def _subscribe(self, key: Key, text: str) -> None:
        self._venue.statistics.subscribes += 1
        self.unserved.discard(key)
        if self._venue.faults.hits(BitgetFault.FALSE_ACK, key[1]):
            self.unserved.add(key)
        self.transport.send(f'{{"event":"subscribe","arg":{text}}}')
        first = self._registry.follow(self, key)
        if first is not None and not self._venue.faults.sees(BitgetFault.SILENT_SYMBOL, key[1]):
            self.push(key, frame_of(first))

    def _error(self, code: int, text: str, arg: str | None = None, op: str | None = None) -> None:
        about = "" if arg is None else f'"arg":{arg},'
        after = "" if op is None else f',"op":"{op}"'
        self.transport.send(f'{{"event":"error",{about}"code":{code},"msg":{json.dumps(text)}{after}}}')


def _decoded(message: str | bytes) -> dict[str, Any]:
    try:
        decoded = json.loads(message)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
