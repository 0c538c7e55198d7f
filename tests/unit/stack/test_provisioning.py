"""What Grafana is provisioned from: the committed files, and those rendered for the channels of .env."""

from __future__ import annotations

import copy
from pathlib import Path

import jsonschema
import pytest
import yaml

from otelbot.alerts.channels import settings as channels
from otelbot.alerts.channels.settings import MOST_CHATS
from otelbot.stack import checkfiles, formats, provisioning, templates
from tests.support import KEY
from tests.unit.alerts.test_channels import EMAIL, EVERYTHING, TELEGRAM, WEBHOOK

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "grafana" / "provisioning"


def rendered(values):
    texts = provisioning.render(channels.read(values))
    return {Path(path).stem: yaml.safe_load(text) for path, text in texts.items()}


def receivers(values):
    [point] = rendered(values)["contact-points"]["contactPoints"]
    assert point["name"] == "otelbot"
    return {receiver["uid"]: receiver for receiver in point["receivers"]}


@pytest.mark.parametrize("path", formats.FILES)
def test_committed_files_have_grafanas_format(path):
    jsonschema.validators.validator_for(formats.FILES[path]).check_schema(formats.FILES[path])
    content = yaml.safe_load((FOLDER / path).read_text(encoding="utf-8"))
    assert checkfiles.first_fault(content, formats.FILES[path]) == ""


def test_committed_files_are_those_of_no_channel():
    for path, text in provisioning.render(channels.read({})).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "values",
    [
        {},
        TELEGRAM,
        EMAIL,
        WEBHOOK,
        EVERYTHING | {"ALERT_LANGUAGE": "fa", "ALERT_MUTE": "sat-wed 23:00-07:00, 12:00-13:00"},
        {"ALERT_TELEGRAM_TOKEN": "broken"},
    ],
)
def test_rendered_files_have_grafanas_format_and_no_secret(values):
    texts = provisioning.render(channels.read(values))
    for path, text in texts.items():
        fault = checkfiles.first_fault(yaml.safe_load(text), formats.FILES[path.removeprefix("grafana/provisioning/")])
        assert fault == ""
        for secret in (KEY, "hunter2", "s3cret", "k3y"):
            assert secret not in text


def test_each_chat_is_a_receiver_of_its_own():
    found = receivers(TELEGRAM)
    assert list(found) == ["otelbot-telegram-1", "otelbot-telegram-2"]
    settings = found["otelbot-telegram-1"]["settings"]
    assert settings["bottoken"] == "$ALERT_TELEGRAM_TOKEN"
    assert (settings["chatid"], settings["message_thread_id"]) == ("-1001234567890", "42")
    assert settings["parse_mode"] == "HTML"
    assert settings["message"] == '{{ template "otelbot.telegram" . }}'
    assert "message_thread_id" not in found["otelbot-telegram-2"]["settings"]


def test_the_webhook_is_signed_when_there_is_a_secret():
    assert receivers(WEBHOOK)["otelbot-webhook"]["settings"]["hmacConfig"] == {
        "secret": "$ALERT_WEBHOOK_SECRET",
        "header": "X-Grafana-Alerting-Signature",
        "timestampHeader": "X-Grafana-Alerting-Timestamp",
    }
    assert "hmacConfig" not in receivers({"ALERT_WEBHOOK_URL": "http://x.org"})["otelbot-webhook"]["settings"]


def test_a_dollar_in_an_address_stays_one():
    found = receivers(EMAIL | {"ALERT_EMAIL_TO": "a$b@example.org"})
    assert found["otelbot-email"]["settings"]["addresses"] == "a$$b@example.org"


def test_without_a_channel_grafana_has_a_receiver_that_sends_nowhere():
    assert receivers({})["otelbot-nobody"]["settings"] == {"url": "grafana://noop"}


@pytest.mark.parametrize("values", [{}, TELEGRAM, EMAIL, WEBHOOK, EVERYTHING])
def test_grafana_is_told_to_forget_every_other_receiver(values):
    every = {f"otelbot-telegram-{number}" for number in range(1, MOST_CHATS + 1)}
    every |= {"otelbot-email", "otelbot-webhook", "otelbot-nobody"}
    forgotten = [each["uid"] for each in rendered(values)["contact-points"]["deleteContactPoints"]]
    assert set(forgotten) == every - set(receivers(values))


def test_the_language_chooses_the_templates():
    for receiver in receivers(EVERYTHING | {"ALERT_LANGUAGE": "fa"}).values():
        used = [text for text in receiver["settings"].values() if "template" in str(text)]
        assert used
        assert all(".fa" in text for text in used)
    defined = "".join(group["template"] for group in templates.provisioning()["templates"])
    for language in templates.LANGUAGES:
        for kind in ("telegram", "subject", "plain"):
            assert f'{{{{ define "{templates.name(kind, language)}" -}}}}' in defined


