"""The messages of alerts, rendered by Go as Grafana renders them: they say what happened, Telegram takes them, and they
are never cut.
"""

from __future__ import annotations

import copy
import html
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otelbot.stack import templates
from tests.support import tools_folder

pytestmark = pytest.mark.needs("stack")

ROOT = Path(__file__).parents[2]
GROUPS = [
    group["template"]
    for group in yaml.safe_load((ROOT / "grafana/provisioning/alerting/templates.yaml").read_text())["templates"]
]
LIMIT = 4096
URL = "https://grafana.example.org/"


def alert(status="firing", severity="critical", *, labels=None, annotations=None, **fields):
    ended = "2026-01-02T04:04:05Z" if status == "resolved" else "0001-01-01T00:00:00Z"
    return {
        "status": status,
        "labels": {"alertname": "Bot is silent", "severity": severity, "service_name": "shop-bot"} | (labels or {}),
        "annotations": {
            "title_fa": "ربات ساکت است",
            "summary": "No updates for 5 minutes",
            "summary_fa": "پنج دقیقه بدون پیام",
            "description": "Polling has stopped.",
            "description_fa": "دریافت پیام متوقف شده است.",
            "runbook_url": "/d/otelbot-runbooks/runbooks?viewPanel=3",
        }
        if annotations is None
        else annotations,
        "startsAt": "2026-01-02T03:04:05Z",
        "endsAt": ended,
        "silenceURL": f"{URL}alerting/silence/new?alertmanager=grafana&matcher=a%3Db",
        "dashboardURL": f"{URL}d/otelbot-overview?orgId=1",
        "panelURL": f"{URL}d/otelbot-overview?orgId=1&viewPanel=2",
    } | fields


def common(alerts, part):
    first, *others = (each[part] for each in alerts)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def data(*alerts, url=URL):
    return {
        "receiver": "otelbot",
        "status": "firing" if any(each["status"] == "firing" for each in alerts) else "resolved",
        "alerts": list(alerts),
        "commonLabels": common(alerts, "labels"),
        "commonAnnotations": common(alerts, "annotations"),
        "externalURL": url,
    }


