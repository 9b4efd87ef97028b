"""Clients that others generate from the description: they are generated, compiled, and used on the real application."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.events.loop import in_loop
from tests.support import REPOSITORY
from tests.web.site import TOKEN, served
from tests.web.test_commands import trading

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.generated
TOOLS = REPOSITORY / "build" / "clients"
OPTIONAL = "--default-non-nullable=false"
"""A field with a default need not be given."""
SOURCES = REPOSITORY / "tests" / "client" / "generated"


def run(folder: Path, *command: str | Path) -> str:
    """Run a program in a folder; return its output. Fail with its errors."""
    environment = {**os.environ, "PATH": f"{TOOLS / 'python' / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_client(folder: Path) -> list[str | Path]:
    run(
        folder, "openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none",
        "--output-path", "papertape_client", "--fail-on-warning",
    )  # fmt: skip
    run(folder, TOOLS / "python" / "bin" / "python", "-W", "error", "-m", "compileall", "-q", "papertape_client")
    shutil.copy(SOURCES / "use_client.py", folder)
    return [TOOLS / "python" / "bin" / "python", "use_client.py"]


def typescript_client(folder: Path) -> list[str | Path]:
    for name in ("package.json", "use.ts", "tsconfig.json"):
        shutil.copy(SOURCES / name, folder)
    modules = TOOLS / "typescript" / "node_modules"
    (folder / "node_modules").symlink_to(modules)
    run(folder, modules / ".bin" / "openapi-typescript", "openapi.json", "--output", "schema.d.ts", OPTIONAL)
    run(folder, modules / ".bin" / "tsc", "--project", ".")
    return ["node", "use.js"]


@pytest.mark.parametrize("generate", [python_client, typescript_client])
@in_loop
async def test_a_generated_client_asks_and_commands(generate: Any, tmp_path: Path) -> None:
    site, scenario = trading()
    head = len(scenario.log)
    async with served(site) as address:
        async with httpx.AsyncClient() as client:
            described = await client.get(f"http://{address}/openapi.json")
        (tmp_path / "openapi.json").write_bytes(described.content)
        program = await asyncio.to_thread(generate, tmp_path)
        told = json.loads(await asyncio.to_thread(run, tmp_path, *program, f"http://{address}", TOKEN))
    assert told == {
        "strategies": list(site.timeline.views.strategies),
        "problem": "urn:papertape:problem:unknown-name",
        "first_seq": head + 1,
    }
