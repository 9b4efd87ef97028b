"""The commands in the shell blocks of a page, and a fresh folder of the project in which they run as written.

Comments in the page say what a reader has to know, and so how a command is run here: "exits with 1", "Ctrl-C ends it",
"in another terminal" (while the command before it runs), and what it needs that not every machine has.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
from msgspec import Struct

from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMENT: Final = re.compile(r"\s{2,}# (.*)$")
NEEDS: Final = re.compile(r"needs (?:the network|Docker|root)")
EXITS: Final = re.compile(r"exits with (\d+)")
SERVES: Final = "Ctrl-C ends it"
BESIDE: Final = "in another terminal"
LASTING: Final = ("export ", "cd ", "alias ")
"""What changes the reader's shell, for all later commands."""
OWN_FILES: Final = ("papertape.toml", "demo.toml", "Makefile", ".env.example")
PORTS: Final = ("8700", "8701", "8702")
URL: Final = re.compile(r"(?:http|ws)://127\.0\.0\.1:\d+")
DEMO_UNTIL_MS: Final = 1_735_695_000_000
"""2025-01-01 01:30 UTC: the moment that the pages look at in the demo's market."""
COMMAND_S_MAX: Final = 600.0
"""A machine that is busy compiles a strategy for minutes."""


class ShellCommand(Struct, frozen=True):
    """A command as it is typed, and what the comment behind it says."""

    text: str
    comment: str = ""

    @property
    def is_runnable(self) -> bool:
        """Whether every machine can run it."""
        return NEEDS.search(self.comment) is None

    @property
    def exit_code(self) -> int:
        """The exit code that the page announces."""
        found = EXITS.search(self.comment)
        return int(found[1]) if found else 0


def commands_of(page: Path) -> list[ShellCommand]:
    """Return the commands of a page in order, continued lines joined."""
    found = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            comment = COMMENT.search(line)
            text = (line[: comment.start()] if comment else line).strip()
            if text and not text.startswith("#"):
                found.append(ShellCommand(text, comment[1] if comment else ""))
    return found


class FreshFolder:
    """A copy of the project as after `make setup`, with a home of its own and free ports in place of the page's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._lasting = folder / "papertape", list[str]()
        self.folder.mkdir()
        self._ports = dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True))
        for source in REPOSITORY.iterdir():
            if source.name in OWN_FILES:
                (self.folder / source.name).write_text(self._with_ports(source.read_text(encoding="utf-8")))
            elif not source.name.startswith(".") and source.name not in ("data", "build"):
                (self.folder / source.name).symlink_to(source)
        with (self.folder / "demo.toml").open("a") as demo:
            demo.write(f"\n[web]\nport = {self._ports['8700']}\n")
        (self.folder / ".venv").mkdir()
        (self.folder / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
        (self.folder / ".venv" / ".ready").touch()
        (folder / "home").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
        self._environment = {**kept, "HOME": str(folder / "home"), "PATH": os.defpath, "COLUMNS": "150"}

    def run(self, commands: list[ShellCommand]) -> Iterator[tuple[ShellCommand, str]]:
        """Run all commands in order; yield each with what it printed. Raise AssertionError for another exit code."""
        serving: tuple[ShellCommand, subprocess.Popen[bytes]] | None = None
        try:
            for command in commands:
                if serving is not None and BESIDE not in command.comment:
                    yield serving[0], self._interrupt(*serving)
                    serving = None
                if not command.is_runnable:
                    continue
                if command.text.startswith(LASTING):
                    self._lasting.append(self._with_ports(command.text))
                elif SERVES in command.comment:
                    serving = command, self._serve(command)
                else:
                    yield command, self._finish(command)
            if serving is not None:
                yield serving[0], self._interrupt(*serving)
                serving = None
        finally:
            if serving is not None:
                _end(serving[1])

    def _with_ports(self, text: str) -> str:
        for written, free in self._ports.items():
            text = re.sub(rf"(?<!\d){written}(?!\d)", free, text)
        return text

    def _start(self, command: ShellCommand, output: Path) -> subprocess.Popen[bytes]:
        script = "\n".join([*self._lasting, f"exec {self._with_ports(command.text)}"])
        with output.open("wb") as file:
            return subprocess.Popen(
                ["bash", "-ec", script],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _finish(self, command: ShellCommand) -> str:
        """Run a command to its end."""
        output = self.folder.parent / "output.txt"
        process = self._start(command, output)
        try:
            code = process.wait(COMMAND_S_MAX)
        finally:
            _end(process)
        said = output.read_text(errors="replace")
        assert code == command.exit_code, f"{command.text}\nexited with {code}:\n{said}"
        return said

    def _serve(self, command: ShellCommand) -> subprocess.Popen[bytes]:
        """Start a command that runs until Ctrl-C; return once its page shows a log or its address is printed."""
        output = self._served_output
        process, ends_s = self._start(command, output), time.monotonic() + PATIENCE_S
        is_ready = False
        try:
            while not (is_ready := self._is_ready(command, output.read_text(errors="replace"))):
                assert process.poll() is None, f"{command.text}\n{output.read_text()}"
                assert time.monotonic() < ends_s, f"{command.text} is not ready:\n{output.read_text()}"
                time.sleep(0.2)
        finally:
            if not is_ready:
                _end(process)
        return process

    @property
    def _served_output(self) -> Path:
        return self.folder.parent / "served.txt"

    def _is_ready(self, command: ShellCommand, said: str) -> bool:
        found = URL.search(said)
        if found is None or "twin" in command.text:
            return found is not None
        try:
            answer = httpx.get(f"{found[0]}/api/v1/status", timeout=PATIENCE_S)
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        return bool(answer.json()["as_of"]["at_ms"] > DEMO_UNTIL_MS)

    def _interrupt(self, command: ShellCommand, process: subprocess.Popen[bytes]) -> str:
        """Press Ctrl-C: every process of the terminal gets the signal."""
        os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE_S)
        said = self._served_output.read_text(errors="replace")
        assert "Traceback" not in said, f"{command.text}\n{said}"
        return said


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command, and whatever it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports
