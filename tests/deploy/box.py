"""A home server: a clone of a repository with deploy.sh, a stand-in for Docker, and a running papertape."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from papertape.events.sqlite_log import SqliteLogReader
from tests.cli.test_process_supervisor import is_alive
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

READY_S_MAX = PATIENCE_S
ENDS_S_MAX = 2.0 * PATIENCE_S
FAREWELL_S_MAX = 10.0
IDENTITY = {
    "GIT_AUTHOR_NAME": "owner", "GIT_AUTHOR_EMAIL": "owner@example.org",
    "GIT_COMMITTER_NAME": "owner", "GIT_COMMITTER_EMAIL": "owner@example.org",
}  # fmt: skip

WITH_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
"""A shell cannot trap what was ignored when it began, as it is for whatever was started in the background."""


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Box:
    """The folder `home` on the server, the repository it was cloned from, and what runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.origin, self.home = folder / "origin", folder / "home"
        self.environment = {
            **os.environ, **IDENTITY,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "STAND_IN_STATE": str(folder / "docker.json"),
            "STAND_IN_SOURCES": str(REPOSITORY),
            "STAND_IN_PORT": str(self.port),
            "PAPERTAPE_STALLED_S": "240",
        }  # fmt: skip
        self._make_tools()
        self._make_repository()

    def _make_tools(self) -> None:
        tools = self.folder / "bin"
        tools.mkdir()
        docker = tools / "docker"
        stand_in = REPOSITORY / "tests" / "deploy" / "docker_stand_in.py"
        docker.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stand_in}" "$@"\n')
        docker.chmod(0o755)

    def _make_repository(self) -> None:
        self.origin.mkdir()
        for name in ("deploy.sh", "compose.yaml", "papertape.toml"):
            shutil.copy(REPOSITORY / name, self.origin / name)
        (self.origin / ".gitignore").write_text("data/\nlogs/\n.env\ncontainer.log\n")
        (self.origin / "CHARACTER").write_text("healthy one")
        self._git(self.origin, "init", "--quiet", "--initial-branch=main")
        self._git(self.origin, "add", ".")
        self._git(self.origin, "commit", "--quiet", "--message=one")
        self._git(self.folder, "clone", "--quiet", str(self.origin), str(self.home))
        (self.home / ".env").write_text(f"PAPERTAPE_PORT={self.port}\n")

    def _git(self, folder: Path, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, env=self.environment, check=True, capture_output=True)

    def release(self, character: str) -> None:
        """A new commit upstream, whose image behaves so."""
        (self.origin / "CHARACTER").write_text(character)
        self._git(self.origin, "commit", "--quiet", "--all", f"--message={character}")

    # ------------------------------------------------------------ deploying

    def begin(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start a deploy."""
        return subprocess.Popen(
            [sys.executable, "-c", WITH_CTRL_C, "./deploy.sh", *arguments],
            cwd=self.home,
            env={**self.environment, **extra},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def deploy(self, *arguments: str, **extra: str) -> tuple[int, str]:
        """Deploy; the exit code, and what was said."""
        process = self.begin(*arguments, **extra)
        said, _ = process.communicate(timeout=ENDS_S_MAX)
        return process.returncode, said

    def interrupted(self, step: str) -> tuple[int, str]:
        """Deploy, and press Ctrl-C while it is in a step."""
        mark = self.folder / "docker.slow"
        mark.unlink(missing_ok=True)
        process = self.begin(STAND_IN_SLOW=step)
        deadline = time.monotonic() + ENDS_S_MAX
        while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=ENDS_S_MAX)
        return process.returncode, said

    # ------------------------------------------------------------ what runs

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "docker.json").read_text())
        return found

    def character(self) -> str:
        """How the image behaves that the container runs."""
        known = self.state()
        return str(known["images"][known["container"]["image"]])

    def is_ready(self) -> bool:
        """Whether /ready says 200 within a while."""
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2.0) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        return False

    def head(self) -> tuple[int, bytes]:
        """Where the log stands."""
        with closing(SqliteLogReader(self.home / "data" / "papertape.db")) as reader:
            head = reader.head()
        return head.seq, head.hash

    def lost_nothing_since(self, head: tuple[int, bytes]) -> bool:
        """Whether the log still holds the row it ended with then, and every row up to its end."""
        with closing(SqliteLogReader(self.home / "data" / "papertape.db")) as reader:
            whole = sum(len(commit.events) for commit in reader.commits())
            return reader.hash_at(head[0]) == head[1] and whole >= head[0]

    def papertape(self, *arguments: str) -> str:
        """A verb on this box's log."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "papertape", *arguments, "--db", "data/papertape.db"],
            cwd=self.home, env={**self.environment, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def close(self) -> None:
        """End what still runs."""
        if (self.folder / "docker.json").exists() and (container := self.state()["container"]):
            with suppress(ProcessLookupError):
                os.killpg(container["pid"], signal.SIGTERM)
                deadline = time.monotonic() + FAREWELL_S_MAX
                while is_alive(container["pid"]) and time.monotonic() < deadline:
                    time.sleep(0.02)
                os.killpg(container["pid"], signal.SIGKILL)
