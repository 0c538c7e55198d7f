"""A dashboard that ends, is killed or has a bad disk tells nobody twice and forgets nothing it need not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys

import pytest

from otelbot.alerts.rules import BOT_SILENT, DATABASE_DOWN, ERROR_RATE, MEMORY_HIGH
from otelbot.alerts.stack_rules import TELEMETRY_MISSING
from otelbot.demo.bot_api import BotApiServer
from otelbot.demo.waiting import PATIENCE
from tests.integration.alerts.bench import START, Bench
from tests.support import TOKEN

MEMORY = 600 * 2**20
POSTGRES = {"service_name": "shop", "db_system_name": "postgresql"}


@pytest.fixture
async def telegram():
    async with BotApiServer([TOKEN]) as api:
        yield api


@pytest.fixture
def environ(telegram):
    return {"ALERT_TELEGRAM_TOKEN": TOKEN, "ALERT_TELEGRAM_CHATS": "55", "TELEGRAM_API_URL": telegram.url}


@pytest.fixture
async def bench(tmp_path, environ):
    bench = Bench(tmp_path / "dashboard", environ)
    yield bench
    await bench.alerts.close()


class TestRestart:
    async def test_pending_goes_on_where_it_was(self, bench):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(100)
        await bench.restart()
        assert bench.states(MEMORY_HIGH) == ["pending"]
        await bench.pass_to(140)
        assert bench.states(MEMORY_HIGH) == ["firing"]
        assert [entry["change"] for entry in bench.history("pending", "firing")] == ["pending", "firing"]

    async def test_what_fires_is_told_after_its_cooldown_and_its_end_as_well(self, bench, telegram):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        await bench.restart(after=60)
        await bench.pass_to(300)
        assert len(telegram.calls) == 1
        await bench.restart()
        bench.set(MEMORY_HIGH, None)
        await bench.pass_to(400)
        assert [call.params["text"][0] for call in telegram.calls] == ["⚠", "✅"]

    async def test_what_ended_meanwhile_is_not_told_to_fire(self, bench, telegram):
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        bench.set(MEMORY_HIGH, None)
        await bench.restart(after=7200)
        await bench.alerts.notify()
        await bench.alerts.settle()
        assert len(telegram.calls) == 1
        await bench.pass_to(7500)
        assert [call.params["text"][0] for call in telegram.calls] == ["⚠", "✅"]

    async def test_bots_have_time_to_deliver_what_waited_before_they_are_called_silent(self, bench):
        await bench.restart(after=3600)
        bench.set(BOT_SILENT, 3700, service_name="shop", telegram_bot_id="1")
        await bench.pass_to(3640)
        assert bench.states(BOT_SILENT) == []
        bench.set(BOT_SILENT, 3, service_name="shop", telegram_bot_id="1")
        await bench.pass_to(3800)
        assert bench.states(BOT_SILENT) == []
        bench.set(BOT_SILENT, 130, service_name="shop", telegram_bot_id="1")
        await bench.pass_to(3900)
        assert bench.states(BOT_SILENT) == ["firing"]

    async def test_nobody_is_greeted_with_missing_telemetry(self, bench):
        bench.seen = False
        bench.set(TELEMETRY_MISSING, 0, a="b")
        await bench.pass_to(600)
        assert bench.states(TELEMETRY_MISSING) == []
        bench.seen = True
        await bench.pass_to(700)
        assert bench.states(TELEMETRY_MISSING) == ["firing"]


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.integration.alerts.bench import Bench
from otelbot.alerts.rules import DATABASE_DOWN

async def main():
    bench = Bench(Path(sys.argv[1]), dict(ALERT_TELEGRAM_TOKEN=sys.argv[2], ALERT_TELEGRAM_CHATS="55",
                                          TELEGRAM_API_URL=sys.argv[3]))
    bench.set(DATABASE_DOWN, 3, service_name="shop", db_system_name="postgresql")
    await bench.pass_to(20)

asyncio.run(main())
"""


async def test_killed_while_it_sends_it_does_not_send_again(tmp_path, environ, telegram):
    folder = tmp_path / "dashboard"
    came = asyncio.Event()

    async def take(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        await reader.read()  # until the other side is gone
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        silent = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", KILLED, str(folder), TOKEN, silent), env={**os.environ, "PYTHONPATH": os.getcwd()}
        )
        await asyncio.wait_for(came.wait(), PATIENCE)
        process.kill()
        await asyncio.wait_for(process.wait(), PATIENCE)
    bench = Bench(folder, environ)
    bench.now = START + 20
    bench.set(DATABASE_DOWN, 3, **POSTGRES)
    await bench.pass_to(65)
    assert bench.states(DATABASE_DOWN) == ["firing"]
    assert bench.notified("firing") == {"telegram 55": "unknown"}
    assert len(telegram.calls) == 0
    await bench.pass_to(90)
    assert bench.notified("firing") == {"telegram 55": "sent"}
    assert len(telegram.calls) == 1
    await bench.alerts.close()


