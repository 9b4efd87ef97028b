"""compose.yaml against the specification's schema, and each line that hardens it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from papertape.api.hosts import AllowedHosts
from papertape.api.metrics import _Scrape
from papertape.api.streams import Streams
from papertape.engine.backup import list_backups
from tests.cli.test_process_supervisor import wait_for
from tests.engine.processes import environment, ok
from tests.support import REPOSITORY
from tests.web.site import site_of, status
from tools.compose_schema import SCHEMA, fetch

if TYPE_CHECKING:
    from pathlib import Path

KEEPER_ENDS_S = 8
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
MONITORING = REPOSITORY / "deploy" / "monitoring"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    return found


SERVICES: dict[str, Any] = compose()["services"]


def words(service: str) -> list[str]:
    """The command line of a service, as it is without any variable set."""
    return [VARIABLE.sub(r"\2", word) for word in SERVICES[service]["command"]]


def said(option: str) -> list[str]:
    """The names in a setting of the engine's command line."""
    [found] = [word.partition(option)[2] for word in words("papertape") if word.startswith(option)]
    return found.split(",")


def test_it_is_what_the_specification_allows() -> None:
    problem = fetch()
    if problem:
        pytest.skip(f"COMPOSE.YAML IS NOT CHECKED AGAINST THE SPECIFICATION: {problem}")
    document = compose()
    # The published schema is older than the project's name.
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", document.pop("name"))
    schema = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    assert [error.message for error in schema.iter_errors(document)] == []
    document["services"]["papertape"]["read_onyl"] = True
    assert [error.message for error in schema.iter_errors(document)]


def test_the_engine_watches_the_configured_live_market_unless_the_owner_names_another() -> None:
    assert "--feed=live" in words("papertape")
    assert "--feed=${PAPERTAPE_FEED:-live}" in SERVICES["papertape"]["command"]
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert '"--feed", "live"' in dockerfile
    assert SERVICES["papertape"]["build"]["args"]["EXTRAS"] == "${PAPERTAPE_EXTRAS:-}"
    [lock] = re.findall(r"requirements/notify\$\{EXTRAS:\+-\$EXTRAS\}\.lock", dockerfile)
    for extras, present in (("", False), ("exchanges", True)):
        text = (
            REPOSITORY
            / subprocess.check_output(["sh", "-c", f'echo "{lock}"'], env={"EXTRAS": extras}, text=True).strip()
        ).read_text()
        assert "\napprise==" in text
        assert ("\nccxt==" in text) == present


