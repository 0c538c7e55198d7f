"""Channels of .env: a fault is one sentence about its variable, leaves only its channel out, and tells no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelbot.alerts.channels import settings as channels
from otelbot.alerts.channels.settings import Chat
from tests.support import TOKEN

PERSIAN = str.maketrans("0123456789", "".join(map(chr, range(0x6F0, 0x6FA))))
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
    ({"ALERT_TELEGRAM_CHATS": "55:42"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": "-55:0"}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_TOKEN": TOKEN.translate(PERSIAN)}, "ALERT_TELEGRAM_TOKEN", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": TOKEN}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_TELEGRAM_CHATS": ",".join(map(str, range(1, 12)))}, "ALERT_TELEGRAM_CHATS", "telegram"),
    ({"ALERT_EMAIL_TO": "ops"}, "ALERT_EMAIL_TO", "email"),
    ({"ALERT_EMAIL_TO": "ops@example.org boss@example.org"}, "ALERT_EMAIL_TO", "email"),
    ({"SMTP_HOST": ""}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "smtp://mail.example.org"}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "mail.example.org:587"}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "a..b"}, "SMTP_HOST", "email"),
    ({"SMTP_HOST": "::1"}, "SMTP_HOST", "email"),
    ({"SMTP_PORT": "587".translate(PERSIAN)}, "SMTP_PORT", "email"),
    ({"SMTP_PORT": "0"}, "SMTP_PORT", "email"),
    ({"SMTP_PORT": "70000"}, "SMTP_PORT", "email"),
    ({"SMTP_PORT": "smtp"}, "SMTP_PORT", "email"),
    ({"SMTP_PASSWORD": ""}, "SMTP_PASSWORD", "email"),
    ({"SMTP_USER": "", "SMTP_FROM": "a@example.org"}, "SMTP_USER", "email"),
    ({"SMTP_USER": "alerts"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "alerts"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "bot@mail"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "a@10.0.0.5"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "a..b@x.org"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "otelbot <a@b.org>"}, "SMTP_FROM", "email"),
    ({"SMTP_FROM": "مدیر@example.org"}, "SMTP_FROM", "email"),
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
    ({"ALERT_TIMEZONE": "Factory"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_TIMEZONE": "localtime"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_TIMEZONE": "posix/Asia/Tehran"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_TIMEZONE": "right/UTC"}, "ALERT_TIMEZONE", ""),
    ({"ALERT_PROXY": "hunter2$"}, "ALERT_PROXY", ""),
    ({"ALERT_PROXY": "ftp://user:hunter2$@proxy:1"}, "ALERT_PROXY", ""),
    ({"ALERT_PROXY": "http://proxy:1/path"}, "ALERT_PROXY", ""),
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


@pytest.mark.parametrize("host", ["mail_1.example.org", "mail", "[2001:db8::1]", "10.0.0.5"])
def test_names_and_addresses_of_mail_servers(host):
    assert channels.read(EMAIL | {"SMTP_HOST": host}).email.host == host


@pytest.mark.parametrize(
    ("host", "mend"),
    [("mail.example.org:465", "put the port into SMTP_PORT (465)"), ("2001:db8::1", "needs brackets")],
)
def test_how_a_mail_server_is_written_is_said(host, mend):
    [problem] = channels.read(EMAIL | {"SMTP_HOST": host}).problems
    assert mend in problem.sentence


@pytest.mark.parametrize("sender", ["bot@mail", "a@10.0.0.5", "a..b@x.org", "otelbot <a@b.org>", "a@b.org\n"])
def test_a_sender_that_keeps_grafana_from_starting_is_a_fault_also_without_mail(sender):
    problems = channels.read({"SMTP_FROM": sender}).problems
    assert [problem.variable for problem in problems] == ([] if sender.endswith("\n") else ["SMTP_FROM"])


def test_digits_of_persian_and_arabic_keyboards_are_read_where_only_otelbot_reads():
    arabic = str.maketrans("0123456789", "".join(map(chr, range(0x660, 0x66A))))
    written = {
        "ALERT_TELEGRAM_CHATS": f"{'-1001:42'.translate(PERSIAN)}\u060c {'55'.translate(arabic)}",
        "ALERT_MUTE": "23:00-07:30".translate(PERSIAN),
        "ALERT_COOLDOWN_ERROR": "10m".translate(PERSIAN),
    }
    found = channels.read(TELEGRAM | written)
    assert found.problems == ()
    assert list(map(str, found.telegram.chats)) == ["-1001:42", "55"]
    assert (found.quiet[0].start, found.quiet[0].end, found.cooldowns["error"]) == (1380, 450, "10m")


def test_time_zones_where_the_machine_knows_none(monkeypatch):
    monkeypatch.setattr(channels, "available_timezones", set)
    for zone, faults in (("Asia/Tehran", 0), ("localtime", 1), ("posix/UTC", 1), ("../etc", 1)):
        assert len(channels.read({"ALERT_TIMEZONE": zone}).problems) == faults, zone


def test_a_proxys_password_is_not_in_what_is_logged():
    found = channels.read({"ALERT_PROXY": "socks5://user:hunter2@proxy:1080"})
    assert found.proxy
    assert "hunter2" not in repr(found)


NAMES = [
    *EVERYTHING,
    "ALERT_PROXY",
    "SMTP_PORT",
    "SMTP_FROM",
    "ALERT_LANGUAGE",
    "ALERT_MUTE",
    "ALERT_TIMEZONE",
    "ALERT_COOLDOWN_INFO",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)))
def test_whatever_is_written_there_is_read_or_refused_in_a_sentence(values):
    for problem in channels.read(values).problems:
        assert problem.variable in problem.sentence
        assert len(problem.sentence.splitlines()) == 1


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("5m", 300), ("1d12h", 129_600), ("1w1s", 604_801)])
def test_cooldowns_in_seconds(written, seconds):
    assert channels.seconds(written) == seconds


def test_a_bot_api_server_of_ones_own():
    assert channels.read(TELEGRAM).telegram.api == "https://api.telegram.org"
    own = TELEGRAM | {"TELEGRAM_API_URL": " http://127.0.0.1:8081/ "}
    assert channels.read(own).telegram.api == "http://127.0.0.1:8081"
