"""A day of market in 24 minutes: `python -m tests.soak [MINUTES] [FOLDER]`, or `make soak`.

A stand-in exchange that misbehaves, a Telegram that is dead for a while, ten dashboards, and a kill -9 an hour of
market. Ends with 0 where nothing grew, the log holds the exchange's own candles, each once, and the state that
lived through it all is the one of an engine that is given the same market and is never disturbed.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from papertape.cli.config.overrides import load_config
from papertape.cli.config.sections import strategies_of
from papertape.engine.reducer.snapshot_codec import decode, state_digest
from papertape.engine.startup import snapshot_store
from papertape.engine.strategy_registry import code_digest
from papertape.events.facts import CandleClosed
from papertape.sandbox.bitget.market import SimTwinMarket
from tests.deploy.box import free_port
from tests.engine.logs import recorded
from tests.engine.processes import command, environment, papertape

SPEED = 60
KILL_EVERY_S = 3_600 / SPEED
SAMPLE_EVERY_S = 5.0
DASHBOARDS = 10
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
GROWTH_MAX = 1.20
FILES_GROWTH_MAX = 8
TASKS_GROWTH_MAX = 8
WAL_BYTES_MAX = 64 << 20
MINUTE_MS = 60_000
CLIENT_S_MAX = 30.0


class Sample(NamedTuple):
    """A process at a moment. `tasks` are those of asyncio, 0 in the keeper, which has none."""

    rss_kb: int
    files: int
    threads: int
    tasks: int


def sample(pid: int, tasks: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    rows = [line.split() for line in status.splitlines()]
    found = {row[0].rstrip(":"): row[1] for row in rows if len(row) > 1}
    return Sample(int(found["VmRSS"]), len(list(Path(f"/proc/{pid}/fd").iterdir())), int(found["Threads"]), tasks)


def spawn(stack: ExitStack, *arguments: str, folder: Path, **extra: str) -> subprocess.Popen[str]:
    """A verb as a process that ends with the soak."""
    out = stack.enter_context((folder / f"{arguments[0]}.out").open("a+"))
    process = subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(**extra), stdout=out, stderr=out, text=True
    )
    stack.callback(process.kill)
    return process


def told(folder: Path, name: str, word: str) -> str:
    """The first line of a process with this word in it, as soon as it is there."""
    for _ in range(600):
        lines = [line for line in (folder / f"{name}.out").read_text().splitlines() if word in line]
        if lines:
            return lines[0]
        time.sleep(0.1)
    raise AssertionError(f"{name} never said {word}")


class Soak:
    """Everything that runs, and what was seen of it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.events_seen, self.stopping = [0] * DASHBOARDS, threading.Event()
        self.samples: dict[str, list[Sample]] = {"keeper": [], "engine": [], "page": []}
        self.wal_bytes: list[int] = []
        self.kills = 0
        spawn(stack, "twin", "bitget", "--port", "0", "--speed", str(SPEED), "--faults", "1", folder=folder)
        exchange = [word for word in told(folder, "twin", "feed.bitget.").split() if word.startswith("feed.bitget.")]
        self.chat_port, self.port = free_port(), free_port()
        (folder / "chat").mkdir()
        self.chat = self._chat()
        words = told(folder / "chat", "twin", "TELEGRAM_BOT_TOKEN").split()
        secrets = dict(word.split("=", 1) for word in words if word.startswith("TELEGRAM_"))
        [api] = [word for word in words if word.startswith("telegram.api_url=")]
        sets = [part for one in (*exchange, api, "backup.every_hours=1") for part in ("--set", one)]
        self.keeper = spawn(
            stack, "up", "--feed", "bitget", "--speed", str(SPEED), "--db", "log.db", "--port", str(self.port),
            "--set", f"feed.bitget.symbols={','.join(SYMBOLS)}", "--json", *sets, folder=folder, **secrets,
        )  # fmt: skip
        for number in range(DASHBOARDS):
            threading.Thread(target=self._look, args=(number,), daemon=True).start()

    def _chat(self) -> subprocess.Popen[str]:
        return spawn(self.stack, "twin", "telegram", "--port", str(self.chat_port), folder=self.folder / "chat")

    def _look(self, number: int) -> None:
        """A dashboard: its stream of events, opened anew where it broke."""
        while not self.stopping.is_set():
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/stream", timeout=CLIENT_S_MAX) as stream,
            ):
                for line in stream:
                    self.events_seen[number] += line.startswith(b"data:")
                    if self.stopping.is_set():
                        return
            time.sleep(0.5)

    def _children(self) -> dict[str, int]:
        listed = Path(f"/proc/{self.keeper.pid}/task/{self.keeper.pid}/children").read_text().split()
        found = {"keeper": self.keeper.pid}
        for pid in map(int, listed):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found["engine" if b"run" in words else "page"] = pid
        return found

    def _tasks(self) -> dict[str, int]:
        """How many tasks live in each process, as the page tells Prometheus; none of one that does not answer."""
        found = {"keeper": 0}
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5.0) as said:
            for line in said.read().decode().splitlines():
                match line.split():
                    case ["papertape_engine_tasks", tasks]:
                        found["engine"] = int(float(tasks))
                    case ["papertape_web_tasks", tasks]:
                        found["page"] = int(float(tasks))
        return found

    def look(self) -> None:
        """Measure everything that runs."""
        tasks = self._tasks()
        for name, pid in self._children().items():
            with suppress(OSError, KeyError):
                self.samples[name].append(sample(pid, tasks[name]))
        with suppress(OSError):
            self.wal_bytes.append((self.folder / "log.db-wal").stat().st_size)

    def run(self, seconds: float) -> None:
        """Until the time is over, with a kill an hour of market, and no Telegram in the second quarter."""
        began_s = time.monotonic()
        kill_s, dead, back = began_s + KILL_EVERY_S, began_s + seconds * 0.25, began_s + seconds * 0.4
        while (now_s := time.monotonic()) < began_s + seconds:
            assert self.keeper.poll() is None, "the keeper ended"
            self.look()
            if now_s >= kill_s:
                os.kill(self._children()["engine"], signal.SIGKILL)
                self.kills, kill_s = self.kills + 1, kill_s + KILL_EVERY_S
            if dead <= now_s < back and self.chat.poll() is None:
                self.chat.kill()
                self.chat.wait()
            if now_s >= back and self.chat.poll() is not None:
                self.chat = self._chat()
            time.sleep(SAMPLE_EVERY_S)

    def end(self) -> int:
        """End all of it; the keeper's exit code."""
        self.stopping.set()
        self.keeper.send_signal(signal.SIGTERM)
        return self.keeper.wait(30)


