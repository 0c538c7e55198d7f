"""Alerts of the dashboard reach a real Bot API server, mail server and webhook: once, and again where that is due."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import shutil
from email import message_from_bytes, policy

import pytest

from otelbot.alerts.channels import sending
from otelbot.alerts.messages import MARKS
from otelbot.alerts.rules import BLOCKED_JUMP, DATABASE_DOWN, ERROR_RATE, MEMORY_HIGH, SLOW_UPDATES
from otelbot.demo.bot_api import BotApiServer
from tests.integration.alerts.bench import Bench
from tests.integration.message_receivers import Hook, Mail
from tests.support import KEY, TOKEN

MEMORY = 600 * 2**20
POSTGRES = {"service_name": "shop", "db_system_name": "postgresql"}
GUIDES = {
    MEMORY_HIGH: (MEMORY, {}),
    ERROR_RATE: (12, {}),
    DATABASE_DOWN: (3, POSTGRES),
    SLOW_UPDATES: (9, {}),
}
#: How often each is told within the three minutes that it is beyond its limit, by its severity's cooldown.
TOLD = {MEMORY_HIGH: 1, ERROR_RATE: 1, DATABASE_DOWN: 3, SLOW_UPDATES: 1}


@pytest.fixture
async def telegram():
    async with BotApiServer([TOKEN]) as api:
        yield api


@pytest.fixture
async def bench(tmp_path, telegram):
    bench = Bench(
        tmp_path / "dashboard",
        {"ALERT_TELEGRAM_TOKEN": TOKEN, "ALERT_TELEGRAM_CHATS": "55", "TELEGRAM_API_URL": telegram.url},
    )
    yield bench
    await bench.alerts.close()


def texts(telegram):
    return [call.params["text"] for call in telegram.calls]


class TestOneMessage:
    async def test_when_it_fires_and_one_when_it_resolves(self, bench, telegram):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(125)
        assert bench.states(MEMORY_HIGH) == ["pending"]
        assert texts(telegram) == []
        await bench.pass_to(200)
        [text] = texts(telegram)
        assert text.startswith("⚠️ <b>Memory high</b> · shop\nshop uses 600MiB of memory\n")
        assert "Limit: 500MiB, for 2m 0s\nSince 2026-09-21 14:13 UTC" in text
        assert '<a href="http://127.0.0.1:8080/runtime">Dashboard</a>' in text
        assert telegram.calls[0].params["parse_mode"] == "HTML"
        bench.set(MEMORY_HIGH, 2**20)
        await bench.pass_to(230)
        assert bench.states(MEMORY_HIGH) == ["firing"]  # it is kept for a while, not to flap
        await bench.pass_to(400)
        assert bench.states(MEMORY_HIGH) == []
        [_, text] = texts(telegram)
        assert text.startswith("✅ <b>Memory high</b> · shop\n")
        assert "From 2026-09-21 14:13 to 2026-09-21 14:17 UTC" in text

    async def test_again_after_each_cooldown_while_it_fires(self, bench, telegram):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(200)  # pending from 0 or 5, firing 10 later
        assert len(texts(telegram)) == 4
        bench.set(MEMORY_HIGH, MEMORY)
        bench.set(DATABASE_DOWN, None, **POSTGRES)
        await bench.pass_to(1200)
        memory = [text for text in texts(telegram) if "Memory high" in text]
        assert len(memory) == 3  # after 2 minutes, and then every 5
        assert bench.history("firing")[0]["notified"][0]["times"] == 4

    async def test_is_not_sent_for_what_passes_by(self, bench, telegram):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(100)
        bench.set(MEMORY_HIGH, None)
        await bench.pass_to(300)
        assert texts(telegram) == []

    async def test_is_not_repeated_while_it_is_only_kept(self, bench, telegram):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(60)
        bench.set(DATABASE_DOWN, None, **POSTGRES)
        await bench.pass_to(300)
        assert [text[0] for text in texts(telegram)] == ["🚨", "✅"]

    async def test_flapping_is_told_once_a_cooldown(self, bench, telegram):
        for minute in range(1, 13):
            bench.set(MEMORY_HIGH, MEMORY if minute % 4 else None)
            await bench.pass_to(60 * minute)
        assert len([text for text in texts(telegram) if text.startswith("⚠️")]) <= 3

    async def test_for_all_that_fire_at_once(self, bench, telegram):
        for number in range(30):
            bench.set(ERROR_RATE, 12 + number, service_name=f"bot-{number}")
        await bench.pass_to(100)
        [text] = texts(telegram)
        assert text.startswith("<b>Firing (30)</b>\n❌ Many errors: bot-0: 12 errors within a minute\n")
        assert text.count("❌") == 10
        assert "… and 20 more" in text
        assert len(bench.history("firing")) == 30

    async def test_in_persian(self, bench, telegram):
        bench.environ |= {"ALERT_LANGUAGE": "fa", "ALERT_TIMEZONE": "Asia/Tehran"}
        await bench.restart()
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        [text] = texts(telegram)
        assert text.startswith("\u200f⚠️ <b>مصرف زیاد حافظه</b> · shop\n\u200fshop به اندازهٔ 600MiB")
        assert "\u200fاز 2026-09-21 17:43 Asia/Tehran" in text  # noqa: RUF001
        assert all(line.startswith("\u200f") for line in text.splitlines() if line)


class TestThreeChannels:
    @pytest.fixture
    async def hook(self, bench):
        async with Hook().serve() as hook:
            bench.environ |= {"ALERT_WEBHOOK_URL": hook.url, "ALERT_WEBHOOK_SECRET": "s3cret-s3cret"}
            await bench.restart()
            yield hook

    @pytest.fixture
    async def mail(self, bench, tmp_path, monkeypatch):
        if not shutil.which("openssl"):
            pytest.skip("openssl missing, which makes the server's certificate")
        async with Mail(tmp_path).serve() as server:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
            bench.environ |= {
                "ALERT_EMAIL_TO": "ops@example.org",
                "SMTP_HOST": "localhost",
                "SMTP_PORT": str(server.port),
                "SMTP_USER": "alerts@example.org",
                "SMTP_PASSWORD": "hunter2",
            }
            await bench.restart()
            yield server

    async def test_the_guides_four_rules_fire_and_resolve_in_each(self, bench, telegram, hook, mail):
        for rule, (value, labels) in GUIDES.items():
            bench.set(rule, value, **labels)
        await bench.pass_to(170)
        for rule, (_, labels) in GUIDES.items():
            bench.set(rule, None, **labels)
        await bench.pass_to(600)
        told = {
            "telegram": [re.sub("<[^>]+>", "", text) for text in texts(telegram)],
            "webhook": [json.loads(body)["message"] for _, body in hook.requests],
            "email": [
                message_from_bytes(envelope.content, policy=policy.default).get_content() for envelope in mail.envelopes
            ],
        }
        for channel, messages in told.items():
            for rule in GUIDES:
                firing, ended = (
                    sum(f"{mark} {rule.title.en}" in each for each in messages) for mark in (MARKS[rule.severity], "✅")
                )
                assert (firing, ended) == (TOLD[rule], 1), (channel, rule.uid)
        assert bench.notified("resolved") == {"telegram 55": "sent", "email": "sent", "webhook": "sent"}

    async def test_the_webhook_gets_grafanas_json_signed(self, bench, hook):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(30)
        [(headers, body)] = hook.requests
        covered = f"{headers['X-Grafana-Alerting-Timestamp']}:".encode() + body
        expected = hmac.new(b"s3cret-s3cret", covered, hashlib.sha256).hexdigest()
        assert headers["X-Grafana-Alerting-Signature"] == expected
        content = json.loads(body)
        assert (content["status"], content["state"], content["truncatedAlerts"]) == ("firing", "alerting", 0)
        assert content["commonLabels"]["alertname"] == "Database connection failed"
        [alert] = content["alerts"]
        assert alert["labels"] == {**POSTGRES, "alertname": "Database connection failed", "severity": "critical"}
        assert alert["annotations"]["summary"] == "shop cannot connect to postgresql: 3 attempts failed"
        assert alert["values"] == {"A": 3}
        assert alert["endsAt"].startswith("0001")
        assert "hunter2" not in body.decode()  # the page's token

    async def test_mail_has_a_subject_and_a_text(self, bench, mail):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        [envelope] = mail.envelopes
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert message["Subject"] == "⚠️ Memory high · shop · Firing: 1"
        text = message.get_content().replace("\r\n", "\n")
        assert "shop uses 600MiB of memory\nThe limit is 500 MiB." in text
        assert "Dashboard: http://127.0.0.1:8080/runtime\n" in text

    async def test_mail_that_is_put_off_is_sent_later_and_refused_mail_is_not(self, bench, mail):
        mail.answers = ["451 come back later"]
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        assert bench.notified("firing")["email"] == "sent"
        mail.answers = ["554 spam"]
        bench.set(MEMORY_HIGH, None)
        await bench.pass_to(400)
        assert len(mail.envelopes) == 1
        assert bench.notified("resolved")["email"] == "failed"

    async def test_one_that_fails_does_not_keep_the_others_from_theirs(self, bench, telegram, hook):
        hook.answers = [404]
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(200)
        assert len(texts(telegram)) == 1
        assert bench.notified("firing") == {"telegram 55": "sent", "webhook": "failed"}
        assert bench.alerts.overview()["problems"] == ["webhook: the server answers 404: mend ALERT_WEBHOOK_URL"]


class TestFaults:
    async def test_flood_control_is_waited_for(self, bench, telegram):
        telegram.fail("sendMessage", 429, "Too Many Requests", retry_after=100)
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(100)
        assert len(telegram.calls) == 1
        assert bench.notified("firing") == {"telegram 55": "waiting"}
        await bench.pass_to(130)
        assert len(telegram.calls) == 2
        assert bench.notified("firing") == {"telegram 55": "sent"}

    async def test_a_server_that_fails_is_tried_again(self, bench, telegram):
        telegram.fail("sendMessage", 500, "Internal Server Error", times=3)
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(300)
        assert len(telegram.calls) == 4
        assert bench.notified("firing") == {"telegram 55": "sent"}
        assert bench.alerts.overview()["problems"] == []

    async def test_nobody_there_is_tried_again_and_the_newest_is_told(self, bench, telegram):
        url = bench.environ["TELEGRAM_API_URL"]
        bench.environ["TELEGRAM_API_URL"] = "http://127.0.0.1:1"
        await bench.restart()
        bench.set(MEMORY_HIGH, MEMORY)
        bench.set(ERROR_RATE, 12)
        await bench.pass_to(600)
        bench.set(ERROR_RATE, None)
        await bench.pass_to(800)
        assert "can't be reached (connection refused)" in bench.alerts.overview()["problems"][0]
        bench.environ["TELEGRAM_API_URL"] = url
        await bench.restart()
        await bench.pass_to(1000)
        # That errors came and went meanwhile is history; that memory is high still holds.
        [text] = texts(telegram)
        assert "Memory high" in text
        [errors, _] = bench.history("firing")
        assert errors["notified"][0]["detail"] == "it resolved before this could be sent"

    @pytest.mark.parametrize("how", ["cut", "cut in the answer", "hang"])
    async def test_what_may_have_arrived_is_not_sent_again_before_its_cooldown(self, bench, telegram, how, monkeypatch):
        monkeypatch.setattr(sending, "_TIMEOUT", 0.3)
        if how == "hang":
            telegram.hang("sendMessage", 30)
        else:
            telegram.cut("sendMessage", after_headers="answer" in how)
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(420)
        assert len(telegram.calls) == 1
        assert bench.notified("firing") == {"telegram 55": "unknown"}
        await bench.pass_to(440)
        assert len(telegram.calls) == 2
        assert bench.notified("firing") == {"telegram 55": "sent"}

    async def test_what_was_refused_is_tried_after_its_cooldown_and_its_end_is_not_told(self, bench, telegram):
        telegram.fail("sendMessage", 403, "Forbidden")
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(60)
        bench.set(DATABASE_DOWN, None, **POSTGRES)
        await bench.pass_to(200)
        assert len(telegram.calls) == 1
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(220)
        assert len(telegram.calls) == 2
        assert bench.notified("firing") == {"telegram 55": "sent"}

    async def test_a_clock_that_is_set_back_silences_nobody(self, bench, telegram):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(20)
        bench.now -= 86_400
        await bench.pass_to(-86_300)
        assert len(telegram.calls) == 3

    async def test_a_resolution_is_tried_for_an_hour(self, bench, telegram):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        telegram.fail("sendMessage", 502, "Bad Gateway", times=None)
        bench.set(MEMORY_HIGH, None)
        await bench.pass_to(3600)
        tried = len(telegram.calls)
        assert 10 <= tried <= 25
        await bench.pass_to(5000)
        before = len(telegram.calls)
        telegram.clear_faults()
        await bench.pass_to(5600)
        assert len(telegram.calls) == before

    async def test_no_secret_is_in_a_message_or_in_the_log(self, bench, telegram, caplog):
        telegram.fail("sendMessage", 401, "Unauthorized")
        bench.set(ERROR_RATE, 12, service_name=f"shop {TOKEN} <script>\n\0\ud800" + "x" * 5000)
        await bench.pass_to(400)
        for call in telegram.calls:
            assert KEY not in call.params["text"]
            assert "<script>" not in call.params["text"]
            assert len(call.params["text"]) <= 4096
        assert "does not know the token" in caplog.text
        assert KEY not in caplog.text
        assert KEY not in json.dumps(bench.alerts.overview()["problems"])

    async def test_no_secret_is_in_the_log_where_the_answer_is_malformed(self, bench, caplog):
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            bench.environ["TELEGRAM_API_URL"] = f"http://127.0.0.1:{port}"
            await bench.restart()
            bench.set(DATABASE_DOWN, 3, **POSTGRES)
            await bench.pass_to(30)
        assert bench.notified("firing") == {"telegram 55": "sent"}
        assert KEY not in caplog.text


class TestHeldBack:
    async def test_a_silence_holds_messages_back_until_it_ends(self, bench, telegram):
        await bench.alerts.silence(MEMORY_HIGH.uid, {"service_name": "shop"}, 600)
        bench.set(MEMORY_HIGH, MEMORY)
        bench.set(MEMORY_HIGH, MEMORY, service_name="other")
        await bench.pass_to(590)
        assert all("other" in text and "shop" not in text for text in texts(telegram))
        [found] = [each for each in bench.alerts.overview()["alerts"] if each["uid"] == MEMORY_HIGH.uid]
        silenced = {active["labels"]["service_name"]: active["silenced_until"] for active in found["active"]}
        assert silenced["shop"]
        assert silenced["other"] is None
        await bench.pass_to(620)
        assert "shop" in texts(telegram)[-1]

    async def test_a_silence_of_the_whole_rule_can_be_taken_back(self, bench, telegram):
        await bench.alerts.silence(MEMORY_HIGH.uid, None, 6000)
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.restart()
        await bench.pass_to(400)
        assert texts(telegram) == []
        await bench.alerts.unsilence(MEMORY_HIGH.uid, None)
        await bench.pass_to(410)
        assert len(texts(telegram)) == 1
        assert [entry["change"] for entry in bench.history("silenced")] == ["silenced"]

    @pytest.mark.parametrize(
        ("uid", "labels", "seconds"),
        [
            ("otelbot-nothing", None, 60),
            (MEMORY_HIGH.uid, None, 0),
            (MEMORY_HIGH.uid, None, float("nan")),
            (MEMORY_HIGH.uid, None, float("inf")),
            (MEMORY_HIGH.uid, {"service_name": 5}, 60),
        ],
    )
    async def test_a_silence_that_can_not_be_is_a_sentence(self, bench, uid, labels, seconds):
        with pytest.raises(ValueError, match="is not"):
            await bench.alerts.silence(uid, labels, seconds)

    async def test_quiet_hours_hold_warnings_back_and_nothing_worse(self, bench, telegram):
        bench.environ["ALERT_MUTE"] = "14:10-14:25"
        await bench.restart()
        bench.set(MEMORY_HIGH, MEMORY)
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(60)
        bench.set(DATABASE_DOWN, None, **POSTGRES)
        await bench.pass_to(690)  # 14:24:50
        assert {text[0] for text in texts(telegram)} == {"🚨", "✅"}
        await bench.pass_to(720)
        assert "Memory high" in texts(telegram)[-1]


async def test_each_chat_is_told(bench, telegram):
    bench.environ["ALERT_TELEGRAM_CHATS"] = "55, -100777:42"
    await bench.restart()
    telegram.fail("sendMessage", 403, "Forbidden")
    bench.set(BLOCKED_JUMP, 5)
    await bench.pass_to(500)
    assert sorted(str(call.params["chat_id"]) for call in telegram.calls) == ["-100777", "55"]
    assert sorted(bench.notified("firing").values()) == ["failed", "sent"]
