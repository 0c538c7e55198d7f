"""Locked, full, corrupt, removed, killed: it is said, the receiver goes on, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest

from otelbot.dashboard.store import Store, StoreError, UnwritableError, writer
from tests.unit.dashboard.store.filling import LIMITS, add, logs, metrics, opened, rows, span, trace_id, traces, until

DATABASE = "telemetry.sqlite"


def spoil(path):
    """Overwrite a database from its second page on."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


async def test_a_locked_database_is_said_until_it_is_free(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "BUSY_TIMEOUT", 0.05)
    async with opened(tmp_path) as store:
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(2):
                with pytest.raises(UnwritableError, match="locked"):
                    await add(store, logs("tea"))
            (trouble,) = store.troubles
            assert DATABASE in trouble.what
            assert "close" in trouble.mend
            assert await rows(store, "SELECT count(*) FROM logs") == [(0,)]
            other.execute("ROLLBACK")
        await add(store, logs("tea"))
        assert store.troubles == []
        assert await rows(store, "SELECT body FROM logs") == [("tea",)]
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert ["has locked" in record.message for record in told] == [True]


async def test_a_full_disk_is_said_until_there_is_space(tmp_path):
    async with opened(tmp_path) as store:
        await store.write(lambda db: db.execute("PRAGMA max_page_count = 200").fetchall())
        kept = 0

        async def fill():
            nonlocal kept
            while True:
                kept += (await add(store, logs(*["x" * 1000] * 50))).count

        with pytest.raises(UnwritableError, match="no space"):
            await fill()
        (trouble,) = store.troubles
        assert "free space" in trouble.mend
        assert await rows(store, "SELECT count(*) FROM logs") == [(kept,)]
        await store.write(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchall())
        await add(store, logs("more", service="new"))
        assert store.troubles == []
        assert await rows(store, "SELECT count(*) FROM logs") == [(kept + 1,)]


async def test_what_was_remembered_in_a_transaction_that_failed_is_forgotten(tmp_path):
    """Its resources, scopes, series and totals are not in the database."""
    async with opened(tmp_path) as store:

        def fill(pages):
            return store.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchall())

        pages = (await rows(store, "PRAGMA page_count"))[0][0]
        await fill(pages + 5)
        big = {f"pot {number}": "x" * 1000 for number in range(100)}
        points = [{"as_int": 1, "attributes": big | {"n": str(number)}} for number in range(5)]
        request = metrics("sum", *points, aggregation_temporality=1, is_monotonic=True, service="new")
        with pytest.raises(UnwritableError):
            await add(store, request)
        await fill(100_000)
        await add(store, request)
        query = (
            "SELECT value, service FROM points JOIN series ON series.id = series JOIN resources r ON r.id = resource"
        )
        assert await rows(store, query) == [(1, "new")] * 5


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8192])
async def test_a_file_that_is_no_database_is_kept_aside(tmp_path, content):
    (tmp_path / DATABASE).write_bytes(content)
    async with opened(tmp_path) as store:
        await add(store, logs("tea"))
        (trouble,) = store.troubles
        (aside,) = tmp_path.glob("*.corrupt-*")
        assert str(aside) in trouble.what
        assert aside.read_bytes() == content
        assert await rows(store, "SELECT count(*) FROM logs") == [(1,)]


@pytest.mark.parametrize("change", ["PRAGMA user_version = 99", "DROP TABLE spans"])
async def test_a_database_of_another_version_is_kept_aside(tmp_path, change):
    async with opened(tmp_path) as store:
        await add(store, logs("tea"))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as db:
        db.execute(change)
    async with opened(tmp_path) as store:
        await add(store, logs("more"))
        assert "another version" in store.troubles[0].what
        assert await rows(store, "SELECT body FROM logs") == [("more",)]


