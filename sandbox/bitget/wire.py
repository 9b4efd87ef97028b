"""One TCP connection: HTTP until it becomes a WebSocket, raw bytes, and every way to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Final, Protocol

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from papertape.sandbox.bitget.limits import BACKLOG_BYTES_MAX, MESSAGE_BYTES_MAX
from papertape.sandbox.bitget.rest import RestDelivery, RestResponse
from papertape.sandbox.bitget.socket import Session
from papertape.sandbox.bitget.text import frame_of

WS_PATH: Final = "/v2/ws/public"
HEAD_BYTES_MAX: Final = 16_384
HEAD_END: Final = b"\r\n\r\n"
PIECE_BYTES: Final = 65_536
ABRUPT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""


class Host(Protocol):
    """The server behind a connection."""

    def on_connect(self, wire: TwinConnection) -> None:
        """Register a new connection."""
        ...

    def on_disconnect(self, wire: TwinConnection) -> None:
        """Remove a closed connection."""
        ...

    def answer(self, target: str, ip: str) -> RestResponse:
        """Return the response to a GET."""
        ...

    def welcome(self, wire: TwinConnection) -> Session | RestResponse:
        """Accept the connection as a WebSocket, or refuse it."""
        ...

    def on_sent(self, byte_count: int) -> None:
        """Count a frame that was sent."""
        ...

    def on_overflow(self, wire: TwinConnection) -> None:
        """Record a client that does not read and is disconnected."""
        ...


class TwinConnection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport
        self._head = b""
        self._protocol: ServerProtocol | None = None
        self._message: list[bytes] = []
        self._is_text = True
        self._giant_left = 0
        self.session: Session | None = None
        self.ip = ""

    # ------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection with the server."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.ip = str((transport.get_extra_info("peername") or ("",))[0])
        self._host.on_connect(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the server that the client is gone."""
        self._host.on_disconnect(self)

    def data_received(self, data: bytes) -> None:
        """Parse an HTTP request, or frames once the connection is a WebSocket."""
        if self._protocol is not None:
            self._protocol.receive_data(data)
            self._frames()
            return
        self._head += data
        while self._protocol is None and (end := self._head.find(HEAD_END)) >= 0:
            head, self._head = self._head[: end + len(HEAD_END)], self._head[end + len(HEAD_END) :]
            self._request(head)
        if self._protocol is None and len(self._head) > HEAD_BYTES_MAX:
            self.abort()

    def resume_writing(self) -> None:
        """Continue with a giant frame."""
        self._send_giant()

    # ------------------------------------------------------------ HTTP

    def _request(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        target = rest.rpartition(" ")[0]
        if target.partition("?")[0] == WS_PATH and "upgrade: websocket" in head.decode("latin-1").lower():
            self._upgrade(head)
        elif method != "GET":
            self._reply(RestResponse(405, b"{}"))
        else:
            self._reply(self._host.answer(target, self.ip))

    def _upgrade(self, head: bytes) -> None:
        welcome = self._host.welcome(self)
        if isinstance(welcome, RestResponse):
            self._reply(welcome)
            self._transport.close()
            return
        protocol = ServerProtocol(max_size=MESSAGE_BYTES_MAX)
        protocol.receive_data(head)
        for request in protocol.events_received():
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
        self._protocol, self.session = protocol, welcome
        data, self._head = self._head, b""
        self._flush()
        if data:
            self.data_received(data)

    def _reply(self, reply: RestResponse) -> None:
        if reply.delivery is RestDelivery.NEVER:
            return
        if reply.delivery is RestDelivery.RESET:
            self.reset()
            return
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Content-Type: {reply.kind}",
            f"Content-Length: {len(reply.body)}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        head = "\r\n".join(lines).encode() + HEAD_END
        if reply.delivery is RestDelivery.CUT:
            self._transport.write(head + reply.body[: len(reply.body) // 2])
            self._transport.close()
        else:
            self._transport.write(head + reply.body)

    # ------------------------------------------------------------ WebSocket

    def _frames(self) -> None:
        protocol = self._protocol
        assert protocol is not None
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._frame(event)
        self._flush()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._message.append(bytes(frame.data))
        if not frame.fin:
            return
        message, self._message = b"".join(self._message), []
        if self.session is not None:
            self.session.take(message.decode("utf-8", "replace") if self._is_text else message)

    def _flush(self) -> None:
        """Send what the protocol itself produces: the handshake, pongs, closes."""
        if self._protocol is None:
            return
        for data in self._protocol.data_to_send():
            if self.session is not None and self.session.silent:
                continue
            if data:
                self._write(data)
            else:
                self._transport.close()

    def send(self, message: str | bytes) -> None:
        """Send a text message, or a binary one for bytes."""
        self.send_frame(frame_of(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a prepared frame, the same for all subscribers of a channel."""
        if self._is_open() and not self._giant_left:
            self._host.on_sent(len(frame))
            self._write(frame)

    def send_giant(self, byte_count: int) -> None:
        """Send a frame of `byte_count` bytes, as fast as the client reads it. Nothing else is sent meanwhile."""
        if self._is_open() and not self._giant_left:
            self._giant_left = byte_count
            self._write(struct.pack("!BBQ", 0x81, 127, byte_count))
            self._send_giant()

    def _send_giant(self) -> None:
        while self._giant_left and not self._transport.is_closing():
            piece = min(self._giant_left, PIECE_BYTES)
            self._giant_left -= piece
            self._transport.write(b"9" * piece)
            if self._transport.get_write_buffer_size() > PIECE_BYTES:
                return

    @property
    def is_closing(self) -> bool:
        """Whether one side has begun to close the connection."""
        return self._transport.is_closing()

    def _is_open(self) -> bool:
        if self._protocol is None or self._protocol.state is not State.OPEN or self._transport.is_closing():
            return False
        return self.session is not None and not self.session.silent

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            self._host.on_overflow(self)
            self.abort()

    # ------------------------------------------------------------ endings

    def close(self, code: int) -> None:
        """Close with a close frame; the client answers it."""
        if self._is_open() and self._protocol is not None:
            self._protocol.send_close(code)
            self._flush()

    def abort(self) -> None:
        """Close at once, without a close frame."""
        self._transport.abort()

    def reset(self) -> None:
        """Close with a TCP reset."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
        self._transport.abort()
