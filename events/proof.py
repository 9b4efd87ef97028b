"""Record how much of a log is proven, that is, read back and found intact, in `<log>.proof` beside the log.

A proof is void for another log or another copy: it contains the file's inode and the hashes of the rows it refers to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from papertape.events.durable import write_durably
from papertape.events.log import GENESIS_HASH, Head

if TYPE_CHECKING:
    from pathlib import Path

    from papertape.events.errors import LogDamaged
    from papertape.events.log import LogReader

SUFFIX = ".proof"
FILE_BYTES_MAX = 100_000


class Damage(Struct, frozen=True):
    """A damaged row: its seq, the reason, and the last good row before it."""

    seq: int
    reason: str
    after: Head


class Proof(Struct, frozen=True):
    """The rows that were read back and found intact.

    Every row up to `proven` was read at least once; `proven_at_ms` is when reading last reached the end of the log, 0
    if it never did. Every segment up to `sealed` was read at least once. `again` is how far the current round has
    re-read the proven rows, None between two rounds; `life` is the run of the engine in which the current or last round
    began, and `round_began_at_ms` the time of the last one that began with the first event.
    """

    inode: int
    proven: Head = Head()
    proven_at_ms: int = 0
    again: Head | None = None
    life: str = ""
    round_began_at_ms: int = 0
    damage: Damage | None = None
    sealed: Head = Head()


def proof_path(log_path: Path) -> Path:
    """Return the path of this log's proof."""
    return log_path.with_name(log_path.name + SUFFIX)


def read_proof(log_path: Path) -> Proof | None:
    """Return the proof of the file at `log_path`; None if it is missing or belongs to another file."""
    try:
        with proof_path(log_path).open("rb") as file:
            proof = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Proof)
        return proof if proof.inode == log_path.stat().st_ino else None
    except (OSError, msgspec.MsgspecError):
        return None


def write_proof(log_path: Path, proof: Proof) -> None:
    """Write the proof durably. Raise OSError on failure."""
    write_durably(proof_path(log_path), msgspec.json.encode(proof))


def contains_row(reader: LogReader, head: Head) -> bool:
    """Return whether the log contains this row; every log contains the empty head. Raise LogError on failure."""
    return head.seq == 0 or reader.hash_at(head.seq) == head.hash


def record_damage(log_path: Path, reader: LogReader, error: LogDamaged) -> None:
    """Record damage that another reader found, so that the next start checks it first. Raise LogError, OSError."""
    row_hash = reader.hash_at(error.seq - 1) if error.seq > 1 else GENESIS_HASH
    if row_hash is None:
        return  # The row before is damaged too; a reader will find that.
    proof = read_proof(log_path) or Proof(log_path.stat().st_ino)
    damage = Damage(error.seq, error.reason, Head(error.seq - 1, row_hash))
    write_proof(log_path, replace(proof, damage=damage))


def check_known_damage(log_path: Path, reader: LogReader) -> None:
    """Re-read the row that a proof recorded as damaged. Raise LogDamaged if it is still damaged."""
    proof = read_proof(log_path)
    if proof is None or proof.damage is None or not contains_row(reader, proof.damage.after):
        return
    next(reader.commits(proof.damage.after.seq), None)
