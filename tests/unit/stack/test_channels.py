"""Channels of .env: a fault is one sentence about its variable, leaves only its channel out, and tells no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.stack import channels
from otelbot.stack.channels import Chat
from tests.support import TOKEN

TELEGRAM = {"ALERT_TELEGRAM_TOKEN": TOKEN, "ALERT_TELEGRAM_CHATS": "-1001234567890:42, 55"}
EMAIL = {
    "ALERT_EMAIL_TO": "ops@example.org, boss@example.org",
    "SMTP_HOST": "mail.example.org",
    "SMTP_USER": "alerts@example.org",
    "SMTP_PASSWORD": "hunter2$",
}
WEBHOOK = {"ALERT_WEBHOOK_URL": "https://example.org/hook?key=k3y", "ALERT_WEBHOOK_SECRET": "s3cret"}
EVERYTHING = TELEGRAM | EMAIL | WEBHOOK


def test_nothing_set_is_no_channel_and_no_fault():
    found = channels.read({})
    assert found.names == []
    assert found.problems == ()
    assert found.cooldowns == {"critical": "1m", "error": "3m", "warning": "5m", "info": "1h"}
    assert (found.language, found.timezone, found.quiet) == ("en", "UTC", ())


def test_everything_set():
    found = channels.read(
        EVERYTHING | {"ALERT_LANGUAGE": "FA", "ALERT_TIMEZONE": "Asia/Tehran", "ALERT_COOLDOWN_INFO": "1d12h"}
    )
    assert found.names == ["telegram", "email", "webhook"]
    assert found.problems == ()
    assert found.telegram.chats == (Chat("-1001234567890", "42"), Chat("55"))
    assert found.email.to == ("ops@example.org", "boss@example.org")
    assert (found.email.port, found.email.sender) == (587, "alerts@example.org")
    assert (found.language, found.timezone, found.cooldowns["info"]) == ("fa", "Asia/Tehran", "1d12h")


def test_no_secret_is_in_what_is_logged_of_channels():
    shown = repr(channels.read(EVERYTHING))
    for secret in (TOKEN, "hunter2$", "s3cret", "k3y"):
        assert secret not in shown


FAULTS = [
    # what differs from everything being right, the variable that is named, the channel that is left out
    ({"ALERT_TELEGRAM_TOKEN": ""}, "ALERT_TELEGRAM_TOKEN", "telegram"),
    ({"ALERT_TELEGRAM_TOKEN": "hello"}, "ALERT_TELEGRAM_TOKEN", "telegram"),
    ({"ALERT_TELEGRAM_TOKEN": f"bot{TOKEN}"}, "ALERT_TELEGRAM_TOKEN", "telegram"),
    ({"ALERT_TELEGRAM_TOKEN": f"{TOKEN}\n"[:-5] + " x"}, "ALERT_TELEGRAM_TOKEN", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": ""}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": " , "}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": "me"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": "0"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": "55:"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": "55:topic"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": TOKEN}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": ",".join(map(str, range(1, 12)))}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_EMAIL_TO": "ops"}, "ALERT_EMAIL_TO", "email"),
    ({"ALERT_EMAIL_TO": "ops@example.org boss@example.org"}, "ALERT_EMAIL_TO", "email"),
    ({"SMTP_HOST": ""}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "smtp://mail.example.org"}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "mail.example.org:587"}, "SMTP_HOST", "email"),
    ({"SMTP_PORT": "0"}, "SMTP_PORT", "email"),
    ({"SMTP_PORT": "70000"}, "SMTP_PORT", "email"),
    ({"SMTP_PORT": "smtp"}, "SMTP_PORT", "email"),
    ({"SMTP_PASSWORD": ""}, "SMTP_PASSWORD", "email"),
    ({"SMTP_USER": "", "SMTP_FROM": "a@example.org"}, "SMTP_USER", "email"),
    ({"SMTP_USER": "alerts"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "alerts"}, "SMTP_FROM", "email"),
    ({"SMTP_SKIP_VERIFY": "yes"}, "SMTP_SKIP_VERIFY", "email"),
    ({"ALERT_WEBHOOK_URL": ""}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "example.org/hook"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "ftp://example.org"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "https://"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "https://example.org:port/"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "https://example.org/{{ .x }}"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_WEBHOOK_URL": "http://[::1"}, "ALERT_WEBHOOK_URL", "webhook"),
    ({"ALERT_LANGUAGE": "de"}, "ALERT_LANGUAGE", ""),
    ({"ALERT_TIMEZONE": "Tehran"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_TIMEZONE": "../etc/passwd"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_MUTE": "night"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "25:00-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "23:60-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "07:00-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "24:00-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "xyz 23:00-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_MUTE": "monkey 23:00-07:00"}, "ALERT_MUTE", ""),
    ({"ALERT_COOLDOWN_CRITICAL": "5"}, "ALERT_COOLDOWN_CRITICAL", ""),
    ({"ALERT_COOLDOWN_ERROR": "0m"}, "ALERT_COOLDOWN_ERROR", ""),
    ({"ALERT_COOLDOWN_WARNING": "five minutes"}, "ALERT_COOLDOWN_WARNING", ""),
    ({"ALERT_COOLDOWN_INFO": "1s1h"}, "ALERT_COOLDOWN_INFO", ""),
]


@pytest.mark.parametrize(("change", "variable", "channel"), FAULTS)
def test_a_fault_is_one_sentence_and_leaves_only_its_channel_out(change, variable, channel):
    found = channels.read(EVERYTHING | change)
    [problem] = found.problems
    assert problem.variable == variable
    assert problem.sentence.startswith(variable)
    assert "\n" not in problem.sentence
    assert found.names == [name for name in ("telegram", "email", "webhook") if name != channel]
    for secret in (TOKEN, "hunter2$", "s3cret", "k3y"):
        assert secret not in problem.sentence


def test_a_mail_server_that_nobody_is_to_get_mail_from_is_no_fault():
    assert channels.read({"SMTP_HOST": "mail.example.org"}).problems == ()


NAMES = [*EVERYTHING, "SMTP_PORT", "SMTP_FROM", "ALERT_LANGUAGE", "ALERT_MUTE", "ALERT_TIMEZONE", "ALERT_COOLDOWN_INFO"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_whatever_is_written_there_is_read_or_refused_in_a_sentence(values):
    for problem in channels.read(values).problems:
        assert problem.variable in problem.sentence
        assert len(problem.sentence.splitlines()) == 1
