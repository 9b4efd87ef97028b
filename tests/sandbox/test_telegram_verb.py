"""The stand-in of Telegram as a process: it says where it is, prints what comes, and ends when it is told to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from functools import partial

import httpx
import pytest

from papertape.cli.twins.telegram import serve_telegram
from papertape.events.errors import UsageError
from tests.engine.processes import ROOT
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.system

post = partial(httpx.post, timeout=PATIENCE_S)
PROGRAM = "from papertape.cli.twins.telegram import serve_telegram; serve_telegram(0, '127.0.0.1')"


def test_it_prints_what_it_receives_a_line_a_message() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd="/",
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout is not None
        said = program.stdout.readline()
        url, token, chat = re.search(r"at (\S+): TELEGRAM_BOT_TOKEN=(\S+) TELEGRAM_CHAT_ID=(\S+)", said).groups()  # type: ignore[union-attr]
        body = {"chat_id": chat, "text": "<b>one</b>\ntwo", "parse_mode": "HTML"}
        assert post(f"{url}/bot{token}/sendMessage", json=body).json()["ok"]
        assert post(f"{url}/bot{token}/getUpdates").json()["ok"]
        assert not post(f"{url}/bot{token}/sendMessage", json={**body, "text": ""}).json()["ok"]
        with pytest.raises(UsageError, match="cannot be served"):
            serve_telegram(int(url.rpartition(":")[2]), "127.0.0.1")
        program.send_signal(signal.SIGTERM)
        out, errors = program.communicate(timeout=PATIENCE_S)
        assert out.splitlines() == [
            "200 sendMessage <b>one</b> two",
            "400 sendMessage Bad Request: message text is empty",
        ]
        assert (program.returncode, errors) == (0, "")
    finally:
        program.kill()
        program.wait()