@pytest.mark.parametrize("meets", ["writing", "reading"])
async def test_a_database_that_becomes_corrupt_is_kept_aside_and_nothing_else_is_lost(tmp_path, meets):
    async with opened(tmp_path) as store:
        await asyncio.gather(*(add(store, traces(*[span(trace_id()) for _ in range(500)])) for _ in range(20)))
        with closing(sqlite3.connect(tmp_path / DATABASE)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        await store.write(lambda db: db.execute("PRAGMA shrink_memory"))
        spoil(tmp_path / DATABASE)
        if meets == "reading":
            assert await rows(store, "SELECT count(body) FROM spans") == [(0,)]
        added = await add(store, traces(span(trace_id(), name="after")))
        assert added.count == 1
        assert await rows(store, "SELECT name FROM spans") == [("after",)]
        assert len(list(tmp_path.glob("*.corrupt-????????-??????"))) == 1
        (trouble,) = store.troubles
        assert "malformed" in trouble.what
        await store.clear()
        assert store.troubles == []


async def test_files_that_were_removed_are_begun_anew(tmp_path):
    async with opened(tmp_path) as store:
        await add(store, logs("before"))
        for path in tmp_path.glob(f"{DATABASE}*"):
            path.unlink()
        await add(store, logs("after"))
        assert await rows(store, "SELECT body FROM logs") == [("after",)]
        (trouble,) = store.troubles
        assert "removed" in trouble.what
    async with opened(tmp_path) as store:
        assert await rows(store, "SELECT body FROM logs") == [("after",)]


async def test_a_folder_that_goes_away_is_said_until_it_is_back(tmp_path):
    folder = tmp_path / "folder"
    async with opened(folder) as store:
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(UnwritableError, match="can't be written"):
            await add(store, logs("lost"))
        assert str(folder) in store.troubles[-1].what
        (tmp_path / "elsewhere").rename(folder)
        await add(store, logs("back"))
        assert await rows(store, "SELECT body FROM logs") == [("back",)]


async def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "taken" / DATABASE).mkdir(parents=True)
    for folder in (tmp_path / "file" / "folder", tmp_path / "taken"):
        with pytest.raises(StoreError, match="OTELBOT_DASHBOARD_FOLDER") as raised:
            Store(folder, LIMITS).start()
        assert str(folder) in str(raised.value)
        assert "\n" not in str(raised.value)


async def test_a_folder_serves_one_store(tmp_path):
    async with opened(tmp_path) as store:
        with pytest.raises(StoreError, match=rf"another dashboard \(process {os.getpid()}\) uses"):
            Store(tmp_path, LIMITS).start()
        await add(store, logs("tea"))
    async with opened(tmp_path) as store:
        assert await rows(store, "SELECT body FROM logs") == [("tea",)]


async def test_only_its_owner_can_read_what_is_kept(tmp_path):
    async with opened(tmp_path / "kept") as store:
        await add(store, logs("tea"))
        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "kept").iterdir()} == {0o600}


async def test_what_was_acknowledged_outlives_kill_9(tmp_path):
    source = """
    import asyncio, pathlib, sys
    from tests.unit.dashboard.store.filling import *

    async def send(store):
        while True:
            trace = trace_id()
            await add(store, traces(*[span(trace, text="x" * 200) for _ in range(50)]))
            print(trace.hex(), flush=True)

    async def main():
        async with opened(pathlib.Path(sys.argv[1])) as store:
            await asyncio.gather(*(send(store) for _ in range(4)))

    asyncio.run(main())
    """
    acknowledged = set()
    program = [sys.executable, "-c", textwrap.dedent(source), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            acknowledged.add(line.strip())
            if len(acknowledged) == 300:
                process.send_signal(signal.SIGKILL)
    async with opened(tmp_path) as store:
        kept = dict(await rows(store, "SELECT lower(hex(trace_id)), count(*) FROM spans GROUP BY 1"))
        assert acknowledged - kept.keys() == set()
        assert set(kept.values()) == {50}
        assert await rows(store, "SELECT DISTINCT spans FROM traces") == [(50,)]
        assert store.troubles == []
        await add(store, logs("goes on"))
        await until(lambda: rows(store, "SELECT count(*) FROM marks"))
