"""`otelbot alerts list|test|history` as a user runs it."""

from __future__ import annotations

import asyncio
import json

import pytest

from otelbot.alerts.rules import DATABASE_DOWN, MEMORY_HIGH
from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.waiting import PATIENCE
from tests.integration.alerts.bench import Bench
from tests.integration.message_receivers import Hook
from tests.support import KEY, OTELBOT, TOKEN, clean_environ


@pytest.fixture
async def telegram():
    async with BotApiServer([TOKEN]) as api:
        yield api


@pytest.fixture
def environ(tmp_path, telegram):
    channels = {"ALERT_TELEGRAM_TOKEN": TOKEN, "ALERT_TELEGRAM_CHATS": "55", "TELEGRAM_API_URL": telegram.url}
    return clean_environ() | channels | {"OTELBOT_DASHBOARD_FOLDER": str(tmp_path / "dashboard"), "TZ": "UTC"}


@pytest.fixture
async def bench(tmp_path, environ):
    """A dashboard's folder, in which something has fired."""
    bench = Bench(tmp_path / "dashboard", environ)
    bench.set(MEMORY_HIGH, 600 * 2**20)
    bench.set(DATABASE_DOWN, 3, service_name="sh\x1b[31mop", db_system_name="postgresql")
    await bench.pass_to(30)
    bench.set(DATABASE_DOWN, None, service_name="sh\x1b[31mop", db_system_name="postgresql")
    await bench.pass_to(140)
    yield bench
    await bench.alerts.close()


async def otelbot(environ, *words, code=0):
    process = await asyncio.create_subprocess_exec(
        *(OTELBOT, "alerts", *words), env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    said = out.decode()
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert KEY not in said
    return said


class TestList:
    async def test_rules_with_their_limits_where_no_dashboard_ever_ran(self, environ):
        said = await otelbot(environ | {"ALERT_COOLDOWN_WARNING": "10m"}, "list")
        assert "warning   Memory high: above 500MiB for 2m 0s; told again every 10m\n" in said
        assert "critical  Database connection failed: above 0 for 10s; told again every 1m\n" in said
        assert "Messages go to telegram.\n" in said

    async def test_what_is_active_beside_a_dashboard_that_runs(self, environ, bench):
        said = await otelbot(environ, "list")
        assert "firing since 2026-09-21 14:13:25 service_name=shop\n" in said
        found = json.loads(await otelbot(environ, "list", "--json"))
        [memory] = [each for each in found["alerts"] if each["uid"] == MEMORY_HIGH.uid]
        assert memory["active"][0]["state"] == "firing"
        assert found["channels"] == ["telegram"]

    async def test_a_channel_that_is_set_wrongly_is_not_called_unset(self, environ):
        said = await otelbot(environ | {"ALERT_TELEGRAM_CHATS": "me", "ALERT_LANGUAGE": "de"}, "list")
        assert "✗ telegram: ALERT_TELEGRAM_CHATS has 'me'" in said
        assert "✗ ALERT_LANGUAGE='de' is not a language" in said
        assert "No channel is set" not in said

    async def test_a_file_that_is_none(self, environ, tmp_path):
        (tmp_path / "alerts.sqlite").write_bytes(b"no database" * 100)
        said = await otelbot(environ, "list", "--folder", str(tmp_path), code=1)
        assert "alerts.sqlite can't be read (file is not a database)" in said


class TestHistory:
    async def test_the_newest_first_with_who_was_told(self, environ, bench):
        lines = (await otelbot(environ, "history")).splitlines()
        assert lines[0] == "2026-09-21 14:15:30  firing    shop uses 600MiB of memory"
        assert lines[1].strip() == "telegram 55 sent"
        assert [line.split()[2] for line in lines if line.startswith("2026")] == [
            *("firing", "resolved", "firing", "pending", "pending")
        ]
        assert "\x1b" not in "".join(lines)

    async def test_as_json_and_limited(self, environ, bench):
        found = json.loads(await otelbot(environ, "history", "--json", "--limit", "1"))
        [entry] = found["history"]
        assert entry["summary"]["en"] == "shop uses 600MiB of memory"
        assert entry["notified"][0]["status"] == "sent"

    async def test_where_there_is_none(self, environ):
        said = await otelbot(environ, "history", code=1)
        assert "has no alerts: start otelbot dashboard, or name its folder with --folder" in said


class TestTest:
    async def test_one_message_through_each_channel(self, environ, telegram):
        assert (await otelbot(environ, "test")).strip() == "✓ telegram 55: sent"
        assert "Test alert from otelbot" in telegram.calls[0].params["text"]

    async def test_one_that_fails(self, environ, telegram):
        telegram.fail("sendMessage", 403, "Forbidden")
        said = await otelbot(environ, "test", code=1)
        assert "✗ telegram 55: the bot may not write to 55: unblock it" in said

    async def test_settings_that_are_wrong_or_none(self, environ):
        said = await otelbot(environ | {"ALERT_TELEGRAM_CHATS": ""}, "test", code=1)
        assert "✗ telegram: ALERT_TELEGRAM_CHATS is empty" in said
        nothing = {"ALERT_TELEGRAM_CHATS": "", "ALERT_TELEGRAM_TOKEN": ""}
        assert "No channel is set: set ALERT_TELEGRAM_TOKEN" in await otelbot(environ | nothing, "test", code=1)
        assert "it is one of telegram, email, webhook" in await otelbot(environ, "test", "--channel", "fax", code=1)

    @pytest.mark.parametrize("url", ["127.0.0.1:8081", "http://[::1", "ftp://127.0.0.1", "http://a..b"])
    async def test_a_bot_api_server_whose_address_is_none(self, environ, url):
        said = await otelbot(environ | {"TELEGRAM_API_URL": url}, "test", code=1)
        address = "an http:// or https:// address: write the whole one"
        assert said.strip() == f"✗ telegram 55: TELEGRAM_API_URL is not {address}"

    async def test_a_setting_of_all_channels_that_is_wrong(self, environ, telegram):
        said = await otelbot(environ | {"ALERT_COOLDOWN_ERROR": "often"}, "test", code=1)
        assert "✗ ALERT_COOLDOWN_ERROR='often' is not a duration" in said
        assert "✓ telegram 55: sent" in said

    async def test_the_webhook_is_told_where_the_page_is(self, environ):
        async with Hook().serve() as hook:
            own = {"ALERT_WEBHOOK_URL": hook.url, "OTELBOT_DASHBOARD_PORT": "18080"}
            await otelbot(environ | own, "test", "--channel", "webhook")
        [(_, body)] = hook.requests
        assert json.loads(body)["externalURL"] == "http://127.0.0.1:18080"