def test_every_variable_has_a_default_and_stands_in_the_example() -> None:
    lines = (REPOSITORY / "compose.yaml").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("$$", "")
    used = VARIABLE.findall(text)
    assert text.count("$") == len(used)
    example = (REPOSITORY / ".env.example").read_text()
    assert not [name for name, _ in used if f"{name}=" not in example and name != "PAPERTAPE_COMMIT"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 128
    # They come back after a reboot, and after any number of failures; `prepare` has done its work once.
    assert service["restart"] == ("no" if name == "prepare" else "unless-stopped")
    assert "privileged" not in service
    assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_READ_SEARCH", "NET_BIND_SERVICE"}
    assert not [one for one in service.get("volumes", []) if "docker.sock" in one]
    assert not [one for one in service.get("environment", {}) if re.search("TOKEN|SECRET|PASSWORD", one)]


def test_the_engine_is_reached_from_this_machine_alone_and_stops_in_peace() -> None:
    service = SERVICES["papertape"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["user"] == "10001:10001"
    assert int(service["stop_grace_period"].removesuffix("s")) > KEEPER_ENDS_S
    assert {VARIABLE.sub(r"\2", volume) for volume in service["volumes"]} == {
        "./data:/data", "./logs:/logs", "./papertape.toml:/config/papertape.toml:ro",
        "./config/strategies:/config/strategies:ro", "./data/archive:/archive",
    }  # fmt: skip
    assert service["secrets"] == [{"source": "settings", "target": "/config/.env"}]
    assert all("noexec,nosuid,nodev" in one for one in service["tmpfs"])


def test_all_of_ours_run_what_deploy_builds_and_tags() -> None:
    ours = {name for name, service in SERVICES.items() if not service["image"].startswith("docker.io/")}
    assert ours == {"prepare", "papertape", "backup"}
    assert {SERVICES[name]["image"] for name in ours} == {"papertape:current"}
    assert 'run docker tag "$1" "$IMAGE:current"' in (REPOSITORY / "deploy.sh").read_text()
    for name in ("prepare", "papertape"):
        assert SERVICES[name]["build"]["target"] == "runtime"
        variables = {
            "COMMIT": "PAPERTAPE_COMMIT:-unknown",
            "EXTRAS": "PAPERTAPE_EXTRAS:-",
            "PYTHON_DIGEST": "PYTHON_DIGEST:-",
            "NODE_DIGEST": "NODE_DIGEST:-",
        }
        assert SERVICES[name]["build"]["args"] == {key: f"${{{value}}}" for key, value in variables.items()}
    assert [name for name in ours if SERVICES[name]["user"] != "10001:10001"] == ["prepare"]
    assert SERVICES["papertape"]["stop_signal"] == "SIGTERM"


def test_who_owns_the_folders_is_mended_before_anything_starts_by_one_that_can_do_nothing_else() -> None:
    prepare = SERVICES["prepare"]
    assert SERVICES["papertape"]["depends_on"] == {"prepare": {"condition": "service_completed_successfully"}}
    assert prepare["entrypoint"] == ["chown", "-R", "10001:10001", "/data", "/logs", "/archive"]
    assert (prepare["user"], prepare["command"], prepare["restart"]) == ("0:0", [], "no")
    assert (prepare["network_mode"], prepare["healthcheck"]) == ("none", {"disable": True})
    assert prepare["cap_add"] == ["CHOWN", "DAC_READ_SEARCH"], "it changes owners in folders that it may not list"
    assert [VARIABLE.sub(r"\2", one) for one in prepare["volumes"]] == [
        "./data:/data", "./logs:/logs", "./data/archive:/archive",
    ]  # fmt: skip


def test_whatever_is_mounted_is_there_and_whatever_is_named_is_mounted() -> None:
    mounted: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            given, inside = VARIABLE.sub(r"\2", volume).split(":")[:2]
            mounted.setdefault(name, set()).add(inside)
            made_here = given.startswith(("./data", "./logs", "./config"))
            assert made_here or given in compose()["volumes"] or (REPOSITORY / given).exists(), volume
    [config] = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    assert config.partition("=")[2] in mounted["prometheus"]
    assert "--storage.tsdb.retention.time=90d" in SERVICES["prometheus"]["command"]
    kept = {"proxy": {"/data", "/config", "/etc/caddy/Caddyfile"}, "prometheus": {"/prometheus"}}
    kept["grafana"] = {"/var/lib/grafana", "/var/lib/grafana/dashboards", "/etc/grafana/provisioning"}
    assert all(folders <= mounted[name] for name, folders in kept.items()), "a read-only system keeps nothing else"


def test_secrets_are_files_of_the_owner() -> None:
    assert compose()["secrets"] == {
        "settings": {"file": "./.env"},
        "metrics_token": {"file": "${PAPERTAPE_METRICS_TOKEN_FILE:-./metrics.token}"},
    }
    assert "depends_on" in SERVICES["grafana"]


def test_the_networks_let_out_who_has_to_and_nobody_else() -> None:
    assert compose()["networks"]["inside"]["internal"] is True
    [part] = compose()["networks"]["inside"]["ipam"]["config"]
    assert ip_address(SERVICES["proxy"]["networks"]["inside"]["ipv4_address"]) in ip_network(part["subnet"])
    on = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    assert {name for name, networks in on.items() if "outside" in networks} == {"papertape", "proxy", "grafana"}
    assert {name for name, networks in on.items() if "inside" in networks} == {
        "papertape", "proxy", "prometheus", "grafana",
    }  # fmt: skip
    assert {name for name, one in SERVICES.items() if one.get("network_mode") == "none"} == {"prepare", "backup"}
    assert SERVICES["proxy"]["ports"] == ["80:80", "443:443"]
    assert SERVICES["proxy"]["cap_add"] == ["NET_BIND_SERVICE"]
    assert SERVICES["proxy"]["environment"] == {"PAPERTAPE_DOMAIN": "${PAPERTAPE_DOMAIN:-localhost}"}
    assert SERVICES["grafana"]["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    for name in ("backup", "proxy"):
        assert SERVICES[name]["depends_on"] == {"papertape": {"condition": "service_healthy"}}


def test_the_backup_profile_copies_at_intervals_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    service = SERVICES["backup"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= KEEPER_ENDS_S
    assert service["healthcheck"]["test"] == ["CMD", "test", "-e", "/tmp/good"]
    assert all("noexec,nosuid,nodev" in one for one in service["tmpfs"])
    (tmp_path / "data").mkdir()
    one_day = ("--set", "feed.sim.days=1", "--set", "feed.sim.symbols=BTCUSDT", "--db", "data/papertape.db", "--json")
    ok(tmp_path, "run", "--feed", "sim", "--speed", "max", "--until-end", *one_day)
    shim = tmp_path / "papertape"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m papertape "$@"\n')
    shim.chmod(0o755)
    [script] = [VARIABLE.sub(r"\2", word).replace("$$", "$") for word in service["command"]]
    assert "pause=86400" in script
    script = script.replace("/tmp/good", str(tmp_path / "good"))
    for inside in ("data", "backups"):
        assert f"/{inside}" in {volume.rpartition(":")[2] for volume in service["volumes"]}
        script = script.replace(f" /{inside}", f" {tmp_path}/{inside}")
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*service["entrypoint"], script.replace("86400", "0.2")], cwd=tmp_path, env=environment(**path)
    )
    try:
        wait_for(lambda: len(list_backups(tmp_path / "backups", "papertape.db")) == 1)
        wait_for(lambda: len(list_backups(tmp_path / "backups", "papertape.db")) > 1)
        assert (tmp_path / "good").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(KEEPER_ENDS_S) == 0, "a shell without a trap would hear nothing as the first process"
    finally:
        process.kill()


def test_it_starts_as_the_image_does() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ")
    [command] = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    own = [word for word in words("papertape") if not word.startswith("--set=web.")]
    assert [part for word in own for part in word.split("=", 1)] == json.loads(command)


def test_profiles_leave_the_engine_alone() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"prepare", "papertape"}
    profiles = {one for service in SERVICES.values() for one in service.get("profiles", [])}
    assert profiles == {"backup", "proxy", "monitoring"}


def test_the_page_takes_the_names_by_which_proxy_and_prometheus_call_it() -> None:
    hosts = AllowedHosts("0.0.0.0", said("--set=web.trusted_hosts="))
    alias = SERVICES["papertape"]["networks"]["inside"]["aliases"][0]
    [scrape] = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"{alias}:8700"]}]
    assert scrape["authorization"]["credentials_file"] == SERVICES["prometheus"]["secrets"][0]["target"]
    caddy = (REPOSITORY / "deploy" / "Caddyfile").read_text()
    assert f"reverse_proxy {alias}:8700" in caddy
    assert "header_up Host" not in caddy, "commands are taken from the pages of the name that was called"
    for name in (f"{alias}:8700", "localhost", "127.0.0.1:8700"):
        assert hosts.allows(name), name
    assert not hosts.allows("rebound.example.org")
    assert said("--set=web.proxies=") == [SERVICES["proxy"]["networks"]["inside"]["ipv4_address"]]


