"""A fresh folder of the project, in which the blocks of a page run as written.

Comments in the page say what a reader has to know, and so how a command is run here: "exits with 1", "Ctrl-C ends it",
"in another terminal" (while what was started before goes on; so does what follows), and what it needs that not every
machine has.
"""

from __future__ import annotations

import os
import re
import shutil
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
from msgspec.structs import replace

from tests.docs.blocks import Block, ShellCommand
from tests.docs.edits import apply_diff, merge_toml
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVES: Final = "Ctrl-C ends it"
BESIDE: Final = "in another terminal"
LASTING: Final = ("export ", "cd ")
"""What changes the reader's shell, for all later commands."""
OWN_FILES: Final = ("papertape.toml", "demo.toml", "Makefile", ".env.example")
MADE: Final = ("data", "market", "my_tape")
"""What the quick start leaves behind."""
PORTS: Final = ("8700", "8701", "8702", "8786")
URL: Final = re.compile(r"(?:http|ws|tcp)://127\.0\.0\.1:\d+")
TOKEN: Final = re.compile(r"commands need this token: (\S+)")
DEMO_UNTIL_MS: Final = 1_735_695_000_000
"""2025-01-01 01:30 UTC: the moment that the pages look at in the demo's market."""
COMMAND_S_MAX: Final = 600.0
"""A machine that is busy compiles a strategy for minutes."""
CURL_FAILS: Final = "fail-with-body\nsilent\nshow-error\n"


class Served(Struct):
    """A command that runs until Ctrl-C."""

    command: ShellCommand
    process: subprocess.Popen[bytes]
    output: Path


