"""Children that run these sources."""

from __future__ import annotations

import asyncio
import sys

import pytest

from papertape.engine.child_processes import kill


def test_a_child_that_has_just_ended_can_be_killed() -> None:
    async def end_and_kill() -> int | None:
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await child.communicate()
        with pytest.raises(ProcessLookupError):
            child.kill()
        kill(child)
        return child.returncode

    assert asyncio.run(end_and_kill()) == 0
