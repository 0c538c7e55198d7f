"""`otelbot stack test-alert` sends through each channel to a real server, and says what came of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import shutil

import pytest

from otelbot.demo.bot_api import BotApiServer
from tests.integration.message_receivers import Hook, Mail
from tests.integration.stack_command.runner import CHATS
from tests.support import TOKEN


class TestTelegram:
    @pytest.fixture
    async def telegram(self, stack):
        async with BotApiServer([TOKEN]) as api:
            await stack.run("init")
            stack.set(ALERT_TELEGRAM_TOKEN=TOKEN, ALERT_TELEGRAM_CHATS=CHATS, TELEGRAM_API_URL=api.url)
            yield api

    async def test_each_chat_gets_a_message(self, stack, telegram):
        said = await stack.run("test-alert")
        assert said.splitlines() == ["✓ telegram -1001234567890:42: sent", "✓ telegram 55: sent"]
        first, second = (call.params for call in telegram.calls)
        assert (str(first["chat_id"]), str(first["message_thread_id"])) == ("-1001234567890", "42")
        assert str(second["chat_id"]) == "55"
        assert "Test alert from otelbot" in first["text"]

    async def test_in_persian_where_that_is_the_language(self, stack, telegram):
        await stack.run("test-alert", env={"ALERT_LANGUAGE": "fa"})
        assert "هشدار آزمایشی" in telegram.calls[0].params["text"]

    @pytest.mark.parametrize(
        ("status", "description", "said"),
        [
            (401, "Unauthorized", "Telegram does not know the token: copy ALERT_TELEGRAM_TOKEN"),
            (404, "Not Found", "Telegram does not know the token: copy ALERT_TELEGRAM_TOKEN"),
            (400, "Bad Request: chat not found", "the bot does not know -55: add it to the group"),
            (
                400,
                "Bad Request: message thread not found",
                "the group has no open topic 9: mend the number behind the colon",
            ),
            (403, "Forbidden: bot was blocked by the user", "the bot may not write to -55: unblock it"),
            (500, "Internal Server Error", "Telegram has a fault of its own (status 500)"),
            (400, "Bad Request: something new", "Telegram refuses the message (status 400)"),
        ],
    )
    async def test_a_refusal_is_said_in_words_that_help(self, stack, telegram, status, description, said):
        stack.set(ALERT_TELEGRAM_CHATS="-55:9")
        telegram.fail("sendMessage", status, description)
        assert f"✗ telegram -55:9: {said}" in await stack.run("test-alert", code=1)

    async def test_a_group_that_moved_and_a_bot_that_is_too_fast(self, stack, telegram):
        telegram.fail("sendMessage", 400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-100777)
        telegram.fail("sendMessage", 429, "Too Many Requests", retry_after=7)
        said = await stack.run("test-alert", code=1)
        assert "write -100777 instead of -1001234567890 into ALERT_TELEGRAM_CHATS" in said
        assert "wait 7 seconds" in said

    async def test_one_chat_that_fails_does_not_keep_the_others_from_theirs(self, stack, telegram):
        telegram.fail("sendMessage", 403, "Forbidden")
        said = await stack.run("test-alert", code=1)
        assert "✗ telegram -1001234567890:42" in said
        assert "✓ telegram 55: sent" in said

    async def test_something_else_than_the_bot_api(self, stack, telegram):
        telegram.garble("sendMessage", b"<html>", status=502)
        assert "is not the Bot API: mend TELEGRAM_API_URL" in await stack.run("test-alert", code=1)

    async def test_through_a_proxy_where_telegram_is_blocked(self, stack, telegram):
        async with Proxy() as proxy:
            stack.set(ALERT_TELEGRAM_CHATS="55", TELEGRAM_API_URL="http://telegram.invalid")
            proxied = f"http://user:hunter%32@127.0.0.1:{proxy.port}"
            assert "✓ telegram 55: sent" in await stack.run("test-alert", env={"ALERT_PROXY": proxied})
        [head] = proxy.heads
        assert head.startswith(f"POST http://telegram.invalid/bot{TOKEN}/sendMessage ")
        assert f"Basic {base64.b64encode(b'user:hunter2').decode()}" in head

    @pytest.mark.parametrize(
        ("proxy", "said"),
        [
            ("http://user:hunter2@127.0.0.1:1", "the proxy can't be reached (connection refused): mend ALERT_PROXY"),
            ("socks5://user:hunter2@127.0.0.1:1", "mend ALERT_PROXY"),
        ],
    )
    async def test_a_proxy_that_is_not_there(self, stack, telegram, proxy, said):
        env = {"ALERT_PROXY": proxy, "TELEGRAM_API_URL": "http://telegram.invalid"}
        words = await stack.run("test-alert", env=env, code=1)
        assert said in words
        assert "hunter2" not in words

    async def test_nobody_there(self, stack, telegram):
        said = await stack.run("test-alert", env={"TELEGRAM_API_URL": "http://127.0.0.1:1"}, code=1)
        assert "Telegram can't be reached (connection refused)" in said


class Proxy:
    """An HTTP proxy that answers everything as Telegram does when it has taken a message."""

    async def __aenter__(self):
        self.heads = []
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def answer(self, reader, writer):
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{"ok":true}')
        await writer.drain()
        writer.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl missing, which makes the server's certificate")
class TestEmail:
    @pytest.fixture
    async def mail(self, stack, tmp_path):
        async with Mail(tmp_path).serve() as server:
            await stack.run("init")
            stack.set(
                ALERT_EMAIL_TO="ops@example.org, boss@example.org",
                SMTP_HOST="localhost",
                SMTP_PORT=str(server.port),
                SMTP_USER="alerts@example.org",
                SMTP_PASSWORD="hunter2",
            )
            stack.environ["SSL_CERT_FILE"] = str(server.certificate)
            yield server

    async def test_mail_goes_encrypted_to_everybody(self, stack, mail):
        said = await stack.run("test-alert", "--channel", "email")
        assert said.strip() == f"✓ email: localhost:{mail.port} has taken it for ops@example.org, boss@example.org"
        [envelope] = mail.envelopes
        assert envelope.rcpt_tos == ["ops@example.org", "boss@example.org"]
        assert envelope.mail_from == "alerts@example.org"
        assert b"alerts reach you here" in envelope.content

    async def test_a_certificate_is_looked_at_unless_that_is_switched_off(self, stack, mail):
        del stack.environ["SSL_CERT_FILE"]
        said = await stack.run("test-alert", code=1)
        assert f"✗ email: the certificate of localhost:{mail.port} is not trusted" in said
        assert not mail.envelopes
        stack.set(SMTP_SKIP_VERIFY="true")
        await stack.run("test-alert")
        assert len(mail.envelopes) == 1

    async def test_a_password_of_any_letters_is_sent_as_grafana_sends_it(self, stack, mail):
        mail.password = "گذرواژه"
        stack.set(SMTP_PASSWORD=mail.password)
        await stack.run("test-alert")
        stack.set(SMTP_PASSWORD=mail.password[1:])
        assert "does not take the user and the password" in await stack.run("test-alert", code=1)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"SMTP_HOST": "a..b"}, "SMTP_HOST is not a server's name"),
            ({"SMTP_HOST": "[::1]", "SMTP_PORT": "1"}, "[::1]:1 can't be reached (connection refused): mend SMTP_HOST"),
            ({"SMTP_FROM": "مدیر@example.org"}, "is not a bare e-mail address in Latin letters"),
            ({"ALERT_EMAIL_TO": "مدیر@example.org"}, "takes only addresses in Latin letters: mend ALERT_EMAIL_TO"),
        ],
    )
    async def test_what_can_not_be_written_or_reached_is_a_sentence(self, stack, mail, values, said):
        stack.set(**values)
        assert said in await stack.run("test-alert", code=1)

    async def test_a_server_without_encryption_gets_no_password(self, stack, mail):
        mail.encrypted = False
        assert "offers no encryption that works, without which nothing is sent" in await stack.run("test-alert", code=1)

    async def test_a_wrong_password_is_said_and_not_shown(self, stack, mail):
        stack.set(SMTP_PASSWORD="s3cret")
        said = await stack.run("test-alert", code=1)
        assert "does not take the user and the password: mend SMTP_USER or SMTP_PASSWORD" in said
        assert "s3cret" not in said

    @pytest.mark.parametrize(
        ("refused", "said"),
        [
            ({"alerts@example.org"}, "does not take alerts@example.org as the sender: mend SMTP_FROM"),
            ({"boss@example.org"}, "takes no mail for boss@example.org: mend ALERT_EMAIL_TO"),
            ({"ops@example.org", "boss@example.org"}, "takes mail for none of the receivers: mend ALERT_EMAIL_TO"),
        ],
    )
    async def test_who_is_refused_is_said(self, stack, mail, refused, said):
        mail.refused = refused
        assert said in await stack.run("test-alert", code=1)

    async def test_nobody_there(self, stack, mail):
        stack.set(SMTP_PORT="1")
        assert "localhost:1 can't be reached (connection refused): mend SMTP_HOST" in await stack.run(
            "test-alert", code=1
        )


class TestWebhook:
    @pytest.fixture
    async def hook(self, stack):
        async with Hook().serve() as hook:
            await stack.run("init")
            stack.set(ALERT_WEBHOOK_URL=f"{hook.url}?key=hunter2", ALERT_WEBHOOK_SECRET="s3cret")
            yield hook

    async def test_it_gets_grafanas_json_with_grafanas_signature(self, stack, hook):
        assert (await stack.run("test-alert")).strip() == "✓ webhook: the server answers 200"
        [(headers, body)] = hook.requests
        covered = f"{headers['X-Grafana-Alerting-Timestamp']}:".encode() + body
        assert headers["X-Grafana-Alerting-Signature"] == hmac.new(b"s3cret", covered, hashlib.sha256).hexdigest()
        content = json.loads(body)
        assert {"receiver", "status", "orgId", "alerts", "groupLabels", "commonLabels", "commonAnnotations"} <= set(
            content
        )
        assert {"externalURL", "version", "groupKey", "truncatedAlerts", "title", "state", "message"} <= set(content)
        [alert] = content["alerts"]
        assert {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"} <= set(alert)
        assert headers["Content-Type"] == "application/json"

    async def test_user_and_password_of_the_address_are_sent_as_go_sends_them(self, stack, hook):
        address = stack.values["ALERT_WEBHOOK_URL"].replace("http://", "http://me:p%40ss%D8%A7@")
        stack.set(ALERT_WEBHOOK_URL=address)
        await stack.run("test-alert")
        [(headers, _)] = hook.requests
        proof = base64.b64encode("me:p@ss\u0627".encode()).decode()
        assert headers["Authorization"] == f"Basic {proof}"

    async def test_without_a_secret_it_is_not_signed(self, stack, hook):
        stack.set(ALERT_WEBHOOK_SECRET="")
        await stack.run("test-alert")
        [(headers, _)] = hook.requests
        assert not [name for name in headers if name.startswith("X-Grafana")]

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (401, "the server answers 401: give it the secret of ALERT_WEBHOOK_SECRET"),
            (302, "the server answers 302: mend ALERT_WEBHOOK_URL"),
            (404, "the server answers 404: mend ALERT_WEBHOOK_URL"),
            (500, "the server answers 500: mend ALERT_WEBHOOK_URL"),
        ],
    )
    async def test_a_refusal_is_said_without_the_address(self, stack, hook, status, said):
        hook.answers.append(status)
        words = await stack.run("test-alert", code=1)
        assert f"✗ webhook: {said}" in words
        assert "hunter2" not in words

    async def test_nobody_there(self, stack, hook):
        stack.set(ALERT_WEBHOOK_URL="http://127.0.0.1:1/hook?key=hunter2")
        said = await stack.run("test-alert", code=1)
        assert "the webhook's server can't be reached (connection refused): mend ALERT_WEBHOOK_URL" in said
        assert "hunter2" not in said

    async def test_a_broken_channel_is_said_beside_the_ones_that_work(self, stack, hook):
        stack.set(ALERT_TELEGRAM_CHATS="55")
        said = await stack.run("test-alert", code=1)
        assert "✗ telegram: ALERT_TELEGRAM_TOKEN is empty" in said
        assert "✓ webhook" in said
        assert "telegram" not in await stack.run("test-alert", "--channel", "webhook")


async def test_no_channel_at_all_is_said(stack):
    await stack.run("init")
    assert "no such channel is set" in await stack.run("test-alert", code=1)
    assert "it is one of telegram, email, webhook" in await stack.run("test-alert", "--channel", "fax", code=1)