def test_every_metric_of_the_dashboards_is_one_that_the_page_gives() -> None:
    given = set(re.findall(r"^(papertape_[a-z0-9_]+)", asyncio.run(scraped()), re.MULTILINE))
    boards = list((MONITORING / "dashboards").glob("*.json"))
    assert boards
    for board in boards:
        panels = json.loads(board.read_text())["panels"]
        asked = " ".join(target["expr"] for panel in panels for target in panel["targets"])
        named = set(re.findall(r"papertape_[a-z0-9_]+", asked))
        assert len(named) > 10
        assert named <= given | PER_STRATEGY, named - given
        assert {panel["datasource"]["uid"] for panel in panels} == {"prometheus"}


def test_every_metric_of_the_alert_rules_is_one_that_the_page_gives() -> None:
    given = set(re.findall(r"^(papertape_[a-z0-9_]+)", asyncio.run(scraped()), re.MULTILINE)) | PER_STRATEGY
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]:
        named = set(re.findall(r"papertape_[a-z0-9_]+", rule["expr"]))
        assert named <= given, f"{rule['alert']} asks for {named - given}"
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    assert config["rule_files"] == ["alerts.yaml"]
    assert "./deploy/monitoring/alerts.yaml:/etc/prometheus/alerts.yaml:ro" in SERVICES["prometheus"]["volumes"]


