"""A server that has imported the command line and forks for every command: each starts without 0.6 s of imports.

`python -m tests.fork_server PATH` listens on the socket PATH until its standard input ends. A command is a process of
its own: with its own folder, environment and streams, and with the exit code and the output of `python -m papertape`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from papertape.cli.__main__ import main

PRELOADED = (
    *("papertape.cli.app", "papertape.cli.service.engine", "papertape.cli.offline.verify"),
    *("papertape.cli.render.events", "papertape.engine.feeds.sim.feed", "typer.rich_utils"),
)
"""What commands import. Neither numba nor polars: whether they are loaded decides about the engine of a backtest."""
STREAMS = 3
CHUNK_BYTES = 65_536


def serve(listener: socket.socket) -> list[str] | None:
    """Fork for every connection. Return in the new process, with the arguments of its command, or None at the end."""
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return attend(connection)
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def attend(connection: socket.socket) -> list[str]:
    """Return in the process of a command with its arguments; its parent reports the pid and then the exit code."""
    text, descriptors, _, _ = socket.recv_fds(connection, CHUNK_BYTES, STREAMS)
    while not text.endswith(b"\n"):
        text += connection.recv(CHUNK_BYTES)
    arguments, folder, environment = json.loads(text)
    if pid := os.fork():
        connection.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    connection.close()
    become(folder, environment, descriptors)
    return list(arguments)


def become(folder: str, environment: dict[str, str], descriptors: list[int]) -> None:
    """Give this process the folder, the environment and the streams of its command."""
    for stream, descriptor in enumerate(descriptors):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    sys.path[0] = folder


def listen(path: Path) -> list[str] | None:
    """Import what commands need and serve; say when it begins."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        print(flush=True)
        return serve(listener)


if __name__ == "__main__" and (arguments := listen(Path(sys.argv[1]))) is not None:
    sys.argv[1:] = arguments
    main()