class FreshFolder:
    """A copy of the project as after `make setup`, with a home, free ports and a disk in place of the page's."""

    def __init__(self, folder: Path, after: Path | None = None) -> None:
        """Make the folder, with what the folder `after` was left with, if there is one."""
        self.folder, self._outer, self._served = folder / "papertape", folder, list[Served]()
        self.folder.mkdir(parents=True)
        self._replaced = dict(zip(PORTS, map(str, _free_ports(len(PORTS))), strict=True))
        for source in REPOSITORY.iterdir():
            if source.name in OWN_FILES:
                (self.folder / source.name).write_text(self._as_here(source.read_text(encoding="utf-8")))
            elif not source.name.startswith(".") and source.name not in ("data", "build"):
                (self.folder / source.name).symlink_to(source)
        for name in MADE if after else ():
            shutil.copytree(after / "papertape" / name, self.folder / name)  # type: ignore[operator]
        self._make_environment(self.folder / ".venv")
        (folder / "usb").mkdir()
        (folder / "home").mkdir()
        (folder / "home" / ".curlrc").write_text(CURL_FAILS)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
        path = os.defpath if after is None else f"{self.folder / '.venv' / 'bin'}:{os.defpath}"
        port = {"PAPERTAPE_WEB__PORT": self._replaced["8700"]}
        self._environment = {**kept, **port, "HOME": str(folder / "home"), "PATH": path, "COLUMNS": "150"}
        self._place = self.folder

    @staticmethod
    def _make_environment(folder: Path) -> None:
        """Make what stands for the result of `make setup`: newer than all that it is made of, so never made again."""
        (folder / "bin").mkdir(parents=True)
        for source in (Path(sys.prefix) / "bin").iterdir():
            if source.name.startswith("python"):
                # A link would take this folder for its environment, and find no packages.
                (folder / "bin" / source.name).write_text(f'#!/bin/sh\nexec {source} "$@"\n')
                (folder / "bin" / source.name).chmod(0o755)
            else:
                (folder / "bin" / source.name).symlink_to(source)
        (folder / ".ready").touch()

    def lend_package(self, name: str, source: str) -> None:
        """Give the page's programs a package of one module, `name` as in `sklearn.linear_model`."""
        package, _, module = name.partition(".")
        (self._outer / "lent" / package).mkdir(parents=True)
        (self._outer / "lent" / package / f"{module}.py").write_text(source)
        self._environment["PYTHONPATH"] = str(self._outer / "lent")

    def run(self, blocks: Sequence[Block], programs: str = "") -> dict[str, str]:
        """Run all blocks in order; return what each command printed. Raise AssertionError where the page is wrong.

        `programs` is the language of blocks without a title that are whole programs.
        """
        said, shell, is_beside = dict[str, str](), "", False
        try:
            for block in blocks:
                if block.title:
                    self.write(block)
                elif block.is_output:
                    assert_printed(block.text, shell)
                elif programs and block.language == programs:
                    self.write(replace(block, title="program"))
                    self._finish(ShellCommand(f"{programs} program"))
                shell = shell if block.language != "sh" else ""
                for command in block.commands:
                    if command.needs:
                        continue
                    starts, beside = SERVES in command.comment, BESIDE in command.comment
                    is_beside = beside or (is_beside and not starts)
                    if not is_beside:
                        said |= self._interrupt()
                    if starts:
                        self._serve(command)
                    else:
                        said[command.text] = self._finish(command)
                        shell += said[command.text]
            return said | self._interrupt()
        finally:
            for served in self._served:
                _end(served.process)
                served.process.wait()

    def _as_here(self, text: str) -> str:
        for written, free in self._replaced.items():
            text = re.sub(rf"(?<![\d.]){written}(?!\d)", free, text)
        return text.replace("/mnt/usb", str(self._outer / "usb")).replace("10.0.0.5", "127.0.0.1")

    def write(self, block: Block) -> None:
        """Write the file of a block, as a reader does."""
        path, text = self._place / block.title, self._as_here(block.text)
        path.parent.mkdir(exist_ok=True)
        if block.language == "diff":
            text = apply_diff(path.read_text(encoding="utf-8"), text)
        elif block.language == "toml" and path.exists():
            text = merge_toml(path.read_text(encoding="utf-8"), text)
        elif block.language == "ini" and path.exists():
            text = path.read_text(encoding="utf-8") + text
        path.write_text(text, encoding="utf-8")

    def _start(self, command: ShellCommand, output: Path) -> subprocess.Popen[bytes]:
        text = self._as_here(command.text)
        if text.endswith("=TOKEN"):
            (printed,) = (found[1] for served in self._served if (found := TOKEN.search(served.output.read_text())))
            text = text.replace("=TOKEN", f"={printed}")
        if text.startswith(LASTING):
            text = f"{text}; pwd > '{self._outer}/place'; env -0 > '{self._outer}/environment'"
        elif SERVES in command.comment:
            text = f"exec {text}"
        with output.open("wb") as file:
            return subprocess.Popen(
                ["bash", "-o", "pipefail", "-ec", text],
                cwd=self._place,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _finish(self, command: ShellCommand) -> str:
        """Run a command to its end."""
        output = self._outer / "output.txt"
        process = self._start(command, output)
        try:
            code = process.wait(COMMAND_S_MAX)
        finally:
            _end(process)
        said = output.read_text(errors="replace")
        assert code == command.exit_code, f"{command.text}\nexited with {code}:\n{said}"
        if command.text.startswith(LASTING):
            self._place = Path((self._outer / "place").read_text().strip())
            lines = (self._outer / "environment").read_text().split("\0")
            self._environment = dict(line.split("=", 1) for line in lines if line)
        return said

    def _serve(self, command: ShellCommand) -> None:
        """Start a command that runs until Ctrl-C; return once its page shows a log, or it has printed something."""
        output = self._outer / f"served-{len(self._served)}.txt"
        process, ends_s = self._start(command, output), time.monotonic() + PATIENCE_S
        self._served.append(Served(command, process, output))
        while not _is_ready(command, output.read_text(errors="replace")):
            assert process.poll() is None, f"{command.text}\n{output.read_text()}"
            assert time.monotonic() < ends_s, f"{command.text} is not ready:\n{output.read_text()}"
            time.sleep(0.2)

    def _interrupt(self) -> dict[str, str]:
        """Press Ctrl-C in every terminal, the newest first: every process of a terminal gets the signal."""
        said = {}
        while self._served:
            served = self._served[-1]
            os.killpg(served.process.pid, signal.SIGINT)
            served.process.wait(PATIENCE_S)
            self._served.pop()
            text = said[served.command.text] = served.output.read_text(errors="replace")
            is_own = served.command.text.startswith(("papertape", "make"))
            assert not is_own or "Traceback" not in text, f"{served.command.text}\n{text}"
        return said


def _is_ready(command: ShellCommand, said: str) -> bool:
    """Return whether a command that was started does what the reader waits for."""
    if not command.text.startswith(("papertape up", "papertape ui", "make")):
        return bool(said.strip())
    found = URL.search(said)
    if found is None:
        return False
    try:
        answer = httpx.get(f"{found[0]}/api/v1/status", timeout=PATIENCE_S)
    except httpx.TransportError:
        return False
    if answer.status_code != httpx.codes.OK:
        return answer.status_code == httpx.codes.UNAUTHORIZED
    least_ms = DEMO_UNTIL_MS if command.text.startswith("make") else 0  # A log without a candle takes no signal.
    return bool(answer.json()["as_of"]["at_ms"] > least_ms)


VARIES: Final = re.compile(r"facts/s|snapshot of")
"""What a line that no two machines print alike contains."""
ESTIMATED: Final = re.compile(r"(?<=, about )[^,;]+(?=, )|[\d,]+(?= trials? so far)")
"""How long a study will take and how many sets were tried: it depends on the machine, and on the pages read before."""


def assert_printed(shown: str, printed: str) -> None:
    """Raise AssertionError for a line of a page that its commands did not print; "..." leaves some out."""
    printed = ESTIMATED.sub("0", " ".join(printed.split()))
    for line in shown.splitlines():
        text = ESTIMATED.sub("0", " ".join(line.split()))
        if VARIES.search(line):
            text, found = re.sub(r"\d+", "0", text), re.sub(r"\d+", "0", printed)
            assert re.sub("[0,.]+", "0", text) in re.sub("[0,.]+", "0", found), f"{line}\nis not in\n{printed}"
        elif text != "..." and set(text) != {"─"}:
            assert text in printed, f"{line}\nis not in\n{printed}"


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
