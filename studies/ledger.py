"""The ledger of trials: how many sets of a strategy were ever tried on a market, over all studies, kept or deleted.

The best of many tries looks good by luck; the verdict corrects for the number of tries, so none may be forgotten.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from papertape.events.durable import make_folder
from papertape.events.errors import StudyForeign, StudyWriteFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FORMAT: Final = 1
WAIT_S: Final = 30.0
"""How long one study waits for another that is writing."""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS trial (
    subject INTEGER NOT NULL,    -- the strategy and the symbols, as 64 bits of their digest
    trial INTEGER NOT NULL,      -- the code and the parameters, likewise
    PRIMARY KEY (subject, trial)
) WITHOUT ROWID
"""


class TrialLedger:
    """The file `ledger.db` in the folder of the studies. Several processes may write it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"

    def add(self, strategy: str, code: str, symbols: Iterable[str], sets: Iterable[Mapping[str, int | float]]) -> int:
        """Count sets of parameters that were not tried before, and return how many were tried so far.

        `code` is the digest of the strategy's own source: an edited strategy is another trial, an update of papertape
        is not. The period does not matter: one more day of candles is no fresh start. Raise StudyWriteFailed if the
        ledger cannot be written.
        """
        subject = _short_digest(strategy, sorted(symbols))
        rows = ((subject, _short_digest(code, values)) for values in sets)
        with self._opened() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO trial VALUES (?, ?)", rows)
            return _count(connection, subject)

    def count(self, strategy: str, symbols: Iterable[str]) -> int:
        """Return how many distinct sets of a strategy were ever tried on these symbols."""
        if not self.path.exists():
            return 0
        with self._opened() as connection:
            return _count(connection, _short_digest(strategy, sorted(symbols)))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file, and create it if it is missing. Raise StudyForeign for a newer one, StudyWriteFailed."""
        try:
            make_folder(self.path.parent)
            with closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as connection:
                [version] = connection.execute("PRAGMA user_version").fetchone()
                if version > FORMAT:
                    raise StudyForeign(f"{self.path} has format {version}, this version reads up to {FORMAT}")
                if version == 0:
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StudyWriteFailed(f"{self.path}: the ledger of trials cannot be written or read: {error}") from error


def _count(connection: sqlite3.Connection, subject: int) -> int:
    [count] = connection.execute("SELECT COUNT(*) FROM trial WHERE subject = ?", (subject,)).fetchone()
    return int(count)


def _short_digest(*parts: str | Sequence[str] | Mapping[str, int | float]) -> int:
    """Return 64 bits of a digest: among a million sets, two are counted as one with a chance of 3 in 10^8."""
    content = msgspec.json.encode(parts, order="deterministic")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little", signed=True)
