"""The canary sings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from papertape.sandbox.telegram.twin import TOKEN
from tests.canary import CANARY, Listening, leaks, outputs, sings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_in_a_file_is_found_and_one_that_was_given_is_not(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log.db-wal").write_bytes(b"\x00" * 5_000 + TOKEN.encode() + b"\xff")
    (tmp_path / ".env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}")
    (tmp_path / "empty").touch()
    assert leaks(tmp_path) == [tmp_path / "deep" / "log.db-wal"]
    (tmp_path / "deep" / "log.db-wal").unlink()
    assert leaks(tmp_path) == []


def test_a_token_in_a_record_or_its_exception_is_heard() -> None:
    listening, logger = Listening(), logging.getLogger("tests.canary")
    logger.propagate = False
    logger.addHandler(listening)
    try:
        logger.warning("asked %s", f"https://x/bot{TOKEN}/getMe")
        logger.warning("failed", exc_info=ValueError(CANARY))
        logger.warning("nothing")
    finally:
        logger.removeHandler(listening)
        logger.propagate = True
    assert listening.heard == ["tests.canary WARNING"] * 2


def test_a_token_in_an_output_is_named() -> None:
    assert list(outputs([("Captured stdout call", "fine"), ("Captured stderr call", f"bot{CANARY}")])) == [
        "Captured stderr call"
    ]
    assert not sings("100000001:somebody else's")
