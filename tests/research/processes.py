"""Python in processes of its own, with an environment that the test chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS_MAX = 240


def begin(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` in the repository."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> Any:
    """What a process printed as JSON."""
    with process:
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, err
    return json.loads(out)


def asked(arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Start, wait, read."""
    return answer(begin(arguments, environment))
