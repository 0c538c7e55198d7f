"""Files of logs: nothing is lost or doubled, whoever else writes, whatever the disk does and the clock says."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from otelbot import privacy
from otelbot.demo.waiting import PATIENCE
from otelbot.logs import files as files_module
from otelbot.logs.files import LogFiles
from otelbot.logs.folder import Folder, Rotation, put_aside, without_twins
from tests.support import clean_environ

FOREVER = Rotation(max_bytes=2**30, backups=10_000, gzip_days=3650, keep_days=3650)
DAY = 86_400


@pytest.fixture
def make():
    """Makes LogFiles, and closes them."""
    made = []

    def start(folder, rotation=FOREVER, max_bytes=2**20):
        made.append(LogFiles(str(folder), rotation, max_bytes))
        return made[-1]

    yield start
    for each in made:
        each.close(PATIENCE)


def line(**fields):
    return json.dumps(fields).encode() + b"\n"


def contents(folder, kind="bot"):
    """Return the records of a kind, the oldest file first."""
    paths = [Path(each.path) for each in without_twins(put_aside(str(folder), kind))]
    texts = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in paths]
    current = folder / f"{kind}.log"
    texts += [current.read_bytes()] if current.exists() else []
    assert all(text.endswith(b"\n") for text in texts if text)
    return [json.loads(each) for text in texts for each in text.splitlines()]


def eventually(look, what="the files"):
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


def asides(folder, kind="bot"):
    return [Path(each.path) for each in put_aside(str(folder), kind)]


def otelbots(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "otelbot"]


def test_every_record_in_one_file_and_errors_in_another(tmp_path, make):
    folder = tmp_path / "deep" / "logs"
    files = make(folder)
    files.write(line(n=1), error=False)
    files.write(line(n=2), error=True)
    assert files.flush(PATIENCE)
    assert [each["n"] for each in contents(folder)] == [1, 2]
    assert [each["n"] for each in contents(folder, "errors")] == [2]
    assert (folder / "bot.log").stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_lines_are_written_without_being_asked(tmp_path, make):
    make(tmp_path).write(line(n=1), error=False)
    eventually(lambda: (tmp_path / "bot.log").exists() and contents(tmp_path))


def test_the_end_writes_what_waits_and_takes_no_more(tmp_path, make):
    files = make(tmp_path)
    files.write(line(n=1), error=False)
    files.close(PATIENCE)
    files.write(line(n=2), error=False)
    files.close(PATIENCE)
    assert [each["n"] for each in contents(tmp_path)] == [1]


def test_a_file_is_put_aside_before_it_grows_too_large(tmp_path, make):
    files = make(tmp_path, FOREVER._replace(max_bytes=100))
    for number in range(50):
        files.write(line(n=number, text="x" * 20), error=number % 2 == 0)
    files.write(line(n=50, text="long" * 100), error=False)
    files.write(line(n=51), error=False)
    assert files.flush(PATIENCE)
    assert [each["n"] for each in contents(tmp_path)] == list(range(52))
    assert [each["n"] for each in contents(tmp_path, "errors")] == list(range(0, 50, 2))
    sizes = [path.stat().st_size for path in asides(tmp_path)]
    assert len(sizes) > 20
    assert sorted(sizes)[-2] <= 100  # one line is longer than that
    assert all(size > 0 for size in sizes)


def test_only_so_many_are_kept(tmp_path, make):
    files = make(tmp_path, FOREVER._replace(max_bytes=100, backups=3))
    for number in range(50):
        files.write(line(n=number, text="x" * 20), error=True)
    assert files.flush(PATIENCE)
    for kind in ("bot", "errors"):
        eventually(lambda kind=kind: len(asides(tmp_path, kind)) == 3)
        assert [each["n"] for each in contents(tmp_path, kind)] == list(range(50))[-len(contents(tmp_path, kind)) :]


WRITER = """
    import json, sys, time
    from otelbot.logs.files import LogFiles
    from otelbot.logs.folder import Rotation
    folder, who, count, gzip_days = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    files = LogFiles(folder, Rotation(20_000, 100_000, gzip_days, 3650), 2**26)
    for number in range(count):
        text = json.dumps({"who": who, "n": number, "text": "x" * 60}).encode() + b"\\n"
        files.write(text, error=number % 10 == 0)
        if number % 20 == 0:
            time.sleep(0.002)
    files.close(60)
