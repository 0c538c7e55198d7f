"""`otelbot stack init`, `up` and `down`, also from an installed wheel."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys

import pytest

from otelbot import __version__
from tests.integration.stack_command.runner import CHATS, ROOT
from tests.support import TOKEN


class TestInit:
    async def test_writes_everything_and_an_env_that_only_the_owner_reads(self, stack):
        said = await stack.run("init")
        assert "Alerts go nowhere yet" in said
        assert f"otelbot stack up {stack.folder}" in said
        assert stat.S_IMODE((stack.folder / ".env").stat().st_mode) == 0o600
        assert not stack.values.get("GRAFANA_ADMIN_PASSWORD")  # the one that Grafana draws is right everywhere
        assert stack.values["OTELBOT_VERSION"] == __version__
        ignored = (stack.folder / ".gitignore").read_text().splitlines()
        mine = {".env", ".env.*", "!.env.example", ".otelbot-stack.json", "docker-compose.override.yml"}
        assert mine <= set(ignored)
        assert mine <= set((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())
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

    async def test_an_env_that_is_there_takes_the_exported_alerts_that_it_lacks_and_says_so(self, stack):
        await stack.run("init", "--set", "ALERT_LANGUAGE=fa")
        exported = {
            "ALERT_TELEGRAM_TOKEN": TOKEN,
            "ALERT_TELEGRAM_CHATS": "55",
            "ALERT_LANGUAGE": "en",
            "BOT_TOKEN": "x",
        }
        said = await stack.run("init", env=exported)
        assert ".env: took ALERT_TELEGRAM_CHATS, ALERT_TELEGRAM_TOKEN from the environment" in said
        assert stack.values["ALERT_TELEGRAM_TOKEN"] == TOKEN
        assert stack.values["ALERT_LANGUAGE"] == "fa"
        assert "BOT_TOKEN" not in stack.values
        await stack.run("up")
        assert stack.receivers() == ["otelbot-telegram-1"]

    @pytest.mark.parametrize(
        ("user", "sender"), [("a@example.org", "a@example.org"), ("apikey", None), ("a@mail", None)]
    )
    async def test_the_mail_servers_user_is_the_sender_where_it_is_an_address(self, stack, user, sender):
        await stack.run("init", "--set", f"SMTP_USER={user}")
        assert stack.values.get("SMTP_FROM") == sender

    async def test_says_which_channel_is_not_complete_and_leaves_it_out(self, stack):
        said = await stack.run("init", env={"ALERT_TELEGRAM_TOKEN": TOKEN}, code=1)
        assert "✗ ALERT_TELEGRAM_CHATS is empty though ALERT_TELEGRAM_TOKEN is set" in said
        assert stack.receivers() == ["otelbot-nobody"]

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["--set", "COLOUR=red"], "COLOUR is not a variable of the stack"),
            (["--set", "ALERT_MUTE"], "--set takes NAME=VALUE"),
            (["--set", "SMTP_PASSWORD=a\nb"], "SMTP_PASSWORD has a line break"),
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
        read = f"docker compose --project-directory {stack.folder} exec grafana cat /var/lib/grafana/admin-password"
        assert read in said
        assert stack.receivers() == ["otelbot-telegram-1"]

    async def test_a_password_of_the_users_is_said_to_be_in_env(self, stack):
        await stack.run("init", "--set", "GRAFANA_ADMIN_PASSWORD=hunter2")
        said = await stack.run("up")
        assert f"GRAFANA_ADMIN_PASSWORD as it was at the first start, in {stack.folder / '.env'}" in said
        assert "hunter2" not in said

    async def test_commands_for_a_folder_with_a_space_can_be_copied(self, stack):
        stack.folder = stack.home / "my stack"
        quoted = f"'{stack.folder}'"
        assert f"Next: otelbot stack up {quoted}" in await stack.run("init")
        assert f"--project-directory {quoted} exec grafana" in await stack.run("up")
        assert f"ready: otelbot stack up {quoted}" in await stack.run("check")
        assert f"--project-directory {quoted} logs" in await stack.run("up", env={"FAKE_STATUS": "1"}, code=1)

    async def test_the_sender_is_written_also_when_the_user_was_set_later(self, stack):
        await stack.run("init")
        stack.set(SMTP_USER="a@example.org")
        await stack.run("up")
        assert stack.values["SMTP_FROM"] == "a@example.org"
        assert stat.S_IMODE((stack.folder / ".env").stat().st_mode) == 0o600

    async def test_the_example_bot_is_built_anew(self, stack):
        await stack.run("init", "--set", f"BOT_TOKEN={TOKEN}")
        await stack.run("up", "--profile", "bot")
        stack.set(COMPOSE_PROFILES="bot")
        await stack.run("up")
        lines = [line for line in stack.docker if " up " in line]
        assert len(lines) == 2
        assert all("--profile bot" in line and line.endswith("--build") for line in lines)

    @pytest.mark.parametrize("command", ["up", "down"])
    async def test_a_stack_of_this_name_that_runs_from_another_folder_is_left_alone(self, stack, command):
        await stack.run("init")
        other = stack.home / "other folder" / "docker-compose.yml"
        projects = json.dumps([{"Name": "otelbot", "Status": "running(5)", "ConfigFiles": str(other)}])
        await stack.run(command, env={"FAKE_PROJECTS": projects})  # moved: that folder is no more
        other.parent.mkdir()
        other.write_text("services: {}\n")
        stack.log.unlink()
        said = await stack.run(command, env={"FAKE_PROJECTS": projects}, code=1)
        assert f"already runs from {other.parent}" in said
        assert f"otelbot stack down '{other.parent}'" in said
        assert not [line for line in stack.docker if f" {command}" in line]
        mine = projects.replace(str(other), str(stack.folder / "docker-compose.yml"))
        await stack.run(command, env={"FAKE_PROJECTS": mine})

    @pytest.mark.parametrize(
        ("path", "text", "said"),
        [
            (".env", "LOKI_RETENTION=7d\n", "LOKI_RETENTION is not hours such as 168h"),
            (".env", "BIND_ADDRESS=::1\n", "BIND_ADDRESS is an IPv6 address, which needs brackets"),
            (".env", "GRAFANA_ADMIN_PASSWORD=admin\n", "GRAFANA_ADMIN_PASSWORD: everybody knows this one"),
            (".env", "SMTP_FROM=bot@mail\n", "SMTP_FROM='bot@mail' is not a bare e-mail address"),
            (".env", "GRAFANA_URL= # later\n", "GRAFANA_URL has a comment directly after the ="),
            (".env", "COMPOSE_PROFILES=postgres\n", "POSTGRES_MONITOR_PASSWORD is empty, and the profile postgres"),
            (".env", "COLLECTOR_OVERLAYS=--config=/etc/otelcol/no.yaml\n", "no.yaml: missing in collector-config"),
            ("collector-config/extras.yaml", "a: b: c\n", "extras.yaml: line 1 is not YAML"),
            ("docker-compose.yml", "services: {a: {colour: red}}\n", "docker-compose.yml: services.a has colour"),
            ("grafana/provisioning/alerting/policies.yaml", "apiVersion: 2\n", "apiVersion breaks the rule"),
        ],
    )
    async def test_what_check_calls_failed_stops_it_before_anything_starts(self, stack, path, text, said):
        await stack.run("init")
        (stack.folder / path).write_text(text)
        assert said in await stack.run("up", code=1)
        assert not [line for line in stack.docker if " up " in line]

    async def test_within_the_folder_it_need_not_be_named(self, stack):
        await stack.run("init")
        said = await stack.run("up", inside=True)
        assert f"compose --project-directory {stack.folder} up --detach --wait" in stack.docker
        assert "docker compose --project-directory . exec grafana cat" in said
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
            assert f"port {port} (OTLP): in use; set OTLP_HTTP_PORT to another" in said
            await stack.run("up", env={"OTLP_HTTP_PORT": str(port), "FAKE_RUNNING": "otel-collector"})

    @pytest.mark.parametrize(
        ("env", "sentence"),
        [
            ({"FAKE_COMPOSE": "2.5.0"}, "Docker Compose 2.5.0 is older than 2.20: update it"),
            ({"FAKE_COMPOSE": "docker-compose"}, "docker has no `compose` command"),
            ({"FAKE_ENGINE": "Cannot connect to the Docker daemon"}, "the Docker Engine does not answer: start it"),
            ({"FAKE_ENGINE": "permission denied while trying to connect"}, "sudo usermod -aG docker"),
            ({"FAKE_STATUS": "1"}, "docker compose up has failed: docker compose --project-directory"),
            ({"PATH": "/nonexistent"}, "docker is not installed"),
            ({"BIND_ADDRESS": "192.0.2.1"}, "BIND_ADDRESS=192.0.2.1 is not an address of this machine"),
            ({"FAKE_VERSION": "19.03.15"}, "Docker Engine 19.03.15 is older than 20.10: update it"),
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
        stack.set(**{name: TOKEN})
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
    environ["PATH"] = str(tmp_path)  # without Docker: the files may be for another machine
    said = run("venv/bin/otelbot", "stack", "init", "stack", env=environ)
    assert "otelbot stack up stack" in said
    assert (tmp_path / "stack/docker-compose.yml").read_bytes() == (ROOT / "docker-compose.yml").read_bytes()
    assert (tmp_path / "stack/.dockerignore").is_file()
    assert (tmp_path / "stack/collector-config/base.yaml").is_file()
    report = json.loads(run("venv/bin/otelbot", "stack", "check", "stack", "--json", env=environ))
    assert report["ok"]
    assert {check["status"] for check in report["checks"]} <= {"ok", "info", "warning"}