def render_all(cases):
    """Return the text of each (kind, language, data)."""
    program = tools_folder() / "grafana-template"
    if not program.exists():
        pytest.fail("grafana-template missing; make stack-tools")
    request = {
        "templates": GROUPS,
        "cases": [{"name": templates.name(kind, language), "data": each} for kind, language, each in cases],
    }
    ended = subprocess.run(
        [str(program)], input=json.dumps(request), capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def render(kind, each, language="en"):
    return render_all([(kind, language, each)])[0]


class Telegram(HTMLParser):
    """Takes what Telegram's HTML mode takes: <b> and <a href>, closed in order, and four named entities."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.open = []
        self.links = {}
        self.text = ""

    def handle_starttag(self, tag, attrs):
        assert (tag, [name for name, _ in attrs]) in [("b", []), ("a", ["href"])]
        self.open.append(tag)
        if tag == "a":
            self.href = attrs[0][1]
            self.begin = len(self.text)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "a":
            self.links.setdefault(self.text[self.begin :], self.href)

    def handle_data(self, data):
        assert "<" not in data
        assert "&" not in data
        self.text += data

    def handle_entityref(self, name):
        assert name in {"lt", "gt", "amp", "quot"}
        self.text += html.unescape(f"&{name};")

    def handle_charref(self, name):
        self.text += html.unescape(f"&#{name};")

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def parsed(message):
    assert len(message.encode("utf-16-le")) // 2 <= LIMIT
    # Everything that looks like a tag is one, and every & begins an entity.
    assert not re.search(r"&(?!(lt|gt|amp|quot|#\d+);)", message)
    telegram = Telegram()
    telegram.feed(message)
    telegram.close()
    assert telegram.open == []
    assert telegram.text.strip()
    return telegram


def test_a_firing_alert_says_what_where_since_when_and_what_to_do():
    telegram = parsed(render("telegram", data(alert())))
    assert telegram.text.startswith("🚨 Bot is silent · shop-bot\nNo updates for 5 minutes\n\nPolling has stopped.\n")
    assert "Since 2026-01-02 03:04 UTC" in telegram.text
    assert telegram.links == {
        "Dashboard": f"{URL}d/otelbot-overview?orgId=1&viewPanel=2",
        "What to do": f"{URL}d/otelbot-runbooks/runbooks?viewPanel=3",
        "Silence": f"{URL}alerting/silence/new?alertmanager=grafana&matcher=a%3Db",
    }


def test_a_resolved_alert_says_how_long_it_was_and_offers_no_silence():
    telegram = parsed(render("telegram", data(alert("resolved"))))
    assert telegram.text.startswith("✅ Bot is silent")
    assert "From 2026-01-02 03:04 to 2026-01-02 04:04 UTC" in telegram.text
    assert set(telegram.links) == {"Dashboard", "What to do"}


@pytest.mark.parametrize(("severity", "mark"), [("critical", "🚨"), ("error", "❌"), ("warning", "⚠️"), ("info", "ℹ️")])
def test_each_severity_has_its_emoji_everywhere(severity, mark):
    for kind in ("telegram", "subject", "plain"):
        for language in templates.LANGUAGES:
            text = render(kind, data(alert(severity=severity)), language)
            assert mark in text
            assert not [other for other in "🚨❌⚠ℹ✅" if other in text and other not in mark]


def test_firing_and_resolved_ones_are_told_apart():
    text = parsed(render("telegram", data(alert(severity="warning"), alert("resolved")))).text
    firing, resolved = text.split("Resolved (1)")
    assert "Firing (1)" in firing
    assert "⚠️ Bot is silent · shop-bot\nNo updates for 5 minutes" in firing
    assert "✅ Bot is silent · shop-bot" in resolved


def test_of_many_ten_are_shown_by_what_differs_and_the_others_counted():
    many = [alert(annotations={"summary": f"Method number {number} fails"}) for number in range(25)]
    telegram = parsed(render("telegram", data(*many)))
    assert telegram.text.startswith("Bot is silent · shop-bot\nFiring (25)\n🚨 Method number 0 fails\n")
    assert len(re.findall("Method number", telegram.text)) == 10
    assert "… and 15 more" in telegram.text
    assert telegram.links == {"All alerts": f"{URL}alerting/list"}


def test_of_many_of_both_kinds_ten_are_shown():
    text = parsed(render("telegram", data(*[alert()] * 8, *[alert("resolved")] * 7))).text
    assert (text.count("🚨"), text.count("✅")) == (5, 5)
    assert "… and 3 more" in text
    assert "… and 2 more" in text


def test_many_of_different_rules_are_named_by_their_rules():
    many = [alert(labels={"alertname": f"Rule {number}"}) for number in range(4)]
    text = parsed(render("telegram", data(*many))).text
    assert "🚨 Rule 0\n🚨 Rule 1\n" in text


def test_without_annotations_and_addresses_there_are_no_empty_links():
    for language in templates.LANGUAGES:
        bare = alert(annotations={}, silenceURL="", dashboardURL="", panelURL="")
        del bare["labels"]["service_name"], bare["labels"]["severity"]
        telegram = parsed(render("telegram", data(bare, url=""), language))
        assert telegram.links == {}
        assert "⚠️ Bot is silent" in telegram.text
        for text in (telegram.text, render("plain", data(bare, url=""), language)):
            assert "no value" not in text
            assert "://" not in text


def test_a_dashboard_is_linked_where_there_is_no_panel_and_a_whole_runbook_address_stays():
    one = alert(panelURL="")
    one["annotations"]["runbook_url"] = "https://wiki.example.org/x?a=1&b=2"
    links = parsed(render("telegram", data(one))).links
    assert links["Dashboard"] == f"{URL}d/otelbot-overview?orgId=1"
    assert links["What to do"] == "https://wiki.example.org/x?a=1&b=2"
    assert "https://wiki.example.org/x?a=1&b=2" in render("plain", data(one))


def test_values_can_not_become_html():
    hostile = '<b>&amp;</i><a href="x">\'"'
    one = alert(
        labels={"alertname": hostile, "service_name": hostile}, annotations={"summary": hostile, "description": hostile}
    )
    for each in (data(one), data(one, one), data(*[one] * 5)):
        for language in templates.LANGUAGES:
            assert hostile in parsed(render("telegram", each, language)).text


def test_persian_messages_are_persian_and_run_from_right_to_left():
    message = render("telegram", data(alert()), "fa")
    telegram = parsed(message)
    assert "ربات ساکت است" in telegram.text
    assert "پنج دقیقه بدون پیام" in telegram.text
    assert "دریافت پیام متوقف شده است." in telegram.text
    assert "Bot is silent" not in telegram.text
    assert set(telegram.links) == {"داشبورد", "چه باید کرد", "بی‌صدا کردن"}
    for text in (
        message,
        render("plain", data(alert(), alert("resolved")), "fa"),
        render("telegram", data(*[alert()] * 12), "fa"),
    ):
        assert all(line.startswith("\u200f") for line in text.splitlines() if line.strip())


def test_what_is_not_translated_is_said_in_english():
    one = alert(annotations={"summary": "English summary", "description": "English description"})
    for kind in ("telegram", "plain"):
        text = render(kind, data(one), "fa")
        assert "Bot is silent" in text
        assert "English summary" in text
        assert "English description" in text


def test_mail_has_a_subject_of_one_line_and_a_text_without_markup():
    subject = render("subject", data(alert(), alert(), alert("resolved")))
    assert subject == "🚨 Bot is silent · shop-bot · Firing: 2 · Resolved: 1"
    text = render("plain", data(alert(annotations={"summary": "a < b & c", "runbook_url": "/d/x"}), alert("resolved")))
    assert "a < b & c\n" in text
    assert f"What to do: {URL}d/x\n" in text
    assert f"Silence: {URL}alerting/silence/new?alertmanager=grafana&matcher=a%3Db\n" in text
    assert "From 2026-01-02 03:04 to 2026-01-02 04:04 UTC" in text
    assert "<b>" not in text


def test_many_in_a_mail_are_ten_and_a_number():
    text = render("plain", data(*[alert()] * 12))
    assert text.count("🚨") == 10
    assert "… and 2 more" in text


# Texts that grow when they are escaped, that need several bytes, or both.
WORDS = st.text(st.sampled_from("a <>&\"'ی🚨\u200f\n"), max_size=1200) | st.sampled_from(
    ['"' * 5000, "🚨" * 5000, "ی" * 5000]
)
ADDRESSES = st.builds(lambda size: URL + "&" * size, st.integers(0, 700)) | st.just("")
HARD = st.builds(
    lambda status, severity, name, service, summary, description, *urls: alert(
        status,
        severity,
        labels={"alertname": name, "service_name": service},
        annotations={
            "summary": summary,
            "description_fa": description,
            "description": description,
            "runbook_url": urls[0],
        },
        silenceURL=urls[1],
        dashboardURL=urls[2],
        panelURL=urls[3],
    ),
    st.sampled_from(["firing", "resolved"]),
    st.sampled_from(["critical", "error", "warning", "info", ""]),
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    *[ADDRESSES] * 4,
)


@given(st.lists(HARD, min_size=1, max_size=3), st.sampled_from([1, 2, 3, 5, 11, 40]), ADDRESSES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_message_is_too_long_or_broken(kinds, number, url):
    alerts = [copy.deepcopy(kinds[index % len(kinds)]) for index in range(number)]
    cases = [("telegram", language, data(*alerts, url=url)) for language in templates.LANGUAGES]
    for message in render_all(cases):
        parsed(message)
