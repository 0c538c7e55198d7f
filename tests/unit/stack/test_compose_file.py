"""docker-compose.yml: what it publishes, what it may take, and that nothing in it has more rights than it needs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from otelbot.alerts.channels import mail
from otelbot.stack import checkfiles, env
from otelbot.stack.commands import _READERS, PROFILES
from otelbot.stack.machine import PORTS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
EXAMPLE_TEXT = (ROOT / ".env.example").read_text(encoding="utf-8")
EXAMPLE = env.examples(EXAMPLE_TEXT)
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?::([-+?])((?:[^${}]|\$\{[^}]*\})*))?\}")
#: Read by `otelbot stack` or by Docker Compose itself.
OURS = re.compile(
    r"ALERT_(TELEGRAM_CHATS|EMAIL_TO|LANGUAGE|MUTE|TIMEZONE|COOLDOWN_[A-Z]+)|TELEGRAM_API_URL|COMPOSE_PROFILES"
)
#: Of the Collector's variables those that only tests and other deployments change.
PLACES = re.compile(
    r"COLLECTOR_(HOST|[A-Z_]*PORT|QUEUE_DIR|QUEUE_MOUNT|MEMORY_MIB|ENDPOINT)|FETCHER_[A-Z_]+|[A-Z]+_OTLP_ENDPOINT"
)


def used(text=TEXT):
    """Return the variables of the file, each with its default."""
    found = {}
    for name, operator, default in VARIABLE.findall(text):
        found.setdefault(name, default if operator == "-" else "")
        found |= used(default) if "${" in default else {}
    return found


def resolved(text, values=None):
    """Return a text of the file with its variables replaced, as Compose does."""

    def put(match):
        name, operator, word = match.groups()
        value = (values or {}).get(name, "")
        if operator == "+":
            return word if value else ""
        return value or resolved(word or "", values)

    return VARIABLE.sub(put, text)


def bytes_of(size):
    return int(size[:-1]) * {"m": 2**20, "g": 2**30}[size[-1]]


def named(condition):
    return [pytest.param(service, id=name) for name, service in SERVICES.items() if condition(name, service)]


def lasting(_name, service):
    return service["restart"] != "no"


def test_it_fits_the_compose_specification():
    assert checkfiles.first_fault(COMPOSE, checkfiles.compose_schema()) == ""


def test_the_schema_and_its_licence_are_the_published_ones():
    check_jsonschema = pytest.importorskip("check_jsonschema", reason="check-jsonschema needs Python 3.11")
    vendor = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    ours = resources.files("otelbot.stack") / "schemas"
    for name, theirs in (
        ("compose-spec.json", vendor / "compose-spec.json"),
        ("LICENSE.compose-spec", vendor / "licenses" / "LICENSE.compose-spec"),
    ):
        assert hashlib.sha256((ours / name).read_bytes()).digest() == hashlib.sha256(theirs.read_bytes()).digest()


def test_every_variable_is_documented_and_every_documented_one_is_used():
    documented = set(EXAMPLE)
    assert set(used()) - documented == set()
    assert {name for name in documented - set(used()) if not OURS.fullmatch(name)} == set()


@pytest.mark.parametrize("name", sorted(set(used()) & set(EXAMPLE)))
def test_the_documented_default_is_the_real_one(name):
    if name in {
        "ALERT_TELEGRAM_TOKEN",
        "ALERT_WEBHOOK_URL",
        "ALERT_WEBHOOK_SECRET",
        "SMTP_FROM",
        "SMTP_HOST",
        "SMTP_USER",
        "GRAFANA_URL",
    }:
        assert EXAMPLE[name] == ""  # placeholders, or made from others
    else:
        assert EXAMPLE[name] == used()[name]


def test_what_is_published_is_grafana_and_otlp_on_this_machine_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert sorted(map(resolved, published)) == [
        "127.0.0.1:3000:3000",
        "127.0.0.1:4317:4317",
        "127.0.0.1:4318:4318",
    ]
    assert {resolved(port, {"BIND_ADDRESS": "10.0.0.5"}).split(":")[0] for port in published} == {"10.0.0.5"}
    assert {name for name, _, _ in PORTS} <= set(used())
    for name, default, _ in PORTS:
        assert used()[name] == default


def test_only_the_monitor_of_the_host_is_in_its_network_and_listens_on_127_0_0_1():
    assert [name for name, service in SERVICES.items() if service.get("network_mode") == "host"] == ["host-monitor"]
    assert SERVICES["host-monitor"]["environment"]["COLLECTOR_HOST"] == "127.0.0.1"


def test_everything_together_fits_into_two_gigabytes():
    limits = {name: bytes_of(service["mem_limit"]) for name, service in SERVICES.items()}
    assert sum(limit for name, limit in limits.items() if "profiles" not in SERVICES[name]) <= 2 * 2**30
    for name, service in SERVICES.items():
        if soft := service.get("environment", {}).get("GOMEMLIMIT"):
            assert int(soft.removesuffix("MiB")) * 2**20 < limits[name]


@pytest.mark.parametrize("service", named(lambda *_: True))
def test_no_service_has_more_rights_than_it_needs(service):
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "privileged" not in service
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("service", named(lasting))
def test_what_lasts_is_restarted_watched_and_not_root(service):
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["user"].partition(":")[0] not in {"", "0", "root"}


def test_the_only_root_runs_once_without_a_network_and_gives_each_volume_to_its_user():
    root = {name: service for name, service in SERVICES.items() if not lasting(name, service)}
    assert list(root) == ["volumes"]
    assert root["volumes"]["network_mode"] == "none"
    assert root["volumes"]["cap_add"] == ["CHOWN"]
    script = root["volumes"]["command"][-1]
    owners = {path: line.split()[1] for line in script.splitlines() if "chown" in line for path in line.split()[2:]}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            if source in COMPOSE["volumes"] and source != "probe" and name != "volumes":
                assert owners[f"/volumes/{source}"] == service["user"], name
                assert service["depends_on"]["volumes"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("service", named(lambda _, service: "build" not in service))
def test_images_are_pinned_by_version_and_can_be_by_digest(service):
    variable = VARIABLE.fullmatch(service["image"])
    assert variable
    assert variable[1].endswith("_IMAGE")
    assert re.search(r":v?\d+\.\d+\.\d+", resolved(service["image"]))


def test_data_is_kept_in_named_volumes():
    homes = {"otel-collector": "/var/lib/otelcol", "prometheus": "/prometheus", "tempo": "/var/tempo", "loki": "/loki"}
    for name, path in (homes | {"grafana": "/var/lib/grafana"}).items():
        [volume] = [volume for volume in SERVICES[name]["volumes"] if volume.endswith(f":{path}")]
        assert volume.partition(":")[0] in COMPOSE["volumes"]
    assert f"path: {homes['tempo']}/blocks" in (ROOT / "tempo/tempo.yaml").read_text(encoding="utf-8")
    assert f"path_prefix: {homes['loki']}\n" in (ROOT / "loki/loki.yaml").read_text(encoding="utf-8")


def test_configuration_is_mounted_read_only_and_exists():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            if isinstance(volume, str) and volume.startswith("./"):
                source, _, mode = volume.split(":")
                assert mode == "ro", name
                assert (ROOT / source).is_dir()


def test_what_is_restarted_for_a_changed_file_are_the_services_that_read_it():
    readers = {
        folder: {
            name
            for name, service in SERVICES.items()
            for volume in service.get("volumes", ())
            if isinstance(volume, str) and volume.startswith(f"./{folder}:")
        }
        for folder in _READERS
    }
    assert readers == {folder: set(services) for folder, services in _READERS.items()}


def test_the_profiles_are_the_commands_profiles():
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", ())} == set(PROFILES)


@pytest.mark.parametrize("name", ["otel-collector", "postgres-monitor", "redis-monitor", "host-monitor"])
def test_a_collector_gets_every_variable_that_its_configuration_asks_for(name):
    files = re.findall(r"--config=/etc/otelcol/(\S+)", resolved(SERVICES[name]["command"]))
    if name == "otel-collector":
        files += ["sampling.yaml", "remote.yaml"]  # the overlays of this one
    asked = set()
    for file in files:
        asked |= set(re.findall(r"\$\{env:([A-Z_]+)", (ROOT / "collector-config" / file).read_text(encoding="utf-8")))
    assert asked
    assert {each for each in asked - set(SERVICES[name]["environment"]) if not PLACES.fullmatch(each)} == set()


def test_overlays_come_between_the_base_and_the_users_own_file():
    overlays = "--config=/etc/otelcol/sampling.yaml --config=/etc/otelcol/remote.yaml"
    words = resolved(SERVICES["otel-collector"]["command"], {"COLLECTOR_OVERLAYS": overlays}).split()
    assert [Path(word).name for word in words] == ["base.yaml", "sampling.yaml", "remote.yaml", "extras.yaml"]


def test_health_checks_ask_where_the_collectors_answer():
    for name, file, variable in (
        ("otel-collector", "base.yaml", "COLLECTOR_HEALTH_PORT"),
        ("redis-monitor", "receiver.yaml", "FETCHER_HEALTH_PORT"),
    ):
        text = (ROOT / "collector-config" / file).read_text(encoding="utf-8")
        port = re.search(rf"{variable}:-(\d+)", text)[1]
        assert SERVICES[name]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/"


def test_prometheus_scrapes_services_that_are_there():
    config = yaml.safe_load((ROOT / "prometheus/prometheus.yaml").read_text(encoding="utf-8"))
    hosts = {job["static_configs"][0]["targets"][0].partition(":")[0] for job in config["scrape_configs"]}
    assert hosts == {"localhost", "otel-collector", "tempo", "loki", "grafana"}
    assert hosts - {"localhost"} <= set(SERVICES)


def test_grafana_asks_nobody_outside_and_lets_nobody_in():
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert settings["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES", "FEEDBACK_LINKS_ENABLED"):
        assert settings[f"GF_ANALYTICS_{name}"] == "false"


def test_e_mail_is_off_without_a_server_and_goes_encrypted_with_one():
    settings = SERVICES["grafana"]["environment"]
    assert resolved(settings["GF_SMTP_ENABLED"]) == ""
    assert resolved(settings["GF_SMTP_ENABLED"], {"SMTP_HOST": "mail"}) == "true"
    assert resolved(settings["GF_SMTP_HOST"], {"SMTP_HOST": "mail"}) == "mail:587"
    assert settings["GF_SMTP_STARTTLS_POLICY"] == "MandatoryStartTLS"


#: pkg/util/validation.go of Grafana, without which it does not start.
_TEXT = r"a-zA-Z\u00A0-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF"
_ATOM = rf"[{_TEXT}0-9!#$%&'*+\-/=?^_`{{|}}~]+"
_LABEL = rf"(?:[{_TEXT}0-9]|[{_TEXT}0-9][{_TEXT}0-9._~-]*[{_TEXT}0-9])"
GRAFANAS_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+([{_TEXT}]|[{_TEXT}][{_TEXT}0-9_~-]*[{_TEXT}])\.?")


@pytest.mark.parametrize("values", [{}, {"SMTP_USER": "apikey"}, {"SMTP_FROM": "", "SMTP_USER": "a@mail"}])
def test_grafana_takes_the_sender_also_where_nobody_sends_mail(values):
    assert not GRAFANAS_ADDRESS.fullmatch("grafana@localhost")
    assert GRAFANAS_ADDRESS.fullmatch(resolved(SERVICES["grafana"]["environment"]["GF_SMTP_FROM_ADDRESS"], values))


@given(st.from_regex(mail._SENDER, fullmatch=True))
def test_a_sender_that_is_let_through_is_one_that_grafana_takes(sender):
    assert GRAFANAS_ADDRESS.fullmatch(sender)


def test_a_proxy_is_for_what_is_outside_only():
    settings = SERVICES["grafana"]["environment"]
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        assert resolved(settings[name]) == ""
        assert resolved(settings[name], {"ALERT_PROXY": "http://proxy:3128"}) == "http://proxy:3128"
    assert {"prometheus", "tempo", "loki", "localhost", "127.0.0.1"} <= set(settings["NO_PROXY"].split(","))


def test_what_writes_to_disk_has_the_time_for_it():
    for name in ("otel-collector", "prometheus", "tempo", "loki"):
        assert 30 <= int(SERVICES[name]["stop_grace_period"].removesuffix("s")) <= 60


def test_what_is_in_memory_has_a_limit():
    for service in SERVICES.values():
        assert all("size=" in each for each in service.get("tmpfs", ()))


def test_the_bots_image_gets_a_certain_otelbot():
    assert SERVICES["bot"]["build"]["args"]["OTELBOT_VERSION"] == "${OTELBOT_VERSION:-}"
    script = (
        (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("\nRUN if")[2].partition("/requirements.txt")[0]
    )
    script = "if" + script.replace("/venv/bin/pip", "echo").replace("\\\n", " ")
    for environ, said in (({"OTELBOT_VERSION": "1.2"}, "otelbot==1.2"), ({}, "otelbot")):
        ended = subprocess.run(["sh", "-ec", script], env=environ, capture_output=True, text=True, check=True)
        assert ended.stdout.splitlines()[0] == f"install {said}"


def test_retention_is_a_setting_of_each_store():
    flags = resolved(" ".join(SERVICES["prometheus"]["command"]), {"PROMETHEUS_RETENTION_TIME": "7d"})
    assert "--storage.tsdb.retention.time=7d" in flags
    assert "--storage.tsdb.retention.size=4GB" in flags
    for name in ("tempo", "loki"):
        text = (ROOT / name / f"{name}.yaml").read_text(encoding="utf-8")
        given = SERVICES[name]["environment"]
        for variable, default in re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", text):
            assert resolved(given[variable]) == default
        assert "-config.expand-env=true" in SERVICES[name]["command"]


class TestGrafanasPassword:
    """The start script under a real sh, with something else in place of Grafana."""

    @pytest.fixture
    def start(self, tmp_path):
        grafana = tmp_path / "run.sh"
        grafana.write_text('#!/bin/sh\nprintf %s "$GF_SECURITY_ADMIN_PASSWORD"\n')
        grafana.chmod(0o755)
        *shell, script = SERVICES["grafana"]["entrypoint"]
        script = script.replace("$$", "$").replace("/run.sh", str(grafana))

        def run(password=""):
            return subprocess.run(
                [*shell, script],
                env={
                    "PATH": os.environ["PATH"],
                    "GF_PATHS_DATA": str(tmp_path),
                    "GF_SECURITY_ADMIN_PASSWORD": password,
                },
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        return run

    def test_is_drawn_at_the_first_start_and_kept(self, start, tmp_path):
        password = start()
        assert re.fullmatch(r"[A-Za-z0-9_-]{24}", password)
        assert start() == password
        file = tmp_path / "admin-password"
        assert file.read_text().strip() == password
        assert file.stat().st_mode & 0o077 == 0

    def test_of_two_installations_differ(self, start, tmp_path):
        password = start()
        (tmp_path / "admin-password").unlink()
        assert start() != password

    def test_from_env_wins_and_is_not_written_anywhere(self, start, tmp_path):
        assert start("it's $mine") == "it's $mine"
        assert not (tmp_path / "admin-password").exists()


def test_the_bots_image_never_holds_secrets_and_does_not_run_as_root():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", ".env.*", ".git"} <= set(ignored)
    assert "!.env.example" in ignored  # the wheel that is built in a clone has it
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"USER {SERVICES['bot']['user']}" in lines
    assert json.loads(lines[-1].removeprefix("CMD ")) == ["otelbot-instrument", "python", "bot.py"]


def test_docker_asks_the_bots_image_for_its_health():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (check,) = [line for line in lines if line.startswith("HEALTHCHECK ")]
    assert json.loads(check.partition(" CMD ")[2]) == ["otelbot", "health"]
    assert any(line.startswith("ENV OTELBOT_HEALTH_PORT=") for line in lines)
