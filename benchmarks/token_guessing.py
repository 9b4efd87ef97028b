"""Ten thousand wrong tokens, and what the engine feels of them: from a minute's facts in to their commit done."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field

from benchmarks.measure import ROOT, Bench, Result, milliseconds, percentile
from benchmarks.processes import environment
from benchmarks.web import SYMBOLS, TIMES_IDLE_MAX, boundaries, page_of, up, warmed_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENS, QUICK_TOKENS = 10_000, 1_000
BOUNDARY_EVERY_S = 0.25
REFUSED = ("401", "429")


class TokenGuessImpact(Struct):
    """Seconds of every boundary in peace and under guessing; what the guesser was answered, and for how long."""

    idle: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    remembered: int = 0


@contextmanager
def guesser(host: str, port: int, count: int, felt: TokenGuessImpact) -> Iterator[None]:
    """Somebody guesses while the block lasts, and until it is at least so often."""
    command = [sys.executable, "-m", "benchmarks.token_guesser", host, str(port), str(count)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        begun_s = time.perf_counter()
        yield
        process.stdin.close()
        felt.answered.update(json.loads(process.stdout.readline()))
        felt.took_s += time.perf_counter() - begun_s


async def measure_guessing(db: Path, tokens: int, count: int, rounds: int) -> TokenGuessImpact:
    """Alternate: boundaries in peace, then while somebody guesses."""
    felt = TokenGuessImpact()
    async with warmed_up(db) as (loop, log, market):
        with page_of(db) as (host, port):
            await up(host, port, log.head.seq)
            for _ in range(rounds):
                await boundaries(loop, market, count, felt.idle, BOUNDARY_EVERY_S)
                with guesser(host, port, tokens, felt):
                    await boundaries(loop, market, count, felt.attacked, BOUNDARY_EVERY_S)
            felt.remembered = (await up(host, port, log.head.seq))["web"]["wrong_tokens"]
    return felt


def tokens(bench: Bench) -> Result:
    """An engine in this process, the page in another, the guesser in a third."""
    wanted, rounds = bench.choose(QUICK_TOKENS, TOKENS), bench.choose(1, 3)
    title = f"{wanted:,} wrong tokens a round: fact in to commit done, {SYMBOLS} symbols at a minute's boundary"
    result = Result("tokens", title)
    felt = asyncio.run(measure_guessing(bench.folder / "tokens.db", wanted, bench.choose(20, 80), rounds))
    for percent in (50.0, 99.0):
        idle, attacked = percentile(felt.idle, percent), percentile(felt.attacked, percent)
        limit = TIMES_IDLE_MAX * idle
        result.add(f"in peace, p{percent:g}", milliseconds(idle))
        goal = f"<= {TIMES_IDLE_MAX:g}x, {milliseconds(limit)}"
        result.add(f"while somebody guesses, p{percent:g}", milliseconds(attacked), goal, attacked <= limit)
    others = sum(times for status, times in felt.answered.items() if status not in REFUSED)
    said = ", ".join(f"{times:,} with {status}" for status, times in sorted(felt.answered.items()))
    result.add("refused", said, "all, 401 or 429", others == 0 and felt.answered.total() >= wanted * rounds)
    counted = felt.answered.total()
    result.add("counted by the page", f"{felt.remembered:,}", f"{counted:,}", felt.remembered == counted)
    rate = counted / felt.took_s
    result.notes.append(
        f"{len(felt.idle):,} boundaries each way, alternating, one every {BOUNDARY_EVERY_S:g} s, which is "
        f"{60 / BOUNDARY_EVERY_S:,.0f} times a live market's pace; {rate:,.0f} guesses a second, as fast as they are "
        "answered: bearer tokens for pages, views and commands, and logins. Engine, page and guesser share the cores."
    )
    return result
