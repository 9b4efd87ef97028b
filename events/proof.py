"""How far a log is proven: which rows were read back and held. A small file beside the log, `<log>.proof`.

It is worth nothing for another log or another copy of it: it names the file's inode and the hashes of the rows that
it speaks of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from events.durable import write_durably
from events.log import GENESIS_HASH, Head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from events.errors import LogDamaged
    from events.log import Commit

SUFFIX = ".proof"
FILE_BYTES_MAX = 100_000


class Damage(Struct, frozen=True):
    """What does not hold: the seq and the reason, and the last good row before it."""

    seq: int
    reason: str
    after: Head


class Proof(Struct, frozen=True):
    """What was read back and held.

    Every row up to `proven` was read at least once; `proven_at_ms` is when the reading last reached the end of the log,
    0 before it did. `again` is how far the round under way has read the proven rows once more, None between two rounds;
    `life` and `round_began_at_ms` say for which run of the engine and when that round, or the last one, began.
    """

    inode: int
    proven: Head = Head()
    proven_at_ms: int = 0
    again: Head | None = None
    life: str = ""
    round_began_at_ms: int = 0
    damage: Damage | None = None


class Rows(Protocol):
    """The part of a log reader that is needed here."""

    def hash_at(self, seq: int) -> bytes | None:
        """The stored hash of the row whose last event is `seq`; None when no row ends there."""

    def commits(self, after_seq: int = 0) -> Iterator[Commit]:
        """All rows beyond `after_seq`, each checked against the chain. Raises LogDamaged."""


def proof_path(log_path: Path) -> Path:
    """Return where the proof of this log is kept."""
    return log_path.with_name(log_path.name + SUFFIX)


def read_proof(log_path: Path) -> Proof | None:
    """Return the proof of the file at `log_path`; None where there is none, or one of another file."""
    try:
        with proof_path(log_path).open("rb") as file:
            found = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Proof)
        return found if found.inode == log_path.stat().st_ino else None
    except (OSError, msgspec.MsgspecError):
        return None


def write_proof(log_path: Path, proof: Proof) -> None:
    """Keep the proof durably. Raises OSError."""
    write_durably(proof_path(log_path), msgspec.json.encode(proof))


def holds(rows: Rows, head: Head) -> bool:
    """Return whether the log has this row; the beginning of a log is in every log. Raises LogError."""
    return head.seq == 0 or rows.hash_at(head.seq) == head.hash


def note_damage(log_path: Path, rows: Rows, found: LogDamaged) -> None:
    """Keep what somebody else found, so that the next start finds it at once. Raises LogError, OSError."""
    row_hash = rows.hash_at(found.seq - 1) if found.seq > 1 else GENESIS_HASH
    if row_hash is None:
        return  # The row before is damaged too: whoever reads it finds that.
    known = read_proof(log_path) or Proof(log_path.stat().st_ino)
    damage = Damage(found.seq, found.reason, Head(found.seq - 1, row_hash))
    write_proof(log_path, replace(known, damage=damage))


def check_known_damage(log_path: Path, rows: Rows) -> None:
    """Read the row again that a proof found damaged. Raises LogDamaged where it still does not hold."""
    proof = read_proof(log_path)
    if proof is None or proof.damage is None or not holds(rows, proof.damage.after):
        return
    next(rows.commits(proof.damage.after.seq), None)
