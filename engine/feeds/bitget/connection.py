"""One connection to Bitget's public socket: subscribed, kept alive, its frames handed to the board.

An acknowledgement is no proof of data: the first frame of each channel is. A channel that is silent is subscribed
again, a connection that brings no data at all, or does not answer its pings, is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from papertape.engine.feeds.bitget.frames import (
    CANDLES,
    CHANNELS,
    PING,
    TICKER,
    CandleFrame,
    ErrorFrame,
    Pong,
    RefusedFrame,
    TickerFrame,
    read_frame,
    request,
    subscription,
)
from papertape.engine.ports.feed import RefusalReason
from papertape.events.errors import ExchangeUnreachable

if TYPE_CHECKING:
    from papertape.engine.feeds.bitget.settings import BitgetSettings
    from papertape.engine.feeds.bitget.stream_state import StreamState
    from papertape.engine.ports.clock import Clock
    from papertape.engine.ports.feed import RefusalLog

ARGS_A_REQUEST: Final = 15
"""Of 4,096 bytes a request may have, these take about a quarter."""
REQUEST_EVERY_S: Final = 0.25
PING_EVERY_S: Final = 20.0
PONG_WITHIN_S: Final = 10.0
FIRST_DATA_WITHIN_S: Final = 10.0
LOOK_EVERY_S: Final = 5.0
ARGS_AN_HOUR_MAX: Final = 200
"""The exchange allows 240 subscriptions an hour on one connection."""
OPEN_WITHIN_WALL_S_MIN: Final = 1.0
CLOSE_WITHIN_WALL_S: Final = 1.0
QUEUE_FRAMES_MAX: Final = 16
HOUR_S: Final = 3_600.0
RENEWALS_KEPT_MAX: Final = 1_000


class Channel(Struct):
    """One channel of one symbol on this connection. Times are seconds of the clock; -1 is never."""

    name: str
    symbol: str
    asked_s: float = -1.0
    heard_s: float = -1.0
    asked: int = 0

    def silent_s(self, now_s: float) -> float:
        """How long nothing was heard, counted from when it was asked for at the latest."""
        return now_s - max(self.asked_s, self.heard_s)


class StreamConnection:
    """One connection and the channels of its symbols.

    `served` says whether any data came, `whole` is set when every channel has brought some. Intervals are counted by
    `clock`, times of the exchange by `market_now_ms`.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        settings: BitgetSettings,
        clock: Clock,
        market_now_ms: Callable[[], int],
        board: StreamState,
        refusals: RefusalLog,
    ) -> None:
        self.symbols = tuple(symbols)
        self._settings = settings
        self._clock = clock
        self._market_now_ms = market_now_ms
        self._board = board
        self._refusals = refusals
        name = CHANNELS[settings.timeframe_ms]
        self.channels = {(kind, symbol): Channel(kind, symbol) for kind in (name, TICKER) for symbol in symbols}
        self.whole = asyncio.Event()
        self.heard_s = self.pinged_s = self.ponged_s = self._now_s()
        self.served = False
        self._renewed_s: deque[float] = deque(maxlen=RENEWALS_KEPT_MAX)
        self._given_up: str | None = None

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1_000.0

    def give_up(self, why: str) -> None:
        """End this connection at the next look: somebody thinks that a new one is better."""
        self._given_up = why

    def request_resubscribe(self, symbol: str) -> None:
        """Subscribe a symbol's channels again at the next look."""
        for channel in self.channels.values():
            if channel.symbol == symbol:
                channel.asked_s = channel.heard_s = -1.0

    async def run(self) -> str:
        """Connect, and serve until the connection is over; why it is. Raises ExchangeUnreachable when none begins."""
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
            # A socket without an answer would hold the goodbye up; the exchange needs none.
            socket.transport.abort()
            await socket.wait_closed()

    async def _serve(self, socket: ClientConnection) -> str:
        """Read and keep alive until one of the two says why it is over."""
        self.heard_s = self.pinged_s = self.ponged_s = self._now_s()
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
        """Take every frame until the connection ends."""
        try:
            while True:
                self.take(await socket.recv())
        except ConnectionClosed as closed:
            return error_text(closed)

    def take(self, text: str | bytes) -> None:
        """Take one frame. Whatever it is, it does not raise."""
        now_s = self._now_s()
        message = read_frame(text, self._settings.timeframe_ms)
        match message:
            case Pong():
                self.ponged_s = now_s
            case CandleFrame() | TickerFrame():
                self._take_data(message, now_s)
            case RefusedFrame():
                self._refuse(message, text)
            case ErrorFrame():
                self._denied(message, now_s)
            case _:
                pass

    def _take_data(self, message: CandleFrame | TickerFrame, now_s: float) -> None:
        name = TICKER if isinstance(message, TickerFrame) else CHANNELS[self._settings.timeframe_ms]
        channel = self.channels.get((name, message.symbol))
        if channel is None:
            self._refusals.refuse(self._settings.ws_url, 0, RefusalReason.WRONG_SYMBOL, message.symbol)
            return
        first = channel.heard_s < 0.0
        channel.heard_s = self.heard_s = now_s
        now_ms = self._market_now_ms()
        if isinstance(message, TickerFrame):
            self._board.take_ticker(message, now_ms)
        else:
            for reason, text in message.refused:
                self._refusals.refuse(message.symbol, 0, reason, text)
                self._board.mark_suspect(message.symbol)
            self._board.take_candles(message, now_ms)
        if first:
            self.served = True
            if all(channel.heard_s >= 0.0 for channel in self.channels.values()):
                self.whole.set()

    def _refuse(self, message: RefusedFrame, text: str | bytes) -> None:
        shown = text if isinstance(text, str) else text[:200].decode("utf-8", "replace")
        self._refusals.refuse(self._settings.ws_url, 0, message.reason, shown)
        if message.symbol in self._board.symbols:
            self._board.mark_suspect(message.symbol)

    def _denied(self, message: ErrorFrame, now_s: float) -> None:
        """Keep a refusal to its channel: the others of the connection go on."""
        channel = self.channels.get((message.channel, message.symbol))
        if channel is not None:
            channel.heard_s, channel.asked_s = -1.0, now_s

    # ------------------------------------------------------------ keeping alive

    async def _maintain(self, socket: ClientConnection) -> str:
        """Subscribe, ping, and look every few seconds what is silent."""
        try:
            await self._subscribe(socket, list(self.channels.values()), again=False)
            while (reason := self._fault()) is None:
                if self._now_s() - self.pinged_s >= PING_EVERY_S:
                    self.pinged_s = self._now_s()
                    await socket.send(PING)
                await self._subscribe(socket, self._to_renew(), again=True)
                await self._clock.sleep(LOOK_EVERY_S)
        except ConnectionClosed as closed:
            return error_text(closed)
        return reason

    def _fault(self) -> str | None:
        """Why the connection is to be given up; None while it is well."""
        now_s = self._now_s()
        if self._given_up is not None:
            return self._given_up
        if now_s - self.heard_s > self._settings.silence_s:
            return f"no data for {now_s - self.heard_s:.0f} s"
        if self.ponged_s < self.pinged_s and now_s - self.pinged_s > PONG_WITHIN_S:
            return f"no answer to a ping within {PONG_WITHIN_S:.0f} s"
        while self._renewed_s and now_s - self._renewed_s[0] > HOUR_S:
            self._renewed_s.popleft()
        if len(self._renewed_s) >= max(len(self.channels), ARGS_AN_HOUR_MAX - len(self.channels)):
            return "too many channels were silent"
        return None

    def _to_renew(self) -> list[Channel]:
        """Channels that never began, or have gone silent. Each further try of one waits longer."""
        now_s = self._now_s()
        silence_s = self._settings.silence_s
        return [
            channel
            for channel in self.channels.values()
            if channel.silent_s(now_s)
            > (FIRST_DATA_WITHIN_S if channel.heard_s < 0.0 else silence_s) * 2.0 ** min(channel.asked - 1, 6)
        ]

    async def _subscribe(self, socket: ClientConnection, channels: list[Channel], *, again: bool) -> None:
        """Ask for channels, a few in a request and a few requests a second."""
        for first in range(0, len(channels), ARGS_A_REQUEST):
            some = channels[first : first + ARGS_A_REQUEST]
            args = [subscription(channel.name, channel.symbol) for channel in some]
            if again:
                await socket.send(request("unsubscribe", args))
                await self._clock.sleep(REQUEST_EVERY_S)
                self._board.mark_interrupted({channel.symbol for channel in some if channel.name.startswith(CANDLES)})
            await socket.send(request("subscribe", args))
            if again:
                self._renewed_s.extend([self._now_s()] * len(some))
            for channel in some:
                channel.asked_s, channel.asked = self._now_s(), channel.asked + 1
            await self._clock.sleep(REQUEST_EVERY_S)


def error_text(error: BaseException) -> str:
    """What a driver's error says, in one line, never empty."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0][:200]
