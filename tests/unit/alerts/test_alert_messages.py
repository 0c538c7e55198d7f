"""What is told of alerts reads well, fits, and carries nothing that harms."""

from __future__ import annotations

import json
import re
from datetime import timezone
from email import message_from_bytes, policy
from html.parser import HTMLParser
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.alerts.channels import smtp
from otelbot.alerts.channels.mail import Email
from otelbot.alerts.embedded_rules import PAGES, RULES_OF_THE_EMBEDDED
from otelbot.alerts.messages import Form, Notice, compose
from otelbot.alerts.readable import duration, readable
from otelbot.alerts.rules import DATABASE_DOWN, ERROR_RATE, MEMORY_HIGH
from tests.support import KEY, TOKEN

EMAIL = Email(("ops@example.org",), "alerts@example.org", "localhost", 25, "", "")
SINCE = 1_790_000_000.0
ENGLISH = Form("en", timezone.utc, "http://127.0.0.1:8080")
PERSIAN = Form("fa", timezone.utc, "http://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (600_000_000, "bytes", "572.2MiB"),
        (500 * 2**20, "bytes", "500MiB"),
        (0, "bytes", "0B"),
        (1e30, "bytes", "8.272e+05YiB"),
        (9.75, "seconds", "9.75s"),
        (240, "seconds", "4m 0s"),
        (0, "seconds", "0s"),
        (0.25, "seconds", "250ms"),
        (90_061, "seconds", "1d 1h 1m 1s"),
        (7_205, "seconds", "2h 0m 5s"),
        (-90, "seconds", "-1m 30s"),
        (0.9, "ratio", "90%"),
        (12.4, "count", "12"),
        (33.33, "times", "33.3"),
        (float("inf"), "bytes", "+Inf"),
        (float("nan"), "seconds", "NaN"),
    ],
)
def test_values_read_as_in_prometheus_templates(value, unit, text):
    assert readable(value, unit) == text


def test_durations_of_limits():
    assert [duration(seconds) for seconds in (0, 10, 120)] == ["0s", "10s", "2m 0s"]


class Tags(HTMLParser):
    """Fails for what Telegram would refuse: tags that it does not know, or that are not closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        assert tag in {"b", "a"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def right(text):
    assert 0 < len(text) <= 4096
    assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", text)
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []


NASTY = st.text(max_size=2000) | st.sampled_from(["&" * 3000, "<b>" * 500, "\0\ud800", "\u202e" * 100, TOKEN])
NOTICES = st.builds(
    Notice,
    st.sampled_from(RULES_OF_THE_EMBEDDED),
    st.dictionaries(st.sampled_from(["service_name", "telegram_bot_id", "db_system_name", "x"]), NASTY),
    st.floats(),
    st.just(SINCE),
    st.none() | st.just(SINCE + 60),
)


@given(st.lists(NOTICES, min_size=1, max_size=25), st.sampled_from([ENGLISH, PERSIAN]))
def test_whatever_labels_hold_the_message_is_right_and_small(notices, form):
    message = compose(notices, form)
    right(message.telegram)
    assert "\n" not in message.subject
    assert len(message.subject) < 300
    shown = message.telegram + message.plain + message.subject + json.dumps(message.payload, allow_nan=False)
    assert KEY not in shown
    shown.encode()
    assert "\u202e" not in shown
    json.dumps(message.payload, ensure_ascii=False).encode()
    mail = message_from_bytes(smtp._mail(EMAIL, message.subject, message.plain).as_bytes(), policy=policy.default)
    assert mail.keys() == ["Subject", "From", "To", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]


@pytest.mark.parametrize("form", [ENGLISH, PERSIAN], ids=lambda form: form.language)
@pytest.mark.parametrize("rule", RULES_OF_THE_EMBEDDED, ids=lambda rule: rule.uid)
def test_a_mails_subject_arrives_with_every_space(rule, form):
    subject = compose([Notice(rule, {"service_name": "فروشگاه چای shop"}, 1.5, SINCE)], form).subject
    content = smtp._mail(EMAIL, subject, "text").as_bytes()
    assert message_from_bytes(content, policy=policy.default)["Subject"] == subject
    assert max(map(len, content.splitlines())) < 79


@pytest.mark.parametrize("rule", RULES_OF_THE_EMBEDDED, ids=lambda rule: rule.uid)
def test_no_message_names_a_part_that_only_the_stack_has(rule):
    said = " ".join((*rule.summary, *rule.description))
    assert not re.search("Grafana|Collector|Errors & logs|Database & cache", said)


@pytest.mark.parametrize("language", ["en", "fa"])
@pytest.mark.parametrize("rule", RULES_OF_THE_EMBEDDED, ids=lambda rule: rule.uid)
def test_each_rule_has_a_page_and_a_message_without_holes(rule, language):
    labels = dict.fromkeys(re.findall(r"\{(\w+)\}", rule.summary.en + rule.description.en), "thing")
    message = compose([Notice(rule, labels, 1.5, SINCE)], Form(language, timezone.utc, "http://127.0.0.1:8080"))
    assert getattr(rule.title, language) in message.telegram
    assert not re.search(r"[{}]|\bNone\b", message.telegram + message.plain)
    assert f"http://127.0.0.1:8080{PAGES[rule.uid]}" in message.plain


def test_some_that_fire_and_some_that_ended_are_told_apart():
    firing = Notice(MEMORY_HIGH, {"service_name": "shop"}, 2**30, SINCE)
    ended = Notice(DATABASE_DOWN, {"service_name": "shop", "db_system_name": "mysql"}, 3, SINCE, SINCE + 90)
    message = compose([ended, firing], ENGLISH)
    assert message.telegram.split("\n") == [
        "<b>Firing (1)</b>",
        "⚠️ Memory high: shop uses 1GiB of memory",
        "",
        "<b>Resolved (1)</b>",
        "✅ Database connection failed: shop cannot connect to mysql: 3 attempts failed",
        "",
        '📊 <a href="http://127.0.0.1:8080/alerts">All alerts</a>',
    ]
    assert message.subject == "⚠️ Memory high · shop · Firing: 1 · Resolved: 1"
    assert message.payload["status"] == "firing"
    assert [alert["status"] for alert in message.payload["alerts"]] == ["firing", "resolved"]
    assert message.payload["alerts"][1]["endsAt"] == "2026-09-21T14:14:50+00:00"
    assert message.payload["commonLabels"] == {"service_name": "shop"}


def test_a_payload_of_very_many_says_how_many_it_leaves_out():
    notices = [Notice(ERROR_RATE, {"service_name": f"bot-{number}"}, 12, SINCE) for number in range(150)]
    payload = compose(notices, ENGLISH).payload
    assert (len(payload["alerts"]), payload["truncatedAlerts"]) == (100, 50)


def test_alerts_of_one_rule_have_fingerprints_of_their_own():
    notices = [Notice(ERROR_RATE, {"service_name": name}, 12, SINCE) for name in ("a", "b")]
    first, second = compose(notices, ENGLISH).payload["alerts"]
    assert first["fingerprint"] != second["fingerprint"]


def test_every_line_of_persian_runs_from_right_to_left():
    one = Notice(MEMORY_HIGH, {"service_name": "shop"}, 2**30, SINCE)
    two = Notice(ERROR_RATE, {"service_name": "shop"}, 12, SINCE, SINCE + 60)
    for notices in (*combinations_with_replacement([one, two], 1), *combinations_with_replacement([one, two], 2)):
        message = compose(list(notices), PERSIAN)
        for line in (message.telegram + "\n" + message.plain).splitlines():
            assert line.startswith("\u200f") or not line