def test_each_severity_has_its_cooldown_and_only_the_mild_ones_are_muted():
    [policy] = rendered({"ALERT_COOLDOWN_ERROR": "10m"})["policies"]["policies"]
    assert policy["group_by"] == ["alertname", "service_name"]
    assert (policy["group_wait"], policy["group_interval"]) == ("10s", "1m")
    routes = {route["object_matchers"][0][2]: route for route in policy["routes"]}
    cooldowns = {severity: route["repeat_interval"] for severity, route in routes.items()}
    assert cooldowns == {"critical": "1m", "error": "10m", "warning": "5m", "info": "1h"}
    muted = {severity for severity, route in routes.items() if "mute_time_intervals" in route}
    assert muted == {"warning", "info"}
    [timing] = rendered({})["mute-times"]["muteTimes"]
    assert routes["info"]["mute_time_intervals"] == [timing["name"]]


def test_data_sources_lead_from_each_signal_to_the_others():
    content = yaml.safe_load((FOLDER / "datasources/datasources.yaml").read_text(encoding="utf-8"))
    sources = {source["uid"]: source for source in content["datasources"]}
    assert set(sources) == {"prometheus", "tempo", "loki"}
    data = {uid: source["jsonData"] for uid, source in sources.items()}
    assert data["prometheus"]["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": "tempo"}]
    assert data["tempo"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert (
        data["tempo"]["tracesToMetrics"]["datasourceUid"]
        == data["tempo"]["serviceMap"]["datasourceUid"]
        == "prometheus"
    )
    assert data["loki"]["derivedFields"][0]["datasourceUid"] == "tempo"


def changed(path, change):
    content = copy.deepcopy(yaml.safe_load((FOLDER / path).read_text(encoding="utf-8")))
    change(content)
    return checkfiles.first_fault(content, formats.FILES[path])


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("datasources/datasources.yaml", lambda c: c["datasources"][0].pop("uid"), "datasources.0 lacks uid"),
        ("datasources/datasources.yaml", lambda c: c.pop("apiVersion"), "the file lacks apiVersion"),
        (
            "dashboards/dashboards.yaml",
            lambda c: c["providers"][0].update(path="x"),
            "has path, which is not one of its keys",
        ),
        ("alerting/rules.yaml", lambda c: c["groups"][0]["rules"][0].pop("execErrState"), "lacks execErrState"),
        (
            "alerting/rules.yaml",
            lambda c: c["groups"][0]["rules"][0].update(keep_firing_for="1m"),
            "has keep_firing_for",
        ),
        ("alerting/policies.yaml", lambda c: c["policies"][0].update(repeat_interval=5), "is not of the type string"),
        (
            "alerting/policies.yaml",
            lambda c: c["policies"][0].update(mute_time_intervals=["x"]),
            "has mute_time_intervals",
        ),
        (
            "alerting/policies.yaml",
            lambda c: c["policies"][0]["routes"][0].update(object_matchers=[["severity", "==", "x"]]),
            "is not one of =, !=, =~, !~",
        ),
        ("alerting/mute-times.yaml", lambda c: c["muteTimes"][0].pop("time_intervals"), "lacks time_intervals"),
        (
            "alerting/templates.yaml",
            lambda c: c["templates"][0].update(template=""),
            "templates.0.template breaks the rule",
        ),
    ],
)
def test_what_grafana_would_stumble_over_is_found(path, change, said):
    assert said in changed(path, change)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("telegram", {"bottoken": "x", "chatid": -100}, "chatid is not of the type string"),
        ("telegram", {"bottoken": "", "chatid": "1"}, "bottoken breaks the rule minLength"),
        ("telegram", {"bottoken": "x", "chatid": "1", "message_thread_id": 4}, "message_thread_id is not of the type"),
        ("email", {"addresses": "a@b.c", "to": "x"}, "has to, which is not one of its keys"),
        ("webhook", {"httpMethod": "POST"}, "lacks url"),
        ("webhook", {"url": "http://x", "hmacConfig": {"header": "x"}}, "hmacConfig lacks secret"),
    ],
)
def test_settings_of_each_kind_of_receiver_are_looked_at(kind, settings, said):
    def change(content):
        content["contactPoints"][0]["receivers"] = [{"uid": "x", "type": kind, "settings": settings}]

    assert said in changed("alerting/contact-points.yaml", change)


def test_a_receiver_of_another_kind_is_the_users_business():
    def change(content):
        content["contactPoints"][0]["receivers"].append({"uid": "x", "type": "slack", "settings": {"url": "$SLACK"}})

    assert changed("alerting/contact-points.yaml", change) == ""
