"""Variables that are not about alerts: their forms, by what the services take; and what the machine has to have."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from otelbot.stack import machine, required, settings
from otelbot.stack.files import packaged
from tests.unit.alerts.test_channels import PERSIAN

ROOT = Path(__file__).parents[3]


def faults(folder, **values):
    return [check.name for check in settings.examine(folder, values) if check.status == "failed"]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("PROMETHEUS_RETENTION_TIME", ["30d", "1w12h"], ["0d", "30", "30d".translate(PERSIAN), "month"]),
        ("PROMETHEUS_RETENTION_SIZE", ["4GB", "512MB"], ["0GB", "4G", "4GB".translate(PERSIAN)]),
        ("TEMPO_RETENTION", ["168h", "1h30m"], ["0h", "7d"]),
        ("LOKI_RETENTION", ["168h", "24h", "1440m"], ["0h", "23h", "7d", "168h".translate(PERSIAN)]),
        ("COLLECTOR_QUEUE_BYTES", ["268435456"], ["256MB", "0", "-1", "1_000"]),
        ("COLLECTOR_QUEUE_FILE_BYTES", ["536870912"], ["512m"]),
        ("COLLECTOR_LOG_LEVEL", ["debug", "warn"], ["warning", "INFO!"]),
        ("COLLECTOR_INSTANCE_ID", ["otel-collector"], ["a b"]),
        ("SAMPLING_SLOW_MS", ["1000"], ["1s"]),
        ("SAMPLING_PERCENT", ["10", "0", "0.5", "100"], ["10%", "101", "-1"]),
        ("SAMPLING_TRACES", ["10000"], ["10k"]),
        ("SAMPLING_WAIT", ["30s", "1m30s", "500ms"], ["30", "0s"]),
        ("SAMPLING_WAIT_AFTER_ROOT", ["5s"], ["5 s"]),
        ("REMOTE_OTLP_ENDPOINT", ["https://otlp.example.org/v1"], ["otlp.example.org:4318"]),
        ("REMOTE_OTLP_HEADER", ["X-Api-Key"], ["X Key:"]),
        ("POSTGRES_MONITOR_ENDPOINT", ["postgres:5432", "[::1]:5432"], ["postgres", "postgresql://postgres:5432"]),
        ("POSTGRES_MONITOR_DATABASES", ["[]", "[shop, stats]", "shop,stats"], ["[shop", "{a: b}"]),
        ("POSTGRES_MONITOR_INTERVAL", ["15s"], ["15"]),
        ("REDIS_MONITOR_TLS_INSECURE", ["true"], ["yes"]),
        ("GRAFANA_URL", ["https://grafana.example.org/x"], ["grafana.example.org", "http://"]),
        ("BIND_ADDRESS", ["0.0.0.0", "[::1]"], ["::1", "[127.0.0.1]", "localhost", "[fe80::1%eth0]"]),
        ("GRAFANA_PORT", ["3000", "65535"], ["0", "65536", "70000", "3000".translate(PERSIAN)]),
        ("OTELBOT_VERSION", ["0.1.0", "1.0rc1"], ["newest"]),
        ("COMPOSE_PROFILES", ["host", "redis, host"], ["mysql"]),
    ],
)
def test_forms(tmp_path, name, right, wrong):
    for value in right:
        assert faults(tmp_path, **{name: value}) == [], value
    for value in wrong:
        assert faults(tmp_path, **{name: value}) == [name], value


def test_two_services_can_not_have_one_port(tmp_path):
    assert faults(tmp_path, GRAFANA_PORT="4318") == ["OTLP_HTTP_PORT"]


def test_the_documented_values_have_their_forms(tmp_path):
    (tmp_path / ".env").write_bytes(packaged()[".env.example"])
    assert [check.detail for check in settings.examine(tmp_path, {}) if check.status == "failed"] == []


def test_profiles_are_those_of_the_command_line_and_of_compose():
    assert required.chosen({"COMPOSE_PROFILES": "host, bot"}, ["bot"]) == ["bot", "host"]
    assert set(required.PROFILES) <= set(required.chosen({"COMPOSE_PROFILES": "*"}))


def test_memory_is_that_of_the_services_that_are_started(tmp_path, monkeypatch):
    (tmp_path / "docker-compose.yml").write_bytes((ROOT / "docker-compose.yml").read_bytes())
    base = machine.memory_limits(tmp_path)
    assert 1.8 * 2**30 < base <= 2 * 2**30
    assert machine.memory_limits(tmp_path, ["host", "bot"]) == base + (96 + 128) * 2**20
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": base}))
    assert machine.memory_problem(tmp_path) == ""
    problem = machine.memory_problem(tmp_path, required.PROFILES)
    assert "may take 2.3 GB" in problem
    assert "lower their mem_limit in docker-compose.override.yml" in problem
    override = "services: {bot: {mem_limit: 1k}, grafana: {mem_limit: 128m}}"
    (tmp_path / "docker-compose.override.yml").write_text(override)
    assert machine.memory_problem(tmp_path, required.PROFILES) == ""


@pytest.mark.parametrize("text", ["", "[]", "services: 5", "a: ["])
def test_memory_where_the_compose_file_is_broken(tmp_path, text):
    (tmp_path / "docker-compose.yml").write_text(text)
    assert machine.memory_limits(tmp_path) == machine.LEAST_MEMORY


@pytest.fixture
def docker(tmp_path):
    def answer(script):
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return answer


def test_a_docker_that_hangs_has_its_own_sentence(docker, monkeypatch):
    monkeypatch.setattr(machine, "PATIENCE", 0.2)
    environ = docker("exec sleep 60")
    for ask in (machine.compose_version, machine.engine_version):
        with pytest.raises(machine.MachineError, match=r"^docker gives no answer within 0\.2 seconds: "):
            ask(environ)


@pytest.mark.parametrize(("version", "old"), [("19.03.15", True), ("20.9", True), ("20.10.0", False), ("dev", False)])
def test_an_engine_that_is_too_old(docker, version, old):
    environ = docker(f"echo {version}")
    if old:
        with pytest.raises(machine.MachineError, match=rf"^Docker Engine {version} is older than 20\.10: "):
            machine.engine_version(environ)
    else:
        assert machine.engine_version(environ) == version


@pytest.mark.parametrize("said", ["", "[]", "{}", "null", "[5]", '[{"Name": "otelbot"}]', "unknown command"])
def test_what_docker_says_of_projects_may_be_anything(docker, tmp_path, said):
    assert machine.other_folder(tmp_path, "otelbot", docker(f"echo '{said}'")) is None


def test_a_port_that_somebody_has_is_said_with_its_variable():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        found = {variable: problem for variable, *_, problem in machine.ports({"GRAFANA_PORT": port})}
    assert "set GRAFANA_PORT to another" in found["GRAFANA_PORT"]