def growth(samples: list[Sample]) -> dict[str, float]:
    """The last quarter beside the second one: medians."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    found: dict[str, float] = {}
    for at, name in enumerate(Sample._fields):
        found[f"{name}_early"] = statistics.median(one[at] for one in early)
        found[f"{name}_late"] = statistics.median(one[at] for one in late)
    return found


def digest_of(candles: list[CandleClosed]) -> str:
    """Of candles in order: time and numbers."""
    shown = [(one.open_time_ms, one.open, one.high, one.low, one.close, one.volume) for one in candles]
    return sha256(json.dumps(shown).encode()).hexdigest()[:16]


def check_log(path: Path) -> list[str]:
    """What is wrong with the candles: a hole, one twice, or another than an undisturbed exchange showed."""
    market, wrong = SimTwinMarket(SYMBOLS), []
    events = [one.event for one in recorded(path)]
    for symbol in SYMBOLS:
        had = [event for event in events if isinstance(event, CandleClosed) and event.symbol == symbol]
        opens = [candle.open_time_ms for candle in had]
        if opens != list(range(opens[0], opens[-1] + 1, MINUTE_MS)):
            wrong.append(f"{symbol}: {len(opens)} candles with holes or out of order")
        true = [market.candle(symbol, at_ms) for at_ms in opens]
        differs = sum(
            row is None or (one.open, one.high, one.low, one.close, one.volume)
            != (row.open, row.high, row.low, row.close, row.volume)
            for one, row in zip(had, true, strict=True)
        )  # fmt: skip
        if differs:
            wrong.append(f"{symbol}: {differs} candles differ from the exchange's")
        print(f"{symbol}: {len(had)} candles, digest {digest_of(had)}")
    return wrong


def check_state(folder: Path) -> list[str]:
    """What is wrong with the state that lived: the market of the log is given to an engine that nothing disturbs.

    It decides everything again from nothing. The state saved at the stop has to be the one it ends in.
    """
    done = papertape(folder, "verify", "--db", "log.db", "--json")
    if done.returncode:
        return [done.stderr]
    undisturbed = json.loads(done.stdout)
    strategies = strategies_of(load_config(None))
    saved = snapshot_store(folder / "log.db", print).newest(code_digest(strategies.values()))
    last = next(iter(saved))
    lived = state_digest(decode(last.state, strategies))
    print(f"seq {last.seq} of {undisturbed['head_seq']}: digest {lived}, undisturbed {undisturbed['digest']}")
    print(f"{undisturbed['decisions']} decisions and {undisturbed['snapshots']} snapshots are the same")
    same = (last.seq, lived) == (undisturbed["head_seq"], undisturbed["digest"])
    return [] if same else ["the state that lived is not the undisturbed one"]


def judged(soak: Soak) -> list[str]:
    """What grew."""
    wrong = []
    for name, samples in soak.samples.items():
        found = growth(samples)
        print(name, json.dumps(found))
        if found["rss_kb_late"] > GROWTH_MAX * found["rss_kb_early"]:
            wrong.append(f"the memory of the {name} grows")
        if found["files_late"] > found["files_early"] + FILES_GROWTH_MAX:
            wrong.append(f"the open files of the {name} grow")
        if found["tasks_late"] > found["tasks_early"] + TASKS_GROWTH_MAX:
            wrong.append(f"the tasks of the {name} grow")
        if found["threads_late"] > found["threads_early"] + FILES_GROWTH_MAX:
            wrong.append(f"the threads of the {name} grow")
    print("kills", soak.kills, "wal_bytes_max", max(soak.wal_bytes, default=0), "events seen", soak.events_seen)
    if max(soak.wal_bytes, default=0) > WAL_BYTES_MAX:
        wrong.append("the WAL grows")
    if not all(soak.events_seen):
        wrong.append("a dashboard saw nothing")
    return wrong


def main(minutes: float, folder: Path) -> int:
    """Run it; 0 where everything held."""
    with ExitStack() as stack:
        soak = Soak(folder, stack)
        soak.run(minutes * 60.0)
        code = soak.end()
    wrong = [*([f"the keeper ended with {code}"] if code else []), *judged(soak), *check_log(folder / "log.db")]
    wrong += check_state(folder)
    print("\n".join(wrong) or "everything held")
    return len(wrong)


if __name__ == "__main__":
    asked = sys.argv[1:]
    where = Path(asked[1]) if len(asked) > 1 else Path(tempfile.mkdtemp(prefix="papertape-soak-"))
    sys.exit(main(float(asked[0]) if asked else 24.0, where))
