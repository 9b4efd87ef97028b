"""Small real services on loopback that accept notifications, or fail in the ways of a real one."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANGS = "hang"


class HttpReceiver:
    """Takes what `json://` and `ntfy://` send. `manner` is a status code, or how it fails to answer."""

    def __init__(self, port: int = 0) -> None:
        self.manner: int | str = 200
        self.messages: list[str] = []
        self.refused = 0
        self.ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request in the present manner."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if isinstance(self.manner, str):
            self.refused += 1
            self.ended.wait()
            return
        if self.manner == 200:
            self.messages.append("\n".join(filter(None, [body["title"], body["message"]])).removeprefix("papertape\n"))
        else:
            self.refused += 1
        content = json.dumps({"code": 40301, "error": "no"}).encode()
        handler.send_response(self.manner)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self) -> None:
        """Refuse connections from now on."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


class SmtpReceiver:
    """Takes e-mails; `refusal` is the answer to MAIL FROM while it refuses."""

    def __init__(self) -> None:
        self.refusal = ""
        self.mails: list[str] = []
        self.refused = 0
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receiver.talk(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def talk(self, handler: socketserver.StreamRequestHandler) -> None:
        def answer(line: str) -> None:
            handler.wfile.write(f"{line}\r\n".encode())

        answer("220 sink")
        while line := handler.rfile.readline().decode().strip():
            match line.split(maxsplit=1)[0].upper():
                case "MAIL" if self.refusal:
                    self.refused += 1
                    answer(self.refusal)
                case "DATA":
                    answer("354 go on")
                    mail = b""
                    while (part := handler.rfile.readline()) != b".\r\n":
                        mail += part
                    self.mails.append(mail.decode())
                    answer("250 taken")
                case "QUIT":
                    answer("221 bye")
                    return
                case _:
                    answer("250 fine")

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