def test_prometheus_itself_takes_the_alert_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("PROMETHEUS DOES NOT READ THE ALERT RULES HERE: this machine has no promtool")
    command = [promtool, "check", "rules", str(MONITORING / "alerts.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cluster_is_what_the_specification_allows() -> None:
    problem = fetch()
    if problem:
        pytest.skip(f"THE CLUSTER'S COMPOSE.YAML IS NOT CHECKED AGAINST THE SPECIFICATION: {problem}")
    document = yaml.safe_load((REPOSITORY / "deploy" / "dask" / "compose.yaml").read_text())
    document.pop("name")
    errors = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text())).iter_errors(document)
    assert [error.message for error in errors] == []
    assert {service["build"]["target"] for service in document["services"].values()} == {"study"}


def test_everything_that_the_package_links_to_reaches_the_build_and_is_copied() -> None:
    rooms = {path.resolve().name for path in (REPOSITORY / "papertape").iterdir() if path.is_symlink()}
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    copied = (REPOSITORY / "Dockerfile").read_text().splitlines()
    assert len(rooms) >= 8
    assert not {room for room in rooms if f"!{room}/**" not in ignored or f"COPY {room} {room}" not in copied}


METRICS_TEXT = (REPOSITORY / "api" / "metrics.py").read_text()
PER_STRATEGY = {"papertape_state", *(f"papertape_{name}" for name in re.findall(r'family\("([a-z_]+)"', METRICS_TEXT))}
"""These have no sample where no strategy runs."""


async def scraped() -> str:
    """What Prometheus reads where everything is measured."""
    site = site_of([])
    measured = status(
        commit_p99_ms=1.0, loop_lag_ms=1.0, disk_free_bytes=1, log_bytes=1, oldest_alert_age_s=0.0, backup_age_s=60.0
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(site, Streams(site.timeline, 1), measured, 0))
    return generate_latest(registry).decode()


def compose_of(folder: Path) -> list[str]:
    """The command that reads compose.yaml here; the file lies in `folder` as that command can read it."""
    text = (REPOSITORY / "compose.yaml").read_text()
    docker, older = shutil.which("docker"), shutil.which("docker-compose")
    plugin = [docker or "docker", "compose"]
    (folder / "compose.yaml").write_text(text)
    if docker and subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
        return plugin
    if older is None:
        pytest.skip("DOCKER COMPOSE DOES NOT READ COMPOSE.YAML HERE: this machine has no compose")
    if subprocess.run([older, "version", "--short"], capture_output=True, check=False).stdout.startswith(b"1."):
        named = [line for line in text.splitlines(keepends=True) if not line.startswith("name:")]
        (folder / "compose.yaml").write_text("".join(named))  # It knows all of the specification but a project's name.
    return [older]


def test_docker_itself_takes_it(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    compose = compose_of(tmp_path)
    profiles = [part for name in ("backup", "proxy", "monitoring") for part in ("--profile", name)]
    command = [*compose, *profiles, "config", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