"""


def writer(folder, who, count, gzip_days):
    words = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder), who, str(count), str(gzip_days)]
    return subprocess.Popen(words, env=clean_environ())


@pytest.mark.parametrize("gzip_days", [3650, 1e-9], ids=["plain", "compressed at once"])
def test_two_processes_under_load_lose_and_double_nothing(tmp_path, gzip_days):
    count = 3000
    writers = [writer(tmp_path, who, count, gzip_days) for who in ("a", "b")]
    assert [each.wait(PATIENCE) for each in writers] == [0, 0]
    for kind, step in (("bot", 1), ("errors", 10)):
        records = contents(tmp_path, kind)
        seen = Counter((each["who"], each["n"]) for each in records)
        assert seen == Counter((who, number) for who in ("a", "b") for number in range(0, count, step))
        for who in ("a", "b"):
            mine = [each["n"] for each in records if each["who"] == who]
            assert mine == sorted(mine) or gzip_days < 1  # two files of one tick of the clock that were compressed
    assert len(asides(tmp_path)) > 10
    assert all(path.stat().st_size <= 20_000 for path in asides(tmp_path))
    if gzip_days < 1:
        assert any(path.suffix == ".gz" for path in asides(tmp_path))


def test_threads_wait_for_nothing_and_lose_nothing(tmp_path, make):
    files = make(tmp_path, FOREVER._replace(max_bytes=5000), max_bytes=2**24)

    def log(who):
        for number in range(500):
            files.write(line(who=who, n=number), error=False)

    threads = [threading.Thread(target=log, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.flush(PATIENCE)
    assert Counter((each["who"], each["n"]) for each in contents(tmp_path)) == Counter(
        (who, number) for who in range(4) for number in range(500)
    )


def test_a_line_that_a_killed_process_left_unfinished_spoils_no_other(tmp_path, make):
    files = make(tmp_path)
    (tmp_path / "bot.log").write_bytes(b'{"n": 0}\n{"n": "unfin')
    files.write(line(n=1), error=False)
    assert files.flush(PATIENCE)
    assert (tmp_path / "bot.log").read_bytes() == b'{"n": 0}\n{"n": "unfin\n{"n": 1}\n'


def test_a_file_that_something_else_moves_away_is_begun_anew(tmp_path, make):
    files = make(tmp_path)
    files.write(line(n=1), error=False)
    assert files.flush(PATIENCE)
    (tmp_path / "bot.log").rename(tmp_path / "elsewhere")
    files.write(line(n=2), error=False)
    assert files.flush(PATIENCE)
    for each in tmp_path.iterdir():
        each.unlink()
    tmp_path.rmdir()
    files.write(line(n=3), error=False)
    assert files.flush(PATIENCE)
    assert [each["n"] for each in contents(tmp_path)] == [3]


def shift(monkeypatch, seconds):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


MIDNIGHT = FOREVER._replace(max_bytes=None)


def test_at_midnight_a_file_is_put_aside_once(tmp_path, make, monkeypatch):
    files = make(tmp_path, MIDNIGHT)
    files.write(line(n=1), error=False)
    assert files.flush(PATIENCE)
    with monkeypatch.context() as patch:
        shift(patch, DAY)
        for number in (2, 3):
            files.write(line(n=number), error=False)
            assert files.flush(PATIENCE)
        (aside,) = asides(tmp_path)
        assert json.loads(aside.read_text())["n"] == 1
        assert aside.name.startswith(time.strftime("bot.%Y%m%d-", time.localtime(time.time())))
        assert [each["n"] for each in contents(tmp_path)] == [1, 2, 3]


def test_a_bot_that_starts_on_another_day_puts_yesterdays_file_aside(tmp_path, make):
    old = tmp_path / "bot.log"
    old.write_bytes(line(n=1))
    os.utime(old, (time.time() - 2 * DAY,) * 2)
    files = make(tmp_path, MIDNIGHT)
    files.write(line(n=2), error=False)
    assert files.flush(PATIENCE)
    assert len(asides(tmp_path)) == 1
    assert [each["n"] for each in contents(tmp_path)] == [1, 2]


def test_two_files_of_one_second_have_names_of_their_own(tmp_path, make, monkeypatch):
    monkeypatch.setattr(time, "localtime", lambda _moment: time.gmtime(1_795_860_900))
    files = make(tmp_path, FOREVER._replace(max_bytes=10))
    for number in range(12):
        files.write(line(n=number), error=False)
        assert files.flush(PATIENCE)
    assert len(asides(tmp_path)) == 11
    assert (tmp_path / "bot.20261128-101500.log").exists() or (tmp_path / "bot.20261128-101500-1.log").exists()
    assert [each["n"] for each in contents(tmp_path)] == list(range(12))


def old_files(folder, ages):
    for position, age in enumerate(ages):
        path = folder / f"bot.20260101-00000{position}.log"
        path.write_bytes(line(n=position))
        os.utime(path, (time.time() - age * DAY,) * 2)


def test_old_files_are_compressed_and_older_ones_removed(tmp_path, make):
    old_files(tmp_path, [31, 29, 8, 6])
    before = (tmp_path / "bot.20260101-000002.log").stat().st_mtime_ns
    (tmp_path / "mine.log").write_text("mine")
    make(tmp_path, FOREVER._replace(gzip_days=7, keep_days=30))
    names = ["bot.20260101-000001.log.gz", "bot.20260101-000002.log.gz", "bot.20260101-000003.log"]
    eventually(lambda: [each.name for each in asides(tmp_path)] == names)
    assert (tmp_path / names[1]).stat().st_mtime_ns == before
    assert gzip.decompress((tmp_path / names[1]).read_bytes()) == line(n=2)
    assert [each["n"] for each in contents(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "mine.log").exists()


def test_what_a_file_becomes_with_time(tmp_path, make, monkeypatch):
    files = make(tmp_path, Rotation(max_bytes=50, backups=100, gzip_days=7, keep_days=30))

    def log(number):
        files.write(line(n=number, text="x" * 40), error=False)
        assert files.flush(PATIENCE)

    log(1)
    log(2)
    (first,) = asides(tmp_path)
    with monkeypatch.context() as patch:
        shift(patch, 8 * DAY)
        log(3)
        eventually(lambda: Path(f"{first}.gz") in asides(tmp_path) and first not in asides(tmp_path))
        assert [each["n"] for each in contents(tmp_path)] == [1, 2, 3]
    with monkeypatch.context() as patch:
        shift(patch, 31 * DAY)
        log(4)
        eventually(lambda: Path(f"{first}.gz") not in asides(tmp_path))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["write", "fsync", "rename", "unlink"])
def test_a_crash_while_compressing_neither_loses_nor_doubles(tmp_path, monkeypatch, step):
    old_files(tmp_path, [8])
    folder = Folder(str(tmp_path), FOREVER._replace(gzip_days=7))

    def killed(*_args, **_options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, step, killed)
        with pytest.raises(Killed):
            list(folder.housekeeping())
    assert [each["n"] for each in contents(tmp_path)] == [0]
    list(folder.housekeeping())
    assert sorted(each.name for each in tmp_path.iterdir() if not each.name.endswith(".lock")) == [
        "bot.20260101-000000.log.gz"
    ]
    assert [each["n"] for each in contents(tmp_path)] == [0]


def test_only_one_process_keeps_house(tmp_path):
    old_files(tmp_path, [8, 8])
    rotation = FOREVER._replace(gzip_days=7)
    one, other = Folder(str(tmp_path), rotation), Folder(str(tmp_path), rotation)
    steps = one.housekeeping()
    next(steps)
    assert list(other.housekeeping()) == []
    assert len(list(steps)) > 0
    assert all(path.suffix == ".gz" for path in asides(tmp_path))


def failing_writes(monkeypatch, number, after=0):
    """Let each write to a log file take `after` bytes and then fail, as a disk does that is full."""
    real = os.write
    state = {"on": True, "failed": 0}

    def write(fd, encoded):
        if not state["on"] or not _is_log(fd):
            return real(fd, encoded)
        if after and state["failed"] % 2 == 0:
            state["failed"] += 1
            return real(fd, bytes(encoded)[:after])
        state["failed"] += 1
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)
    return state


def _is_log(fd):
    target = Path(f"/proc/self/fd/{fd}")
    return target.exists() and target.resolve().suffix == ".log"


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@linux
@pytest.mark.parametrize("after", [0, 5], ids=["nothing fits", "half a line fits"])
def test_a_full_disk_is_one_warning_and_what_waits_is_written_when_it_has_room(
    tmp_path, make, monkeypatch, caplog, after
):
    monkeypatch.setattr(files_module, "_PAUSE", 0.05)
    files = make(tmp_path)
    files.write(line(n=0), error=False)
    assert files.flush(PATIENCE)
    state = failing_writes(monkeypatch, errno.ENOSPC, after)
    for number in range(1, 6):
        files.write(line(n=number), error=number == 3)
    eventually(lambda: state["failed"] > 8)
    assert not files.flush(PATIENCE)
    (warning,) = otelbots(caplog)
    assert f"OTELBOT_LOG_DIR={tmp_path}" in warning
    assert "No space left on device" in warning
    assert [each["n"] for each in contents(tmp_path)] == [0]
    state["on"] = False
    eventually(lambda: len(contents(tmp_path)) == 6 and contents(tmp_path, "errors"))
    assert [each["n"] for each in contents(tmp_path)] == list(range(6))
    assert [each["n"] for each in contents(tmp_path, "errors")] == [3]


@linux
def test_what_waits_is_bounded_and_the_newest_is_kept(tmp_path, make, monkeypatch, caplog):
    monkeypatch.setattr(files_module, "_PAUSE", 0.05)
    files = make(tmp_path, max_bytes=1000)
    state = failing_writes(monkeypatch, errno.ENOSPC)
    for number in range(1000):
        files.write(line(n=number), error=False)
    eventually(lambda: len(otelbots(caplog)) == 2)
    assert any("the oldest are dropped" in warning for warning in otelbots(caplog))
    state["on"] = False
    assert files.flush(PATIENCE)
    numbers = [each["n"] for each in contents(tmp_path)]
    assert numbers == list(range(1000))[-len(numbers) :]
    assert (tmp_path / "bot.log").stat().st_size <= 1000
    eventually(lambda: len(otelbots(caplog)) == 2)


LIMITED = """
    import json, logging, resource, sys, time
    from pathlib import Path
    from otelbot.logs.files import LogFiles
    from otelbot.logs.folder import Rotation
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    folder = Path(sys.argv[1])
    files = LogFiles(str(folder), Rotation(2**30, 5, 7, 30), 2**20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    for number in range(100):
        files.write(json.dumps({"n": number}).encode() + b"\\n", error=False)
        if number % 10 == 0:
            files.flush(60)
    print("full", flush=True)
    assert all(json.loads(each) for each in (folder / "bot.log").read_text().splitlines())
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files.flush(60)
    files.close(60)
    assert [json.loads(each)["n"] for each in (folder / "bot.log").read_text().splitlines()] == list(range(100))
"""


def test_a_file_that_may_not_grow_has_no_half_lines(tmp_path):
    words = [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path)]
    done = subprocess.run(words, env=clean_environ(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("OTELBOT_LOG_DIR") == 1


UNWRITABLE = """
    import logging, os, sys
    from otelbot.logs.files import LogFiles
    from otelbot.logs.folder import Rotation
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    if os.geteuid() == 0 and sys.argv[2] == "drop":
        os.setgroups([])
        os.setuid(65534)
    files = LogFiles(sys.argv[1], Rotation(2**30, 5, 7, 30), 2**20)
    for number in range(3):
        files.write(b"{}\\n", error=True)
        assert not files.flush(60)
    files.close(60)
"""


@pytest.mark.parametrize("what", ["read-only", "below read-only", "a file", "below a file"])
def test_a_folder_that_can_not_be_used_is_one_warning(tmp_path, what):
    if "file" in what:
        base = tmp_path / "base"
        base.write_text("mine")
    else:
        base = tmp_path / "base"
        base.mkdir()
        base.chmod(0o555)
    folder = base / "logs" if what.startswith("below") else base
    drop = "keep" if "file" in what else "drop"  # root may write anywhere
    words = [sys.executable, "-c", textwrap.dedent(UNWRITABLE), str(folder), drop]
    done = subprocess.run(words, env=clean_environ(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    base.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, "")
    (warning,) = done.stdout.splitlines()
    assert f"OTELBOT_LOG_DIR={folder}" in warning


def test_a_secret_that_becomes_known_while_a_line_waits_is_not_written(tmp_path, make):
    files = make(tmp_path)
    files.write(line(text="my-webhook-secret-1"), error=False)
    privacy.register_secret("my-webhook-secret-1")
    assert files.flush(PATIENCE)
    assert "my-webhook-secret-1" not in (tmp_path / "bot.log").read_text()
    assert len(contents(tmp_path)) == 1


FORKING = """
    import json, os, sys
    from otelbot.logs.files import LogFiles
    from otelbot.logs.folder import Rotation
    files = LogFiles(sys.argv[1], Rotation(500, 1000, 7, 30), 2**20)
    def log(who):
        for number in range(200):
            files.write(json.dumps({"who": who, "n": number}).encode() + b"\\n", error=number % 7 == 0)
    for number in range(50):
        files.write(json.dumps({"who": "before", "n": number}).encode() + b"\\n", error=False)
    child = os.fork()
    log("child" if child == 0 else "parent")
    files.close(60)
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_writes_its_own_lines_and_none_of_the_parents(tmp_path):
    words = [sys.executable, "-c", textwrap.dedent(FORKING), str(tmp_path)]
    done = subprocess.run(words, env=clean_environ(), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    counts = Counter((each["who"], each["n"]) for each in contents(tmp_path))
    assert set(counts.values()) == {1}
    assert Counter(who for who, _ in counts) == {"before": 50, "child": 200, "parent": 200}
