"""The stream of events over a WebSocket: the client says which types it wants, and from where on."""

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
"""A client that says more than this within one connection wants something else than events."""
MISTAKES_MAX: Final = 10
POLICY_VIOLATED, GOING_AWAY = 1008, 1001

Names = Annotated[tuple[Annotated[str, Meta(max_length=NAME_CHARS_MAX)], ...], Meta(max_length=NAMES_MAX)]


class SubscriptionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may say at any time: which events it wants from now on, empty lists are all.

    With `after_seq` the events beyond it are told, else the telling goes on where it is.
    """

    types: Names = ()
    symbols: Names = ()
    strategies: Names = ()
    after_seq: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None


class SubscriptionAck(Struct, frozen=True):
    """The answer to a subscription: the events beyond `after_seq` follow."""

    after_seq: int


class SubscriptionRefusal(Struct, frozen=True):
    """The answer to what is no subscription."""

    error: str


class EventSocket:
    """One client: what it wants, and where it stands."""

    def __init__(self, socket: WebSocket, streams: Streams, chosen: StreamFilter, after_seq: int) -> None:
        self._socket, self._streams = socket, streams
        self._filter = chosen
        self._seq = min(after_seq, streams.tape.head_seq)
        self._mistakes = 0
        self._turned = asyncio.Event()

    async def listen(self) -> None:
        """Take subscriptions until the client leaves, or says too much."""
        for _ in range(MESSAGES_MAX):
            try:
                asked = msgspec.json.decode(await self._socket.receive_text(), type=SubscriptionRequest)
            except WebSocketDisconnect:
                return
            except (KeyError, msgspec.DecodeError) as error:  # KeyError: a message of bytes.
                self._mistakes += 1
                if self._mistakes > MISTAKES_MAX:
                    return
                await self._say(SubscriptionRefusal(str(error)))
                continue
            self._filter = StreamFilter(asked.types, asked.symbols, asked.strategies)
            if asked.after_seq is not None:
                self._seq = min(asked.after_seq, self._streams.tape.head_seq)
                self._turned.set()
            await self._say(SubscriptionAck(self._seq))

    async def send_frames(self) -> None:
        """Send what is chosen, as it comes."""
        tape = self._streams.tape
        while True:
            self._turned.clear()
            begin = self._seq
            frames = await tape.frames_after(begin) if tape.head_seq > begin else []
            if frames:
                await self._streams.send_in_time(self._send(frames))
                await asyncio.sleep(0)
            else:
                await self._streams.until_end(self._streams.wait_for_event(begin), self._turned.wait())

    async def _send(self, frames: list[EventFrame]) -> None:
        for frame in frames:
            if self._seq != frame.seq - 1:
                return  # A subscription moved on to another place meanwhile.
            self._seq = frame.seq
            if self._filter.matches(frame):
                await self._socket.send({"type": "websocket.send", "text": frame.text})

    async def _say(self, what: SubscriptionAck | SubscriptionRefusal) -> None:
        await self._streams.send_in_time(self._socket.send_text(msgspec.json.encode(what).decode()))


async def converse(socket: WebSocket, streams: Streams, chosen: StreamFilter, after_seq: int) -> None:
    """Serve one client from its handshake to its end."""
    with streams.seat() as found:
        if not found:
            await socket.send_denial_response(streams.no_seat())
            return
        await socket.accept()
        conversation = EventSocket(socket, streams, chosen, after_seq)
        try:
            await streams.until_end(conversation.listen(), conversation.send_frames())
            await streams.send_in_time(socket.close(GOING_AWAY))
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # It does not read, or it is gone: a socket that is closed on the other side says so in several ways.
            return
