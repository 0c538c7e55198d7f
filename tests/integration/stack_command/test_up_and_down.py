"""`otelbot stack init`, `up` and `down`, also from an installed wheel."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys

import pytest

from tests.integration.stack_command.runner import CHATS, ROOT
from tests.support import TOKEN


class TestInit:
    async def test_writes_everything_and_a_password_that_only_the_owner_reads(self, stack):
        said = await stack.run("init")
        assert "Alerts go nowhere yet" in said
        assert f"otelbot stack up {stack.folder}" in said
        assert stat.S_IMODE((stack.folder / ".env").stat().st_mode) == 0o600
        assert re.fullmatch(r"[A-Za-z0-9_-]{24}", stack.values["GRAFANA_ADMIN_PASSWORD"])
        assert stack.values["GRAFANA_ADMIN_PASSWORD"] not in said
        assert (stack.folder / "docker-compose.yml").read_bytes() == (ROOT / "docker-compose.yml").read_bytes()
        assert stack.receivers() == ["otelbot-nobody"]

    async def test_takes_exported_and_given_variables(self, stack):
        exported = {"ALERT_TELEGRAM_TOKEN": TOKEN, "SMTP_PASSWORD": "it is $5", "HOME_ADDRESS": "x"}
        said = await stack.run(
            "init", "--set", f"ALERT_TELEGRAM_CHATS={CHATS}", "--set", "ALERT_LANGUAGE=fa", env=exported
        )
        assert "Alerts go to: telegram" in said
        assert stack.values["ALERT_TELEGRAM_TOKEN"] == TOKEN
        assert stack.values["ALERT_TELEGRAM_CHATS"] == CHATS
        assert stack.values["SMTP_PASSWORD"] == "it is $5"
        assert "HOME_ADDRESS" not in stack.values
        assert stack.receivers() == ["otelbot-telegram-1", "otelbot-telegram-2"]

    async def test_again_keeps_what_is_the_users_and_renders_channels(self, stack):
        await stack.run("init")
        before = stack.values
        (stack.folder / "loki/loki.yaml").write_text("mine: true\n")
        (stack.folder / "collector-config/extras.yaml").write_text("exporters: {}\n")
        stack.set(ALERT_WEBHOOK_URL="https://example.org/hook")
        said = await stack.run("init")
        assert "loki/loki.yaml: kept, changed by you" in said
        assert (stack.folder / "loki/loki.yaml").read_text() == "mine: true\n"
        assert (stack.folder / "collector-config/extras.yaml").read_text() == "exporters: {}\n"
        assert stack.values == before | {"ALERT_WEBHOOK_URL": "https://example.org/hook"}
        assert stack.receivers() == ["otelbot-webhook"]
        await stack.run("init", "--force")
        assert (stack.folder / "loki/loki.yaml").read_bytes() == (ROOT / "loki/loki.yaml").read_bytes()
        assert (stack.folder / "loki/loki.yaml.old").read_text() == "mine: true\n"
        assert (stack.folder / "collector-config/extras.yaml").read_text() == "exporters: {}\n"

    async def test_says_which_channel_is_not_complete_and_leaves_it_out(self, stack):
        said = await stack.run("init", env={"ALERT_TELEGRAM_TOKEN": TOKEN}, code=1)
        assert "✗ ALERT_TELEGRAM_CHATS is empty though ALERT_TELEGRAM_TOKEN is set" in said
        assert stack.receivers() == ["otelbot-nobody"]

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--set", "COLOUR=red"], "COLOUR is not a variable of the stack"),
            (["--set", "ALERT_MUTE"], "--set takes NAME=VALUE"),
            (["--set", "SMTP_PASSWORD=it's $5"], "SMTP_PASSWORD has a single quote"),
        ],
    )
    async def test_a_setting_that_can_not_be_is_a_sentence(self, stack, words, sentence):
        said = await stack.run("init", *words, code=1)
        assert sentence in said
        assert len(said.strip().splitlines()) == 1

    @pytest.mark.parametrize("name", ["docker-compose.yml", "compose.yaml"])
    async def test_the_folder_of_another_project_is_left_alone(self, stack, name):
        stack.folder.mkdir()
        (stack.folder / name).write_text("services: {}\n")
        said = await stack.run("init", code=1)
        assert "choose another folder" in said
        assert [file.name for file in stack.folder.iterdir()] == [name]

    async def test_a_folder_that_can_not_be_written_is_a_sentence(self, stack):
        stack.folder.parent.joinpath("file").write_text("")
        stack.folder = stack.folder.parent / "file" / "stack"
        said = await stack.run("init", code=1)
        assert "can't be written" in said
        assert len(said.strip().splitlines()) == 1


class TestUpAndDown:
    async def test_renders_starts_waits_and_says_where_grafana_is(self, stack):
        await stack.run("init")
        stack.set(ALERT_TELEGRAM_TOKEN=TOKEN, ALERT_TELEGRAM_CHATS="55")
        said = await stack.run("up", "--profile", "host")
        assert f"compose --project-directory {stack.folder} --profile host up --detach --wait" in stack.docker
        assert f"Grafana: http://localhost:{stack.environ['GRAFANA_PORT']} (user admin, password: " in said
        assert f"GRAFANA_ADMIN_PASSWORD in {stack.folder / '.env'}" in said
        assert stack.values["GRAFANA_ADMIN_PASSWORD"] not in said
        assert stack.receivers() == ["otelbot-telegram-1"]

    async def test_without_a_password_in_env_says_where_it_will_be(self, stack):
        await stack.run("init")
        (stack.folder / ".env").unlink()
        assert "docker compose exec grafana cat /var/lib/grafana/admin-password" in await stack.run("up")

    async def test_within_the_folder_it_need_not_be_named(self, stack):
        await stack.run("init")
        said = await stack.run("up", inside=True)
        assert f"compose --project-directory {stack.folder} up --detach --wait" in stack.docker
        assert "password: GRAFANA_ADMIN_PASSWORD in .env" in said
        await stack.run("down", inside=True)

    async def test_restarts_only_what_reads_a_changed_file(self, stack):
        await stack.run("init")
        await stack.run("up")
        running = {"FAKE_RUNNING": "otel-collector prometheus tempo loki grafana"}
        stack.log.unlink()
        await stack.run("up", env=running)
        assert not [line for line in stack.docker if " restart " in line]
        stack.set(ALERT_WEBHOOK_URL="https://example.org/hook")
        (stack.folder / "collector-config/extras.yaml").write_text("exporters: {}\n")
        await stack.run("up", env=running)
        assert f"compose --project-directory {stack.folder} restart otel-collector grafana" in stack.docker
        await stack.run("up", env=running)
        assert len([line for line in stack.docker if " restart " in line]) == 1

    async def test_after_a_start_that_failed_channels_still_follow_env(self, stack):
        await stack.run("init")
        stack.set(ALERT_WEBHOOK_URL="https://example.org/hook")
        await stack.run("up", env={"FAKE_STATUS": "1"}, code=1)
        stack.set(ALERT_WEBHOOK_URL="", ALERT_TELEGRAM_TOKEN=TOKEN, ALERT_TELEGRAM_CHATS="55")
        await stack.run("up")
        assert stack.receivers() == ["otelbot-telegram-1"]

    async def test_a_contact_point_that_the_user_wrote_is_kept_and_said(self, stack):
        await stack.run("init")
        file = stack.folder / "grafana/provisioning/alerting/contact-points.yaml"
        file.write_text(file.read_text() + "# mine\n")
        stack.set(ALERT_WEBHOOK_URL="https://example.org/hook")
        assert "contact-points.yaml: changed by you" in await stack.run("up")
        assert file.read_text().endswith("# mine\n")

    async def test_a_channel_that_is_not_complete_stops_it_before_anything_starts(self, stack):
        await stack.run("init")
        stack.set(ALERT_TELEGRAM_TOKEN=TOKEN, SMTP_PORT="x", ALERT_EMAIL_TO="a@example.org", SMTP_HOST="mail")
        said = await stack.run("up", code=1)
        assert [line.split()[1] for line in said.strip().splitlines()] == ["ALERT_TELEGRAM_CHATS", "SMTP_PORT='x'"]
        assert not [line for line in stack.docker if " up " in line]

    async def test_a_port_in_use_is_named_with_its_variable_unless_it_is_the_stacks_own(self, stack):
        await stack.run("init")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            said = await stack.run("up", env={"OTLP_HTTP_PORT": str(port)}, code=1)
            assert f"port {port} (OTLP) is in use or not a port: set OTLP_HTTP_PORT" in said
            await stack.run("up", env={"OTLP_HTTP_PORT": str(port), "FAKE_RUNNING": "otel-collector"})

    @pytest.mark.parametrize(
        ("env", "sentence"),
        [
            ({"FAKE_COMPOSE": "2.5.0"}, "Docker Compose 2.5.0 is older than 2.20: update it"),
            ({"FAKE_COMPOSE": "docker-compose"}, "docker has no `compose` command"),
            ({"FAKE_ENGINE": "Cannot connect to the Docker daemon"}, "the Docker Engine does not answer: start it"),
            ({"FAKE_ENGINE": "permission denied while trying to connect"}, "sudo usermod -aG docker"),
            ({"FAKE_STATUS": "1"}, "docker compose up has failed: docker compose logs tells why"),
            ({"PATH": "/nonexistent"}, "docker is not installed"),
            ({"BIND_ADDRESS": "192.0.2.1"}, "in use or not a port"),
        ],
    )
    async def test_what_the_machine_lacks_is_said(self, stack, env, sentence):
        await stack.run("init")
        assert sentence in await stack.run("up", env=env, code=1)

    @pytest.mark.parametrize(("profile", "name"), [("postgres", "POSTGRES_MONITOR_PASSWORD"), ("bot", "BOT_TOKEN")])
    async def test_a_profile_without_its_secret(self, stack, profile, name):
        await stack.run("init")
        said = await stack.run("up", "--profile", profile, code=1)
        assert f"{name} is empty, and the profile {profile} needs it" in said
        stack.set(**{name: "x"})
        await stack.run("up", "--profile", profile)

    async def test_a_profile_that_there_is_not(self, stack):
        assert "it is one of postgres, redis, host, bot" in await stack.run("up", "--profile", "mysql", code=1)

    @pytest.mark.parametrize("command", ["up", "down", "test-alert"])
    async def test_a_folder_without_a_stack_is_said(self, stack, command):
        assert f"holds no stack: otelbot stack init {stack.folder}" in await stack.run(command, code=1)

    async def test_down_keeps_the_data_and_ends_every_profile(self, stack):
        await stack.run("init")
        await stack.run("down")
        [line] = [line for line in stack.docker if " down" in line]
        assert "--volumes" not in line
        assert line.count("--profile") == 4

    async def test_down_with_volumes_asks(self, stack):
        await stack.run("init")
        await stack.run("down", "--volumes", answer="n\n", code=1)
        assert not [line for line in stack.docker if " down" in line]
        await stack.run("down", "--volumes", answer="y\n")
        assert stack.docker[-1].endswith("down --volumes")


@pytest.mark.timeout(600)
def test_init_and_check_work_from_an_installed_wheel(stack, tmp_path):
    """In an environment of its own, in a folder that knows nothing of the repository."""

    def run(*command, **options):
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, **options)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path / "wheels"), str(ROOT))
    [wheel] = (tmp_path / "wheels").glob("otelbot-*.whl")
    run(sys.executable, "-m", "venv", "venv")
    run("venv/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install", str(wheel))
    environ = {name: value for name, value in stack.environ.items() if name != "VIRTUAL_ENV"}
    environ["PATH"] = f"{stack.docker_program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    said = run("venv/bin/otelbot", "stack", "init", "stack", env=environ)
    assert "otelbot stack up stack" in said
    assert (tmp_path / "stack/docker-compose.yml").read_bytes() == (ROOT / "docker-compose.yml").read_bytes()
    assert (tmp_path / "stack/.dockerignore").is_file()
    assert (tmp_path / "stack/collector-config/base.yaml").is_file()
    report = json.loads(run("venv/bin/otelbot", "stack", "check", "stack", "--json", env=environ))
    assert report["ok"]
    assert {check["status"] for check in report["checks"]} <= {"ok", "info", "warning"}