class TestEvaluation:
    async def test_a_query_that_fails_changes_nothing_and_is_said_once(self, bench, caplog):
        bench.set(MEMORY_HIGH, MEMORY)
        bench.set(ERROR_RATE, 12)
        await bench.pass_to(130)
        bench.broken = TimeoutError("no answer within 10 s")
        await bench.pass_to(400)
        assert bench.states(MEMORY_HIGH) == ["firing"]
        [problem] = bench.alerts.overview()["problems"]
        assert "Memory high, Many errors" in problem
        assert problem.endswith("can't be evaluated: no answer within 10 s")
        assert caplog.text.count("“Memory high” can't be evaluated") == 1
        bench.broken = None
        await bench.pass_to(480)
        assert bench.alerts.overview()["problems"] == []

    async def test_more_alerts_than_anybody_reads_are_cut_off_and_said(self, bench):
        for number in range(300):
            bench.set(ERROR_RATE, 12, service_name=f"bot-{number}")
        await bench.pass_to(20)
        assert len(bench.states(ERROR_RATE)) == 200
        assert bench.alerts.overview()["problems"] == [
            "Many errors: has 100 more than the 200 alerts that are looked at"
        ]

    async def test_the_version_grows_with_each_change_only(self, bench):
        await bench.pass_to(20)
        before = bench.alerts.version
        await bench.pass_to(40)
        assert bench.alerts.version == before
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(60)
        assert bench.alerts.version > before
        assert bench.alerts.firing == 0
        await bench.pass_to(200)
        assert bench.alerts.firing == 1

    async def test_it_runs_by_itself(self, bench, telegram):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        running = asyncio.create_task(bench.alerts.run())
        bench.now += 5
        while bench.states(DATABASE_DOWN) != ["pending"]:
            await asyncio.sleep(0.05)
        bench.now += 20
        await telegram.wait_for_call("sendMessage")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestFile:
    async def test_a_broken_one_is_kept_aside(self, bench, caplog):
        file = bench.folder / "alerts.sqlite"
        await bench.alerts.close()
        for each in bench.folder.iterdir():
            each.write_bytes(b"no database" * 1000)
        bench.begin()
        bench.set(MEMORY_HIGH, MEMORY)
        await bench.pass_to(150)
        [aside] = bench.folder.glob("alerts.sqlite.corrupt-*[0-9]")
        assert aside.read_bytes().startswith(b"no database")
        [problem] = bench.alerts.overview()["problems"]
        assert problem == f"alerts.sqlite was broken and is kept as {aside.name}; silences and history begin anew"
        assert problem in caplog.text
        assert len(bench.history("firing")) == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    async def test_one_that_can_not_be_written_is_said_and_made_up_for(self, bench, telegram):
        lock = sqlite3.connect(bench.folder / "alerts.sqlite", isolation_level=None)
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(5)
        lock.execute("BEGIN IMMEDIATE")
        await bench.alerts.silence(MEMORY_HIGH.uid, None, 600)
        [problem] = bench.alerts.overview()["problems"]
        assert "alerts.sqlite can't be used (database is locked): make room, or let this user write there" in problem
        lock.execute("ROLLBACK")
        lock.close()
        await bench.pass_to(30)
        assert bench.alerts.overview()["problems"] == []
        assert len(telegram.calls) == 1
        assert bench.notified("firing") == {"telegram 55": "sent"}
        assert bench.history("silenced")

    async def test_where_none_can_be_made_alerts_are_told_all_the_same(self, tmp_path, environ, telegram):
        (tmp_path / "dashboard").write_text("a file, where a folder should be")
        bench = Bench(tmp_path / "dashboard", environ)
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(50)
        assert len(telegram.calls) == 1
        assert "can't be used (File exists)" in bench.alerts.overview()["problems"][0]
        (tmp_path / "dashboard").unlink()
        await bench.pass_to(80)
        assert bench.alerts.overview()["problems"] == []
        assert bench.notified("firing") == {"telegram 55": "sent"}
        await bench.alerts.close()

    async def test_history_is_bounded(self, bench):
        bench.set(DATABASE_DOWN, 3, **POSTGRES)
        await bench.pass_to(30)
        assert len(bench.history("firing")) == 1
        bench.set(DATABASE_DOWN, None, **POSTGRES)
        await bench.pass_to(300)
        await bench.restart(after=31 * 86_400)
        await bench.alerts.evaluate()
        assert bench.history("firing", "pending", "resolved") == []
