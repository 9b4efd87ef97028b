"""The event stream over a WebSocket: the client sends which events it wants, and where to start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.websockets import WebSocketDisconnect

from papertape.api.query import NAME_CHARS_MAX, SEQ_MAX
from papertape.api.shared_reader import StreamFilter

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from papertape.api.shared_reader import EventFrame
    from papertape.api.streams import Streams

NAMES_MAX: Final = 100
MESSAGES_MAX: Final = 1_000
"""A connection with more messages than this is closed: it is not used to receive events."""
MISTAKES_MAX: Final = 10
POLICY_VIOLATED, GOING_AWAY = 1008, 1001

Names = Annotated[tuple[Annotated[str, Meta(max_length=NAME_CHARS_MAX)], ...], Meta(max_length=NAMES_MAX)]


class SubscriptionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A client's message, at any time: which events to send from now on; empty lists mean all.

    With `after` the stream restarts after that event, else it continues where it is. `after_seq` is its former name.
    """

    types: Names = ()
    symbols: Names = ()
    strategies: Names = ()
    after: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None
    after_seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None

    def __post_init__(self) -> None:
        """Refuse a start that is given under both its names."""
        if self.after is not None and self.after_seq is not None:
            raise ValueError("after_seq: it is the former name of after, which is given too")


class SubscriptionAck(Struct, frozen=True):
    """The answer to a subscription: the events beyond `after_seq` follow."""

    after_seq: int


class SubscriptionRefusal(Struct, frozen=True):
    """The answer to an invalid subscription."""

    error: str


class EventSocket:
    """One client: its subscription and its position in the log."""

    def __init__(self, socket: WebSocket, streams: Streams, selection: StreamFilter, after_seq: int) -> None:
        self._socket, self._streams = socket, streams
        self._filter = selection
        self._seq = min(after_seq, streams.tape.head_seq)
        self._mistakes = 0
        self._restarted = asyncio.Event()

    async def listen(self) -> None:
        """Receive subscriptions until the client leaves or sends too many messages."""
        for _ in range(MESSAGES_MAX):
            try:
                subscription = msgspec.json.decode(await self._socket.receive_text(), type=SubscriptionRequest)
            except WebSocketDisconnect:
                return
            except (KeyError, msgspec.DecodeError) as error:  # KeyError: a message of bytes.
                self._mistakes += 1
                if self._mistakes > MISTAKES_MAX:
                    return
                await self._reply(SubscriptionRefusal(str(error)))
                continue
            self._filter = StreamFilter(subscription.types, subscription.symbols, subscription.strategies)
            after = subscription.after_seq if subscription.after is None else subscription.after
            if after is not None:
                self._seq = min(after, self._streams.tape.head_seq)
                self._restarted.set()
            await self._reply(SubscriptionAck(self._seq))

    async def send_frames(self) -> None:
        """Send the subscribed events as they happen."""
        tape = self._streams.tape
        while True:
            self._restarted.clear()
            begin = self._seq
            frames = await tape.frames_after(begin) if tape.head_seq > begin else []
            if frames:
                await self._streams.send_in_time(self._send(frames))
                await asyncio.sleep(0)
            else:
                await self._streams.until_closed(self._streams.wait_for_event(begin), self._restarted.wait())

    async def _send(self, frames: list[EventFrame]) -> None:
        for frame in frames:
            if self._seq != frame.seq - 1:
                return  # A subscription changed the position in the meantime.
            self._seq = frame.seq
            if self._filter.matches(frame):
                await self._socket.send({"type": "websocket.send", "text": frame.text})

    async def _reply(self, reply: SubscriptionAck | SubscriptionRefusal) -> None:
        await self._streams.send_in_time(self._socket.send_text(msgspec.json.encode(reply).decode()))


async def converse(socket: WebSocket, streams: Streams, selection: StreamFilter, after_seq: int) -> None:
    """Serve one client from its handshake to its end."""
    with streams.slot() as available:
        if not available:
            await socket.send_denial_response(streams.no_slot_response())
            return
        await socket.accept()
        conversation = EventSocket(socket, streams, selection, after_seq)
        try:
            await streams.until_closed(conversation.listen(), conversation.send_frames())
            await streams.send_in_time(socket.close(GOING_AWAY))
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # The client does not read, or is gone: a socket closed by the client raises any of these.
            return
