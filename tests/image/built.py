"""The image as buildah built it: its configuration, its file system, and ways to run it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.deploy.box import free_port
from tests.patience import PATIENCE_S
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

IMAGES: Final = Path(os.environ.get("PAPERTAPE_IMAGES", REPOSITORY / "build" / "image"))
TOOLS: Final = ("buildah", "debootstrap", "npm", "node", "unshare", "setpriv")
TOKEN: Final = "a-token-of-a-test-that-nothing-else-knows-0123456789"
UID: Final = 10_001
READY_S_MAX: Final = 60.0
ENDS_S_MAX: Final = 20.0
COMMIT: Final = "c0ffee0123456789"


def missing() -> str:
    """What this machine lacks to build images; empty where it lacks nothing."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        lacking.append("root")
    return ", ".join(lacking)


def buildah(*arguments: str) -> str:
    """What buildah says, on the storage of these images."""
    options = ["--root", str(IMAGES / "storage"), "--runroot", str(IMAGES / "run"), "--storage-driver", "vfs"]
    done = subprocess.run(["buildah", *options, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_folder(folder: Path) -> Path:
    """Make a folder that belongs to the user of the image."""
    folder.mkdir()
    os.chown(folder, UID, UID)
    return folder


class Image:
    """One target of the Dockerfile, built, as a container whose file system is mounted."""

    def __init__(self, target: str, extras: str = "") -> None:
        tag = f"{target}-{extras}" if extras else target
        environment = {**os.environ, "PAPERTAPE_COMMIT": COMMIT, "PAPERTAPE_IMAGES": str(IMAGES), "EXTRAS": extras}
        IMAGES.mkdir(parents=True, exist_ok=True)
        said = IMAGES / f"{tag}.log"  # To be followed meanwhile: a build takes minutes.
        with said.open("wb") as out:
            done = subprocess.run(
                ["tools/image.sh", target, tag], cwd=REPOSITORY, env=environment, check=False, stdout=out, stderr=out
            )
        assert done.returncode == 0, said.read_text()[-4_000:]
        self.name = f"localhost/papertape:{tag}"
        self.container = buildah("from", self.name)
        self.root = Path(buildah("mount", self.container))

    def close(self) -> None:
        """Give the container back."""
        buildah("rm", self.container)

    def inspected(self) -> dict[str, Any]:
        """The configuration as Docker reads it."""
        found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", self.name))["Docker"]["config"]
        return found

    def confined(self, at: Path, command: Sequence[str], mounts: Mapping[str, Path], *variables: str) -> list[str]:
        """What runs a command as compose.yaml asks for: the first process, read-only, no capability, no new privileges.

        The file system is mounted at the new folder `at`, and each folder of `mounts` in it. Variables are NAME=value.
        """
        at.mkdir()
        binds = "".join(f"mount --bind {folder} {at}{place} && " for place, folder in mounts.items())
        script = f"""
            mount --make-rprivate / && mount --bind {self.root} {at} && mount -o remount,bind,ro {at} && {binds}
            mount -t tmpfs -o noexec,nosuid,nodev,size=64m none {at}/tmp && mount -t proc none {at}/proc &&
            mount --rbind /dev {at}/dev &&
            exec chroot {at} setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs --bounding-set=-all \
                env -i --chdir=/config "$@"
        """
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        return [*unshared, *self.inspected()["Env"], *variables, *command]

    def site_packages(self) -> set[str]:
        """The names of what is installed."""
        [folder] = (self.root / "opt" / "papertape" / "lib").glob("python3*/site-packages")
        return {path.name.partition("-")[0].lower() for path in folder.glob("*.dist-info")}

    def files(self) -> Iterator[Path]:
        """Every file."""
        for folder, _, names in os.walk(self.root):
            yield from (Path(folder) / name for name in names)

    def portrait(self) -> dict[str, tuple[int, int, int]]:
        """Every path with its mode, size and time of change."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            for name in (*folders, *names):
                status = (Path(folder) / name).lstat()
                found[str(Path(folder, name).relative_to(self.root))] = (
                    status.st_mode, status.st_size if name in names else 0, status.st_mtime_ns,
                )  # fmt: skip
        return found


@contextmanager
def background(command: Sequence[str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a confined command meanwhile; what it says goes to a file."""
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _kill(process.pid)


def _kill(runner_pid: int) -> None:
    """Kill the first process, too: it changed its user, so the kernel forgot its `--kill-child`."""
    children = Path(f"/proc/{runner_pid}/task/{runner_pid}/children").read_text().split()
    for pid in (*map(int, children), runner_pid):
        os.kill(pid, signal.SIGKILL)


def comes(words: str, said: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether a program says some words in time."""
    deadline = time.monotonic() + PATIENCE_S
    while words not in said.read_text():
        if time.monotonic() > deadline or process.poll() is not None:
            return False
        time.sleep(0.2)
    return True


class Running:
    """papertape on the built file system, with folders of its own for /data and /logs."""

    def __init__(self, image: Image, folder: Path, *, as_compose: bool) -> None:
        self.image, self.port = image, free_port()
        self.data, self.logs, self.said = folder / "data", folder / "logs", folder / "said"
        for made in (self.data, self.logs):
            make_folder(made)
        config = image.inspected()
        command = [*config["Entrypoint"], *config["Cmd"]]
        command[command.index("live")] = "sim"
        command += ["--speed", "60", "--port", str(self.port)]
        whole = self._as_compose(command, folder / "root") if as_compose else self._by_buildah(command)
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(whole, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _as_compose(self, command: list[str], at: Path) -> list[str]:
        return self.image.confined(at, command, {"/data": self.data, "/logs": self.logs}, f"PAPERTAPE_TOKEN={TOKEN}")

    def _by_buildah(self, command: list[str]) -> list[str]:
        buildah("config", "--volume", "/data-", "--volume", "/logs-", self.image.container)
        return [
            "buildah", "--root", str(IMAGES / "storage"), "--runroot", str(IMAGES / "run"), "--storage-driver", "vfs",
            "run", "--isolation", "chroot", "--env", f"PAPERTAPE_TOKEN={TOKEN}",
            "--volume", f"{self.data}:/data", "--volume", f"{self.logs}:/logs", self.image.container, "--", *command,
        ]  # fmt: skip

    def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body of an answer; 0 where there is none yet."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=4.0) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""
        except OSError:
            return 0, b""

    def is_ready(self) -> bool:
        """Whether /ready says 200 in time."""
        deadline = time.monotonic() + READY_S_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.ask("/ready")[0] == 200:
                return True
            time.sleep(0.2)
        return False

    def keeper_pid(self) -> int:
        """The process that `docker stop` would signal."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and self._is_keeper(folder):
                return int(folder.name)
        raise AssertionError("no keeper runs: " + self.said.read_text()[-2_000:])

    def _is_keeper(self, folder: Path) -> bool:
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_python = words[0].endswith(b"python")  # Not the runner, whose command line holds the same words.
            return (
                is_python
                and words[1:3] == [b"/opt/papertape/bin/papertape", b"up"]
                and str(self.port).encode() in words
            )
        except OSError:
            return False

    def end(self) -> tuple[int, float]:
        """SIGTERM to the first process; how its runner ended, after how many seconds."""
        began_s = time.monotonic()
        os.kill(self.keeper_pid(), signal.SIGTERM)
        return self.process.wait(ENDS_S_MAX), time.monotonic() - began_s

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.end()
