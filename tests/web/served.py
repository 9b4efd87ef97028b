"""Serve a log file, or the tests' example day, on a real socket: `python -m tests.web.served [FILE] [PORT]`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path

from papertape.api.app import application
from papertape.api.listener import listen
from papertape.api.server import serve
from papertape.api.streams import Streams
from papertape.events.log import Recorded
from papertape.events.sqlite_log import SqliteLogReader
from tests.web.site import TOKEN, example_day, gate_of, site_of


def log_of(path: Path | None) -> list[Recorded]:
    """Return the events of a log file, or of the example day."""
    if path is None:
        return example_day()
    with closing(SqliteLogReader(path)) as reader:
        return [one for commit in reader.commits() for one in commit.recorded()]


async def main(file: str, port: int) -> None:
    """Serve until Ctrl-C."""
    site = site_of(log_of(Path(file) if file else None))
    streams = Streams(site.timeline)
    print(f"http://127.0.0.1:{port}  commands need this token: {TOKEN}")
    await serve(application(site, gate_of(), streams), listen("127.0.0.1", port), streams, asyncio.Event())


if __name__ == "__main__":
    given = (*sys.argv[1:], "", "8700")[:2] if len(sys.argv) < 3 else sys.argv[1:3]
    asyncio.run(main(given[0], int(given[1])))
