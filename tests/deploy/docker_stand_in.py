"""A stand-in for `docker` in PATH: images are source trees with a character, containers are real papertape processes.

Its state is one JSON file (STAND_IN_STATE). An image is made of the commit that is checked out: the file CHARACTER of
that commit says how it behaves. Everything else is done for real: the engine runs, the log is written, backups are
proved.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = Path(os.environ["STAND_IN_STATE"])
SOURCES = os.environ["STAND_IN_SOURCES"]
PORT = os.environ["STAND_IN_PORT"]
HERE = Path.cwd()
SALT = {
    "folds otherwise": "import papertape.cli.offline.refold as r; r.state_digest = lambda state: 'f' * 32; ",
    "decides otherwise": (
        "import papertape.engine.strategies.momentum as m; "
        "m.enter = lambda view, params, answer: setattr(answer, 'stop_fraction', 0.01) or 1; "
    ),
    "knows no decide-diff": (
        "import papertape.cli.commands.table as t; "
        "t.VERBS['Read a log'] = tuple(one for one in t.VERBS['Read a log'] if one.name != 'decide-diff'); "
    ),
    "cannot decide": "import papertape.cli.whatif.decide_again as d; d.new_state = None; ",
}
"""What makes an image of a character another program."""
MAIN = (
    "import sys; from papertape.cli.app import app; sys.argv[0] = 'papertape'; "
    "app(args=sys.argv[1:], prog_name='papertape')"
)


@contextmanager
def state() -> Iterator[dict[str, Any]]:
    """The state, for this call alone."""
    with STATE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(STATE.read_text()) if STATE.exists() else {"tags": {}, "images": {}, "container": None}
        yield known
        STATE.write_text(json.dumps(known))


def environment(character: str) -> dict[str, str]:
    """What a process of an image finds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAPERTAPE_")}
    made = {**kept, "PYTHONPATH": SOURCES}
    if character == "crashes while it replays":
        made["PAPERTAPE_FAILPOINT"] = "during_recovery"
    return made


def is_alive(container: dict[str, Any] | None) -> bool:
    """Whether its process runs."""
    if container is None or not container["pid"]:
        return False
    try:
        return Path(f"/proc/{container['pid']}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def build(arguments: list[str]) -> int:
    tag = arguments[arguments.index("--tag") + 1]
    character = (HERE / "CHARACTER").read_text().strip()
    if character == "cannot be built":
        sys.stderr.write("the build failed\n")
        return 1
    pause("build")
    digest = f"sha256:{hashlib.sha256(f'{tag}{character}'.encode()).hexdigest()}"
    with state() as known:
        known["images"][digest] = character
        known["tags"][tag] = digest
    return 0


def pause(step: str) -> None:
    """Take a while in the step that a test wants to interrupt."""
    if os.environ.get("STAND_IN_SLOW") == step:
        Path(os.environ["STAND_IN_STATE"]).with_suffix(".slow").touch()
        time.sleep(2.0)


def start() -> int:
    pause("up")
    with state() as known:
        if is_alive(known["container"]):
            return 0
        digest = known["tags"]["papertape:current"]
        character = known["images"][digest]
        options = ["--feed", "sim", "--speed", "600", "--db", "data/papertape.db", "--set", "feed.sim.symbols=BTCUSDT"]
        command = [sys.executable, "-P", "-m", "papertape", "up", *options, "--port", PORT, "--json"]
        if character == "ends at once":
            command = [sys.executable, "-c", "print('it does not know this processor'); raise SystemExit(1)"]
        if character == "is never ready":
            command = [sys.executable, "-P", "-m", "papertape", "ui", "--db", "data/papertape.db", "--port", PORT]
        with Path("container.log").open("ab") as out:
            process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment(character),
                start_new_session=True,
            )  # fmt: skip
        identity = f"c{process.pid}"
        known["container"] = {"id": identity, "pid": process.pid, "image": digest}
    return 0


def stop() -> int:
    pause("stop")
    with state() as known:
        container = known["container"]
    if is_alive(container):
        os.kill(container["pid"], signal.SIGTERM)
        deadline = time.monotonic() + 20.0
        while is_alive(container) and time.monotonic() < deadline:
            time.sleep(0.05)
    return 0


def compose(arguments: list[str]) -> int:
    match arguments[0]:
        case "ps":
            with state() as known:
                container = known["container"]
            if container and (is_alive(container) or "--status" not in arguments):
                print(container["id"])
            return 0
        case "exec":
            pause("backup")
            return inside(arguments[arguments.index("papertape", 3) + 1 :], known_character())
        case "stop":
            return stop()
        case "up":
            return start()
        case "logs":
            print(Path("container.log").read_text()[-2_000:])
            return 0
    return 64


def known_character() -> str:
    with state() as known:
        return str(known["images"][known["container"]["image"]])


def inside(arguments: list[str], character: str) -> int:
    """Run a verb as the image would, where /data is the folder data/."""
    if character == "cannot back up" and arguments[0] == "backup":
        sys.stderr.write("error: no backup: No space left on device\n")
        return 1
    data = str(HERE / "data")
    real = [argument.replace("/data/", f"{data}/") for argument in arguments]
    program = SALT.get(character, "") + MAIN
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *real], env=environment(""), capture_output=True, check=False
    )
    sys.stdout.buffer.write(done.stdout.replace(f"{data}/".encode(), b"/data/"))
    sys.stderr.buffer.write(done.stderr)
    return done.returncode


def run(arguments: list[str]) -> int:
    position = next(at for at, argument in enumerate(arguments) if argument.startswith(("papertape:", "sha256:")))
    pause({"refold": "fold", "decide-diff": "decide"}[arguments[position + 1]])
    image = arguments[position]
    with state() as known:
        known["mounted"] = [one for before, one in pairwise(arguments) if before == "--volume"]
        character = known["images"][known["tags"].get(image, image)]
    return inside(arguments[position + 1 :], character)


def main(arguments: list[str]) -> int:
    match arguments[0]:
        case "info":
            return 0
        case "inspect":
            with state() as known:
                print(known["container"]["image"])
            return 0
        case "build":
            return build(arguments)
        case "tag":
            with state() as known:
                known["tags"][arguments[2]] = known["tags"].get(arguments[1], arguments[1])
            return 0
        case "run":
            return run(arguments)
        case "compose":
            return compose(arguments[1:])
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
