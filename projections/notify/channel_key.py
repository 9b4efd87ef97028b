"""The random key beside a log with which the cursors of its channels are named, so that no name gives a URL away."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from papertape.events.durable import rename_durably
from papertape.events.errors import LogError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".cursors.key"
KEY_BYTES: Final = 32
OWNER_ONLY: Final = 0o600


def read_key(path: Path) -> bytes:
    """Return the key, made now if there is none; only the owner may read its file. Raise LogError."""
    try:
        found = path.read_bytes() if path.exists() else b""
        if len(found) == KEY_BYTES:
            with suppress(OSError):  # Some file systems have no modes.
                path.chmod(OWNER_ONLY)
            return found
        key = secrets.token_bytes(KEY_BYTES)
        write_key(path, key)
    except OSError as error:
        raise LogError(f"{path} cannot be used as the key of the channels: {error.strerror}") from error
    return key


def write_key(path: Path, key: bytes) -> None:
    """Write the file of a key, complete or not at all. Raise OSError."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
        file.write(key)
    rename_durably(temporary, path)
