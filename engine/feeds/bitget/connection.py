"""One connection to Bitget's public socket: it subscribes, keeps alive, and passes its frames to the stream state.

An acknowledgement proves no data; the first frame of each channel does. A silent channel is subscribed again; a
connection that brings no data at all, or does not answer its pings, is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from papertape.engine.feeds.bitget.frames import (
    CANDLES,
    CHANNELS,
    PING,
    TICKER,
    Ack,
    ErrorFrame,
    Pong,
    read_frame,
    request,
    subscription,
)
from papertape.engine.feeds.live.stream_state import CandleFrame, RefusedFrame, TickerFrame
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeUnreachable

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.feeds.live.stream_state import StreamState
    from papertape.engine.ports.clock import Clock

ARGS_A_REQUEST: Final = 15
"""They take about a quarter of the 4,096 bytes that a request may have."""
REQUEST_EVERY_S: Final = 0.25
PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 10.0
FIRST_DATA_WITHIN_S: Final = 10.0
CHECK_EVERY_S: Final = 5.0
ARGS_AN_HOUR_MAX: Final = 200
"""The exchange allows 240 subscriptions an hour on one connection."""
OPEN_WITHIN_WALL_S_MIN: Final = 1.0
CLOSE_WITHIN_WALL_S: Final = 1.0
QUEUE_FRAMES_MAX: Final = 16
HOUR_S: Final = 3_600.0
RENEWALS_KEPT_MAX: Final = 1_000


class Channel(Struct):
    """One channel of one symbol on this connection. Times are seconds of the clock; -1 means never."""

    name: str
    symbol: str
    subscribed_s: float = -1.0
    heard_s: float = -1.0
    subscriptions: int = 0

    def silent_s(self, now_s: float) -> float:
        """Return how long the channel has been silent since its last frame or subscription."""
        return now_s - max(self.subscribed_s, self.heard_s)


class StreamConnection:
    """One connection and the channels of its symbols.

    `served` says whether any data came; `complete` is set when every channel has brought some. `clock` measures
    intervals, `now_ms` is the exchange's time.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        settings: BitgetSettings,
        clock: Clock,
        now_ms: Callable[[], int],
        stream_state: StreamState,
    ) -> None:
        self.symbols = tuple(symbols)
        self._settings = settings
        self._clock = clock
        self._now_ms = now_ms
        self._stream_state = stream_state
        self._candle_channel = CHANNELS[settings.timeframe_ms]
        names = (self._candle_channel, TICKER)
        self.channels = {(name, symbol): Channel(name, symbol) for name in names for symbol in symbols}
        self.complete = asyncio.Event()
        self.heard_s = self._pinged_s = self._ponged_s = self._now_s()
        self.served = False
        self._renewals_s: deque[float] = deque(maxlen=RENEWALS_KEPT_MAX)
        self._stop_reason: str | None = None

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1_000.0

    def give_up(self, reason: str) -> None:
        """End this connection at the next check."""
        self._stop_reason = reason

    def request_resubscribe(self, symbol: str) -> None:
        """Subscribe a symbol's channels again at the next check."""
        for channel in self.channels.values():
            if channel.symbol == symbol:
                channel.subscribed_s = channel.heard_s = -1.0

    def silent_channels(self) -> list[str]:
        """Return the channels that have not delivered any data yet."""
        return [f"{one.symbol} {one.name}" for one in self.channels.values() if one.heard_s < 0.0]

    async def run(self) -> str:
        """Connect, serve until the connection ends, and return why. Raise ExchangeUnreachable if it never opens."""
        settings = self._settings
        try:
            socket = await connect(
                settings.ws_url,
                compression=None,
                open_timeout=max(OPEN_WITHIN_WALL_S_MIN, settings.request_timeout_s / settings.speed),
                close_timeout=CLOSE_WITHIN_WALL_S,
                ping_interval=None,
                max_size=settings.frame_bytes_max,
                max_queue=QUEUE_FRAMES_MAX,
            )
        except (OSError, WebSocketException, EOFError) as error:
            raise ExchangeUnreachable(f"{settings.ws_url} cannot be reached: {error_text(error)}") from error
        try:
            return await self._serve(socket)
        finally:
            # An unresponsive socket would delay a close handshake; the exchange does not need one.
            socket.transport.abort()
            await socket.wait_closed()

    async def _serve(self, socket: ClientConnection) -> str:
        """Read frames and keep the connection alive until one of the two ends; return why."""
        self.heard_s = self._pinged_s = self._ponged_s = self._now_s()
        tasks = [asyncio.ensure_future(self._read(socket)), asyncio.ensure_future(self._maintain(socket))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------ reading

    async def _read(self, socket: ClientConnection) -> str:
        """Take every frame until the connection ends; return why."""
        try:
            while True:
                self.take(await socket.recv())
        except ConnectionClosed as closed:
            return error_text(closed)

    def take(self, text: str | bytes) -> None:
        """Take one frame, whatever it is. Never raises."""
        message = read_frame(text, self._settings.timeframe_ms)
        match message:
            case CandleFrame():
                if self._record_heard(self._candle_channel, message.symbol):
                    self._stream_state.take_candles(message, self._now_ms())
            case TickerFrame():
                if self._record_heard(TICKER, message.symbol):
                    self._stream_state.take_ticker(message, self._now_ms())
            case RefusedFrame():
                shown = text if isinstance(text, str) else text[:200].decode("utf-8", "replace")
                self._stream_state.refuse_frame(message, self._settings.ws_url, shown)
            case ErrorFrame():
                # A refusal concerns its channel only; the others of the connection continue.
                channel = self.channels.get((message.channel, message.symbol))
                if channel is not None:
                    channel.heard_s, channel.subscribed_s = -1.0, self._now_s()
            case Pong():
                self._ponged_s = self._now_s()
            case Ack():
                pass
            case _:
                assert_never(message)

    def _record_heard(self, name: str, symbol: str) -> bool:
        """Record that a channel brought data. Return False for a channel that is not subscribed."""
        channel = self.channels.get((name, symbol))
        if channel is None:
            self._stream_state.refuse_frame(RefusedFrame(RefusalReason.WRONG_SYMBOL), self._settings.ws_url, symbol)
            return False
        first = channel.heard_s < 0.0
        channel.heard_s = self.heard_s = self._now_s()
        self.served = True
        if first and all(channel.heard_s >= 0.0 for channel in self.channels.values()):
            self.complete.set()
        return True

    # ------------------------------------------------------------ keeping alive

    async def _maintain(self, socket: ClientConnection) -> str:
        """Subscribe, ping, and renew silent channels every few seconds; return why the connection is over."""
        try:
            await self._subscribe(socket, list(self.channels.values()), again=False)
            while (reason := self._fault()) is None:
                if self._now_s() - self._pinged_s >= PING_EVERY_S:
                    self._pinged_s = self._now_s()
                    await socket.send(PING)
                await self._subscribe(socket, self._to_renew(), again=True)
                await self._clock.sleep(CHECK_EVERY_S)
        except ConnectionClosed as closed:
            return error_text(closed)
        return reason

    def _fault(self) -> str | None:
        """Return why the connection must be given up, or None while it is well."""
        now_s = self._now_s()
        if self._stop_reason is not None:
            return self._stop_reason
        if now_s - self.heard_s > self._settings.silence_s:
            return f"no data for {now_s - self.heard_s:.0f} s"
        if self._ponged_s < self._pinged_s and now_s - self._pinged_s > PONG_WITHIN_S:
            return f"no answer to a ping within {PONG_WITHIN_S:.0f} s"
        while self._renewals_s and now_s - self._renewals_s[0] > HOUR_S:
            self._renewals_s.popleft()
        if len(self._renewals_s) >= max(len(self.channels), ARGS_AN_HOUR_MAX - len(self.channels)):
            return "too many channels were silent"
        return None

    def _to_renew(self) -> list[Channel]:
        """Return channels that never began or have gone silent; each further attempt waits longer."""
        now_s = self._now_s()
        silence_s = self._settings.silence_s
        return [
            channel
            for channel in self.channels.values()
            if channel.silent_s(now_s)
            > (FIRST_DATA_WITHIN_S if channel.heard_s < 0.0 else silence_s) * 2.0 ** min(channel.subscriptions - 1, 6)
        ]

    async def _subscribe(self, socket: ClientConnection, channels: list[Channel], *, again: bool) -> None:
        """Subscribe channels, a few in a request and a few requests a second."""
        for first in range(0, len(channels), ARGS_A_REQUEST):
            some = channels[first : first + ARGS_A_REQUEST]
            args = [subscription(channel.name, channel.symbol) for channel in some]
            if again:
                await socket.send(request("unsubscribe", args))
                await self._clock.sleep(REQUEST_EVERY_S)
                self._stream_state.mark_interrupted(
                    {channel.symbol for channel in some if channel.name.startswith(CANDLES)}
                )
            await socket.send(request("subscribe", args))
            if again:
                self._renewals_s.extend([self._now_s()] * len(some))
            for channel in some:
                channel.subscribed_s, channel.subscriptions = self._now_s(), channel.subscriptions + 1
            await self._clock.sleep(REQUEST_EVERY_S)


def error_text(error: BaseException) -> str:
    """Return the text of a driver's error, in one line, never empty."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0][:200]
