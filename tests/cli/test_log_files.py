"""The programs' own logging: on stderr for people or machines, in rotating files, with the seq, without tokens."""

from __future__ import annotations

import json
import logging
import re
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import pytest

from papertape.cli.config.log_sections import LevelsSection, LogsSection
from papertape.cli.service.log_files import QUEUE_RECORDS_MAX, BoundedQueueHandler, logs
from tests.cli.test_process_supervisor import wait_for
from tests.engine.processes import ok, papertape

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
SIM = ("run", "--feed", "sim", "--set", "feed.sim.days=1", "--speed", "200000", "--until-end", "--db", "log.db")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def said(folder: Path, settings: LogsSection, *records: tuple[str, int, str]) -> list[dict[str, Any]]:
    with logs(settings, folder, "engine", lambda: 42):
        for name, level, text in records:
            logging.getLogger(name).log(level, text)
    return lines(folder / "engine.log")


def test_a_record_is_one_object_with_its_seq(tmp_path: Path) -> None:
    [found] = said(tmp_path, LogsSection(), ("papertape.engine", logging.INFO, "two\nlines"))
    time = found.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert found == {"level": "info", "logger": "papertape.engine", "message": "two\nlines", "seq": 42}


def test_no_record_leaves_with_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"https://example.org/bot{TOKEN}/sendMessage"
    with logs(LogsSection(), tmp_path, "engine", lambda: 0):
        logging.getLogger("papertape.chat").warning("asked %s", url)
        try:
            int(url)
        except ValueError:
            logging.getLogger("papertape.chat").exception("failed")
    everything = (tmp_path / "engine.log").read_text() + capsys.readouterr().err
    assert "failed" in everything
    assert TOKEN.partition(":")[2] not in everything


def test_levels_are_by_module_and_libraries_are_quiet(tmp_path: Path) -> None:
    settings = LogsSection(levels=LevelsSection(engine="warning", feed="debug"))
    found = said(
        tmp_path,
        settings,
        ("papertape.engine", logging.INFO, "left out"),
        ("papertape.feed", logging.DEBUG, "kept"),
        ("httpx", logging.INFO, "an address"),
        ("httpx", logging.ERROR, "an error"),
    )
    assert [one["message"] for one in found] == ["kept", "an error"]


def test_files_rotate_and_only_so_many_are_kept(tmp_path: Path) -> None:
    settings = LogsSection(file_bytes_max=10_000, files_kept=2)
    said(tmp_path, settings, *[("papertape.engine", logging.INFO, "x" * 500)] * 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(path.stat().st_size <= 10_000 for path in tmp_path.iterdir())


def test_a_folder_that_is_deleted_meanwhile_is_made_anew_and_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logs(LogsSection(), tmp_path / "logs", "engine", lambda: 0):
        rmtree(tmp_path / "logs")
        for number in range(100):
            logging.getLogger("papertape.engine").info("%d %s", number, "x" * 500)
        wait_for((tmp_path / "logs" / "engine.log").exists)
    assert '"message":"99 xxx' in (tmp_path / "logs" / "engine.log").read_text()
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("warning: ")
    assert told.endswith("engine.log cannot be written, so lines are lost")


def test_a_file_that_is_deleted_meanwhile_is_made_anew_and_no_line_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logs(LogsSection(), tmp_path, "engine", lambda: 0):
        (tmp_path / "engine.log").unlink()
        logging.getLogger("papertape.engine").info("the next line")
    assert '"message":"the next line"' in (tmp_path / "engine.log").read_text()
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_one_warning_and_not_one_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "engine.log").symlink_to("/dev/full")
    with logs(LogsSection(), tmp_path, "engine", lambda: 0):
        for number in range(5):
            logging.getLogger("papertape.engine").info("line %d", number)
        [bounded] = [one for one in logging.getLogger().handlers if isinstance(one, BoundedQueueHandler)]
        wait_for(bounded.waiting.empty)
    [told] = capsys.readouterr().err.splitlines()
    assert told.endswith("engine.log cannot be written, so lines are lost")


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file")
    with logs(LogsSection(), tmp_path / "logs", "engine", lambda: 0):
        logging.getLogger("papertape.engine").warning("goes on")
    told = capsys.readouterr().err
    assert "no log files in" in told
    assert "warning: goes on" in told


def test_json_on_stderr_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logs(LogsSection(format="json"), None, "engine", lambda: 7):
        logging.getLogger("papertape.feed").warning("odd")
        logging.getLogger("papertape.feed").info("no warning, so in the files only")
    [found] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (found["message"], found["seq"]) == ("odd", 7)


def test_what_the_disk_is_too_slow_for_is_counted_and_said() -> None:
    bounded = BoundedQueueHandler()
    for _ in range(QUEUE_RECORDS_MAX + 3):
        bounded.handle(logging.makeLogRecord({"msg": "much"}))
    assert bounded.lost == 3
    while not bounded.waiting.empty():
        bounded.waiting.get()
    bounded.handle(logging.makeLogRecord({"msg": "again"}))
    assert [bounded.waiting.get().getMessage() for _ in range(2)] == [
        "3 lines were lost because the disk was too slow",
        "again",
    ]


def test_a_run_keeps_every_event_of_interest_with_its_own_seq(tmp_path: Path) -> None:
    ok(tmp_path, *SIM, "--json")
    log = {
        row["seq"]: row
        for row in map(json.loads, ok(tmp_path, "log", "--db", "log.db", "--json", "--limit", "1000000").splitlines())
    }
    kept = [one for one in lines(tmp_path / "logs" / "engine.log") if one["logger"] == "papertape.events"]
    assert len(kept) > 20
    assert kept[0]["message"].startswith("engine ")
    assert [one["seq"] for one in kept] == sorted({one["seq"] for one in kept})
    opened = [one for one in kept if log[one["seq"]]["type"] == "PositionOpened"]
    assert opened


def test_an_engine_that_ends_by_a_fault_says_so_in_its_file(tmp_path: Path) -> None:
    ok(tmp_path, *SIM, "--json")
    done = papertape(tmp_path, *SIM, "--set", "risk.capital_usdt=77")
    assert done.returncode == 4
    assert "ConfigError" in lines(tmp_path / "logs" / "engine.log")[-1]["trace"]
    assert done.stderr.count("capital") == 1


def test_a_rehearsal_keeps_no_files(tmp_path: Path) -> None:
    ok(tmp_path, *SIM[:5], "--speed", "max", *SIM[7:], "--json")
    assert not (tmp_path / "logs").exists()
