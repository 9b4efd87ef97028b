"""Ten thousand wrong tokens, and their effect on the engine: from a minute's facts to their commit."""

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
    """Seconds of every boundary without and with guessing; the guesser's responses and duration."""

    idle: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    counted: int = 0


@contextmanager
def guesser(host: str, port: int, count: int, impact: TokenGuessImpact) -> Iterator[None]:
    """Guess for the duration of the block, at least `count` times."""
    command = [sys.executable, "-m", "benchmarks.programs.token_guesser", host, str(port), str(count)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        begun_s = time.perf_counter()
        yield
        process.stdin.close()
        impact.answered.update(json.loads(process.stdout.readline()))
        impact.took_s += time.perf_counter() - begun_s


async def measure_guessing(db: Path, tokens: int, count: int, rounds: int) -> TokenGuessImpact:
    """Alternate between boundaries without and with guessing."""
    impact = TokenGuessImpact()
    async with warmed_up(db) as (loop, log, market):
        with page_of(db) as (host, port):
            await up(host, port, log.head.seq)
            for _ in range(rounds):
                await boundaries(loop, market, count, impact.idle, BOUNDARY_EVERY_S)
                with guesser(host, port, tokens, impact):
                    await boundaries(loop, market, count, impact.attacked, BOUNDARY_EVERY_S)
            impact.counted = (await up(host, port, log.head.seq))["web"]["wrong_tokens"]
    return impact


def token_guessing(bench: Bench) -> Result:
    """Measure an engine in this process, with the page and the guesser in two others."""
    guesses, rounds = bench.choose(QUICK_TOKENS, TOKENS), bench.choose(1, 3)
    title = f"{guesses:,} wrong tokens per round: fact to commit, {SYMBOLS} symbols at a minute's boundary"
    result = Result("guessing", title)
    impact = asyncio.run(measure_guessing(bench.folder / "tokens.db", guesses, bench.choose(20, 80), rounds))
    for percent in (50.0, 99.0):
        idle, attacked = percentile(impact.idle, percent), percentile(impact.attacked, percent)
        limit = TIMES_IDLE_MAX * idle
        result.add(f"without guessing, p{percent:g}", milliseconds(idle))
        goal = f"<= {TIMES_IDLE_MAX:g}x, {milliseconds(limit)}"
        result.add(f"during guessing, p{percent:g}", milliseconds(attacked), goal, attacked <= limit)
    other = sum(times for status, times in impact.answered.items() if status not in REFUSED)
    statuses = ", ".join(f"{times:,} with {status}" for status, times in sorted(impact.answered.items()))
    result.add("refused", statuses, "all, 401 or 429", other == 0 and impact.answered.total() >= guesses * rounds)
    counted = impact.answered.total()
    result.add("counted by the page", f"{impact.counted:,}", f"{counted:,}", impact.counted == counted)
    rate = counted / impact.took_s
    result.notes.append(
        f"{len(impact.idle):,} boundaries each way, alternating, one every {BOUNDARY_EVERY_S:g} s, which is "
        f"{60 / BOUNDARY_EVERY_S:,.0f} times a live market's pace; {rate:,.0f} guesses per second, as fast as "
        "the answers come: bearer tokens for pages, views and commands, and logins. Engine, page and guesser share "
        "the cores."
    )
    return result
