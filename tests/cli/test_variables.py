"""An invalid variable is refused by name before any file is touched; NO_PROXY is read as far as possible."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from papertape.cli.environment.variables import network_problems, readable_entries
from tests.cli.test_engine_services import chat
from tests.engine.processes import papertape, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.system

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"
BOT = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_CHAT_ID": "1"}
BAD = [
    ({"HEARTBEAT_INTERVAL": "abc"}, "HEARTBEAT_INTERVAL = abc: must be 60 to 86400 s"),
    ({"HEARTBEAT_INTERVAL": "nan"}, "HEARTBEAT_INTERVAL = nan: must be 60 to 86400 s"),
    ({"TELEGRAM_BOT_TOKEN": "abc"}, "TELEGRAM_BOT_TOKEN is not a bot's token"),
    ({"TELEGRAM_BOT_TOKEN_FILE": "nowhere"}, "TELEGRAM_BOT_TOKEN_FILE: nowhere cannot be read: No such file"),
    ({"TELEGRAM_BOT_TOKEN": TOKEN}, "TELEGRAM_BOT_TOKEN is set and TELEGRAM_CHAT_ID is not"),
    ({**BOT, "TELEGRAM_CHAT_ID": "@me"}, "TELEGRAM_CHAT_ID is not a chat id"),
    ({"PAPERTAPE_TOKEN": "short"}, "PAPERTAPE_TOKEN must contain at least 32 random bytes"),
    ({**BOT, "HTTPS_PROXY": "http://user:secret@host:x"}, "HTTPS_PROXY: the proxy's address is not a URL"),
    ({**BOT, "all_proxy": "ftp://host"}, "all_proxy: a proxy address must begin with http://, https:// or socks5://"),
    ({**BOT, "SSL_CERT_FILE": "nowhere.pem"}, "SSL_CERT_FILE = nowhere.pem: No such file or directory"),
]
SIM = ("--feed", "sim", "--db", "log.db", "--set", "logs.folder=logs")


@pytest.mark.parametrize(("variables", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_an_engine_is_refused_before_a_file_is_made(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    done = papertape(tmp_path, "run", *SIM, **variables)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"error: {said}")
    assert "secret" not in done.stderr
    assert "never awaited" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [("up", *SIM, "--port", "0"), ("config", "check")])
def test_every_bad_variable_is_named_at_once(tmp_path: Path, verb: tuple[str, ...]) -> None:
    done = papertape(tmp_path, *verb, HEARTBEAT_INTERVAL="abc", TELEGRAM_BOT_TOKEN="abc", PAPERTAPE_TOKEN="short")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (4, "", [])
    first = [line.removeprefix("error: ").split()[0] for line in done.stderr.splitlines()]
    assert first == ["TELEGRAM_BOT_TOKEN", "HEARTBEAT_INTERVAL", "PAPERTAPE_TOKEN"]


def test_the_doctor_finds_them_too_and_those_in_an_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HEARTBEAT_INTERVAL=5\n", encoding="utf-8")
    done = papertape(tmp_path, "doctor", "--json", TELEGRAM_BOT_TOKEN="abc")
    found = [one for one in json.loads(done.stdout) if one["name"] == "environment"]
    assert done.returncode == 1
    assert [one["level"] for one in found] == ["fail", "fail"]
    assert [one["text"].split()[0] for one in found] == ["TELEGRAM_BOT_TOKEN", "HEARTBEAT_INTERVAL"]
    (tmp_path / ".env").unlink()
    well = json.loads(papertape(tmp_path, "doctor", "--json").stdout)
    assert [one["level"] for one in well if one["name"] == "environment"] == ["ok"]


@pytest.mark.parametrize(
    ("given", "kept", "left_out"),
    [
        ("localhost,127.0.0.1,.example.com,10.0.0.0/8,*", "localhost,127.0.0.1,.example.com,10.0.0.0/8,*", ""),
        ("localhost, fd07:b51a:cc66:f0::/64 ,", "localhost", "fd07:b51a:cc66:f0::/64"),
        ("[::1],fe80::1%eth0", "::1,fe80::1%eth0", ""),
        ("[::1]:8080,host:port,::1/128,http://host", "http://host", "[::1]:8080,host:port,::1/128"),
    ],
)
def test_an_entry_that_cannot_be_read_is_left_out(given: str, kept: str, left_out: str) -> None:
    found = readable_entries(given)
    assert found == (kept.split(","), left_out.split(",") if left_out else [])


def test_a_proxy_that_can_be_used_is_no_problem() -> None:
    good = {"HTTPS_PROXY": "http://user:pass@proxy:3128", "http_proxy": "proxy:3128", "ALL_PROXY": ""}
    assert list(network_problems(good)) == []
    for bad in ("http://", "http://a b", "proxy:99999", "http://[::1"):
        assert len(list(network_problems({"HTTPS_PROXY": bad}))) == 1, bad


def test_alerts_arrive_where_no_proxy_names_an_ipv6_network(tmp_path: Path) -> None:
    with chat(tmp_path) as here:
        arguments = ("run", "--feed", "sim", "--speed", "60", "--db", "log.db", "--set", *here.sets)
        odd = "localhost,127.0.0.1,fd07:b51a:cc66:f0::/64"
        variables = {**here.variables, "NO_PROXY": odd, "HTTPS_PROXY": "http://127.0.0.1:9"}
        with running(tmp_path, *arguments, variables=variables):
            here.until(lambda text: "papertape" in text.partition("\n")[2])
        said = (tmp_path / "stderr.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in said if "NO_PROXY" in line] == [
        (
            "warning: NO_PROXY: ignored entries that cannot be read"
            " (use hosts, domains or addresses): fd07:b51a:cc66:f0::/64"
        )
    ]
