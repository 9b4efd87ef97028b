"""The image as buildah built it: its configuration, its file system, and ways to run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.deploy.box import free_port
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Image:
    """One target of the Dockerfile, built, as a container whose file system is mounted."""

    def __init__(self, target: str) -> None:
        environment = {**os.environ, "PAPERTAPE_COMMIT": COMMIT, "PAPERTAPE_IMAGES": str(IMAGES)}
        done = subprocess.run(
            ["tools/image.sh", target], cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        self.name = f"localhost/papertape:{target}"
        self.container = buildah("from", self.name)
        self.root = Path(buildah("mount", self.container))

    def close(self) -> None:
        """Give the container back."""
        buildah("rm", self.container)

    def inspected(self) -> dict[str, Any]:
        """The configuration as Docker reads it."""
        found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", self.name))["Docker"]["config"]
        return found

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


class Running:
    """papertape on the built file system, with folders of its own for /data and /logs."""

    def __init__(self, image: Image, folder: Path, *, as_compose: bool) -> None:
        self.image, self.port = image, free_port()
        self.data, self.logs, self.said = folder / "data", folder / "logs", folder / "said"
        for made in (self.data, self.logs):
            made.mkdir()
            os.chown(made, UID, UID)
        config = image.inspected()
        command = [*config["Entrypoint"], *config["Cmd"]]
        command[command.index("live")] = "sim"
        command += ["--speed", "60", "--port", str(self.port)]
        whole = self._confined(command, folder) if as_compose else self._by_buildah(command)
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(whole, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _by_buildah(self, command: list[str]) -> list[str]:
        buildah("config", "--volume", "/data-", "--volume", "/logs-", self.image.container)
        return [
            "buildah", "--root", str(IMAGES / "storage"), "--runroot", str(IMAGES / "run"), "--storage-driver", "vfs",
            "run", "--isolation", "chroot", "--env", f"PAPERTAPE_TOKEN={TOKEN}",
            "--volume", f"{self.data}:/data", "--volume", f"{self.logs}:/logs", self.image.container, "--", *command,
        ]  # fmt: skip

    def _confined(self, command: list[str], folder: Path) -> list[str]:
        """What compose.yaml asks for: the first process, read-only, no capability, no new privileges."""
        at = folder / "root"
        at.mkdir()
        variables = [f"{one}" for one in self.image.inspected()["Env"]]
        script = f"""
            mount --make-rprivate / && mount --bind {self.image.root} {at} && mount -o remount,bind,ro {at} &&
            mount --bind {self.data} {at}/data && mount --bind {self.logs} {at}/logs &&
            mount -t tmpfs -o noexec,nosuid,nodev,size=64m none {at}/tmp && mount -t proc none {at}/proc &&
            mount --rbind /dev {at}/dev &&
            exec chroot {at} setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs --bounding-set=-all \
                env -i --chdir=/config "$@"
        """
        return [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh",
            *variables, f"PAPERTAPE_TOKEN={TOKEN}", *command,
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
        os.kill(self.keeper_pid(), 15)
        return self.process.wait(ENDS_S_MAX), time.monotonic() - began_s

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.end()
