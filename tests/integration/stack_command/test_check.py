"""`otelbot stack check` finds what is wrong before it is started, and says what mends it."""

from __future__ import annotations

import json
import re
import socket

import pytest

from tests.support import TOKEN, tools_folder

CHAT = "ALERT_TELEGRAM_CHATS=55\n"


class TestCheck:
    async def test_a_fresh_stack_has_nothing_to_mend(self, stack):
        await stack.run("init")
        checks = await stack.check()
        assert {status for status, _ in checks.values()} <= {"ok", "info", "warning"}
        assert checks["docker-compose.yml"] == ("ok", "fits the Compose specification")
        assert checks["docker compose config"][0] == "ok"
        assert checks["channels"][0] == "warning"
        assert checks[f"port {stack.environ['GRAFANA_PORT']}"] == ("ok", "Grafana: free")

    async def test_for_people_each_thing_is_a_line(self, stack):
        await stack.run("init")
        said = await stack.run("check")
        assert re.search(r"^✓ +docker-compose.yml +fits the Compose specification", said, re.MULTILINE)
        assert said.strip().endswith(f"ready: otelbot stack up {stack.folder}")

    @pytest.mark.needs("stack")
    async def test_the_collectors_and_prometheus_own_programs_are_asked(self, stack):
        await stack.run("init")
        tools = {"OTELBOT_TOOLS_DIR": str(tools_folder().parent)}
        overlays = "--config=/etc/otelcol/sampling.yaml --config=/etc/otelcol/remote.yaml"
        chosen = {"COLLECTOR_OVERLAYS": overlays, "REMOTE_OTLP_ENDPOINT": "https://otlp.example.org"}
        checks = await stack.check(env=tools | chosen, inside=True)
        assert checks["base"] == ("ok", "base.yaml + sampling.yaml + remote.yaml + extras.yaml is valid")
        assert checks["redis"][0] == checks["host"][0] == checks["prometheus.yaml"][0] == "ok"
        (stack.folder / "collector-config/extras.yaml").write_text("exporters: {otlp_http/tempo: {colour: red}}\n")
        (stack.folder / "prometheus/prometheus.yaml").write_text("scrape_config: []\n")
        checks = await stack.check(env=tools, code=1)
        assert checks["base"][0] == "failed"
        assert "colour" in checks["base"][1]
        assert "scrape_config" in checks["prometheus.yaml"][1]

    async def test_without_a_collector_its_image_is_asked_and_no_secret_is_on_a_command_line(self, stack):
        await stack.run("init")
        stack.set(REDIS_MONITOR_PASSWORD="hunter2")
        checks = await stack.check(env={"FAKE_IMAGE": "0"})
        assert checks["redis"] == ("ok", "receiver.yaml + redis.yaml is valid")
        [line] = [line for line in stack.docker if line.startswith("run ") and "redis.yaml" in line]
        assert "--env REDIS_MONITOR_PASSWORD" in line
        assert "hunter2" not in line
        assert "--pull=never" in line
        assert line.endswith(
            "otel/opentelemetry-collector-contrib:0.158.0 validate"
            " --config=/etc/otelcol/receiver.yaml --config=/etc/otelcol/redis.yaml"
        )

    @pytest.mark.parametrize(
        ("path", "text", "name", "said"),
        [
            ("docker-compose.yml", "services: {a: {colour: red}}", "docker-compose.yml", "services.a has colour"),
            ("compose.yaml", "services: {}", "compose.yaml", "Docker Compose reads it instead"),
            ("docker-compose.yml", "a: b: c", "docker-compose.yml", "line 1 is not YAML"),
            (
                "grafana/provisioning/alerting/policies.yaml",
                "apiVersion: 2\n",
                "alerting/policies.yaml",
                "apiVersion breaks",
            ),
            ("grafana/dashboards/mine.json", "{", "mine.json", "is not a dashboard's JSON"),
            (
                "grafana/dashboards/mine.json",
                '{"uid": "otelbot-overview", "panels": []}',
                "otelbot-overview.json",
                "has the uid of",
            ),
            ("prometheus/prometheus.yaml", "- a\n", "prometheus.yaml", "is not a mapping"),
            (".env", "GRAFANA_ADMIN_PASSWORD=admin\n", "GRAFANA_ADMIN_PASSWORD", "everybody knows this one"),
            (".env", "BOT_TOKEN=hunter2\n", "BOT_TOKEN", "is not a bot's token"),
            (".env", "LOKI_RETENTION=7d\n", "LOKI_RETENTION", "is not hours such as 168h"),
            (".env", "GRAFANA_URL=grafana.example.org\n", "GRAFANA_URL", "is not an http:// or https:// address"),
            (".env", "COLLECTOR_OVERLAYS=sampling.yaml\n", "overlays", "is not --config=/etc/otelcol/NAME.yaml"),
            (".env", "COLLECTOR_OVERLAYS=--config=/etc/otelcol/no.yaml\n", "no.yaml", "mend COLLECTOR_OVERLAYS"),
            (
                ".env",
                "COLLECTOR_OVERLAYS=--config=/etc/otelcol/remote.yaml\n",
                "REMOTE_OTLP_ENDPOINT",
                "COLLECTOR_OVERLAYS with remote.yaml needs it",
            ),
            ("docker-compose.yml", "[]", "docker-compose.yml", "is not of the type object"),
            ("docker-compose.yml", "", "docker-compose.yml", "is not of the type object"),
            (".env", "LOKI_RETENTION= # a week\n", "LOKI_RETENTION", "has a comment directly after the ="),
            (".env", "SMTP_FROM=bot@mail\n", "SMTP_FROM", "is not a bare e-mail address"),
            (".env", "SMTP_PASSWORD=hunter2${\n", ".env", "SMTP_PASSWORD has a ${ that is not understood"),
            (".env", "COMPOSE_PROFILES=postgres\n", "POSTGRES_MONITOR_PASSWORD", "the profile postgres needs it"),
            (".env", "BIND_ADDRESS=::1\n", "BIND_ADDRESS", "needs brackets: write [::1]"),
            (".env", "BIND_ADDRESS=localhost\n", "BIND_ADDRESS", "is not an IP address"),
            (".env", "hunter2\n", ".env", "line 1: it is not NAME=value"),
            (".env", "ALERT_WEBHOOK_SECRET=hunter2\n", "ALERT_WEBHOOK_URL", "ALERT_WEBHOOK_URL is empty"),
        ],
    )
    async def test_what_is_wrong_is_said_with_the_mend_and_without_the_value(self, stack, path, text, name, said):
        await stack.run("init")
        (stack.folder / path).write_text(text)
        checks = await stack.check(code=1)
        status, detail = checks[name]
        assert status == "failed"
        assert said in detail
        assert "hunter2" not in json.dumps(checks)

    @pytest.mark.parametrize(
        ("text", "name", "said"),
        [
            ("SMTP_PASSWORD=pa$word\n", "SMTP_PASSWORD", "put the value into single quotes"),
            ("GRAFANA_PASSWORT=x\n", "GRAFANA_PASSWORT", "is not a variable of the stack"),
            (f"BOT_TOKEN={TOKEN}\nALERT_TELEGRAM_TOKEN={TOKEN}\n{CHAT}", "ALERT_TELEGRAM_TOKEN", "a bot of their own"),
            ("ALERT_PROXY=http://127.0.0.1:3128\n", "ALERT_PROXY", "write host.docker.internal for this machine"),
            ("BIND_ADDRESS=0.0.0.0\n", "BIND_ADDRESS", "put a firewall or a proxy in front"),
        ],
    )
    async def test_what_is_doubtful_is_a_warning(self, stack, text, name, said):
        await stack.run("init")
        (stack.folder / ".env").write_text(text)
        status, detail = (await stack.check())[name]
        assert status == "warning"
        assert said in detail

    async def test_a_file_of_secrets_that_others_can_read_is_a_warning(self, stack):
        await stack.run("init")
        (stack.folder / ".env").chmod(0o644)
        assert "chmod 600" in (await stack.check())[".env"][1]

    async def test_what_compose_itself_refuses_is_said(self, stack):
        await stack.run("init")
        refused = {"FAKE_REFUSED": 'service "bot" has neither an image nor a build context specified'}
        assert refused["FAKE_REFUSED"] in (await stack.check(env=refused, code=1))["docker compose config"][1]

    @pytest.mark.parametrize("text", ["[]", "", "services: {a: {image: x}}", "services: {otel-collector: {}}", "a: ["])
    async def test_a_broken_compose_file_where_docker_answers(self, stack, text):
        await stack.run("init")
        (stack.folder / "docker-compose.yml").write_text(text)
        await stack.run("check", env={"FAKE_IMAGE": "0"}, code=0 if text.startswith("s") else 1)

    async def test_an_image_that_is_not_here_is_not_fetched(self, stack):
        await stack.run("init")
        assert (await stack.check())["configuration"][0] == "info"
        assert "image inspect otel/opentelemetry-collector-contrib:0.158.0" in stack.docker
        assert not [line for line in stack.docker if line.startswith(("run", "pull"))]

    async def test_profiles_are_those_of_the_command_and_of_env_and_composes_own_variables_are_known(self, stack):
        await stack.run("init")
        assert (await stack.check("--profile", "bot", code=1))["BOT_TOKEN"][0] == "failed"
        stack.set(COMPOSE_PROFILES="host", COMPOSE_PROGRESS="plain")
        checks = await stack.check()
        assert not {"COMPOSE_PROFILES", "COMPOSE_PROGRESS"} & set(checks)

    async def test_ports_that_can_not_be_are_faults(self, stack):
        await stack.run("init")
        ports = {"GRAFANA_PORT": "0", "OTLP_GRPC_PORT": "4317", "OTLP_HTTP_PORT": "04317"}
        checks = await stack.check(env=ports, code=1)
        assert "is not a port from 1 to 65535" in checks["GRAFANA_PORT"][1]
        assert "OTLP_HTTP_PORT is the port of OTLP_GRPC_PORT too" in checks["OTLP_HTTP_PORT"][1]

    async def test_an_address_of_another_machine_is_named_and_not_the_ports(self, stack):
        await stack.run("init")
        checks = await stack.check(env={"BIND_ADDRESS": "192.0.2.1"}, code=1)
        detail = checks[f"port {stack.environ['GRAFANA_PORT']}"][1]
        assert "BIND_ADDRESS=192.0.2.1 is not an address of this machine" in detail

    async def test_another_folder_that_runs_under_the_same_name_is_said(self, stack, tmp_path):
        await stack.run("init")
        (tmp_path / "other").mkdir()
        other = tmp_path / "other/docker-compose.yml"
        other.write_text("")
        projects = json.dumps([{"Name": "otelbot", "Status": "running(5)", "ConfigFiles": str(other)}])
        checks = await stack.check(env={"FAKE_PROJECTS": projects}, code=1)
        assert f"already runs from {other.parent}" in checks["project"][1]

    async def test_a_missing_engine_and_a_taken_port_are_said(self, stack):
        await stack.run("init")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            checks = await stack.check(env={"GRAFANA_PORT": port, "FAKE_ENGINE": "no daemon"}, code=1)
        assert checks["docker"][0] == "warning"
        assert "set GRAFANA_PORT to another" in checks[f"port {port}"][1]

    async def test_files_may_be_for_another_machine_with_docker(self, stack):
        await stack.run("init")
        said = await stack.run("check", env={"FAKE_ENGINE": "no daemon"})
        assert f"ready: on a machine with Docker, otelbot stack up {stack.folder}" in said

    async def test_a_folder_without_a_stack(self, stack):
        assert (await stack.check(code=1))["folder"][1].endswith(f"otelbot stack init {stack.folder}")
