"""`otelbot logs stats` and `tail`: every file of a folder is read, in order, whatever else stands in it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from otelbot.demo.waiting import PATIENCE
from otelbot.logs import reading
from otelbot.logs.cli import app
from otelbot.logs.files import LogFiles
from otelbot.logs.folder import Rotation
from tests.support import clean_environ

NAMES = ("bot.20260101-000000.log.gz", "bot.20260101-000001.log", "bot.20260101-000001-1.log", "bot.log")


def record(number, severity="INFO", **fields):
    stamp = f"2026-01-01T00:00:{number:02d}.000000Z"
    return {"timestamp": stamp, "severity": severity, "logger": "shop", "message": f"order {number}", **fields}


def write(path, *records):
    text = b"".join(
        each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in records
    )
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.fixture
def folder(tmp_path):
    """A folder with three records in each of four files, the third of each an error, and lines that are broken."""
    for position, name in enumerate(NAMES):
        first = position * 3
        write(
            tmp_path / name,
            record(first),
            b"no json \xff\n",
            b"[1]\n",
            record(first + 1, "WARN", text="käse"),
            record(first + 2, "ERROR"),
        )
        os.utime(tmp_path / name, (1_700_000_000 + position,) * 2)
    write(tmp_path / "errors.log", *(record(number, "ERROR") for number in (2, 5, 8, 11)))
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def shown(text):
    return [int(line.partition(" order ")[2].split()[0]) for line in text.splitlines()]


def test_stats_count_every_file_and_each_record_once(folder):
    write(folder / "bot.20260101-000000.log", record(0))  # the plain twin of the compressed file: a crash left it
    done = run("stats", folder, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["levels"] == {"INFO": 4, "WARN": 4, "ERROR": 4}
    assert found["files"]["bot"]["count"] == 4
    assert found["files"]["errors"] == {"count": 1, "bytes": (folder / "errors.log").stat().st_size}
    assert (found["oldest"], found["newest"]) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:11.000000Z")
    assert found["broken_lines"] == 8
    (error,) = found["errors"]
    assert (error["count"], error["text"]) == (4, "order …")


def test_errors_are_told_apart_by_their_fingerprint_and_counted_as_often_as_they_came(tmp_path):
    told = {"exception.type": "KeyError", "exception.message": "***"}
    write(
        tmp_path / "bot.log",
        record(1, "ERROR", **told, **{"exception.fingerprint": "aa", "exception.count": 1}),
        record(2, "ERROR", **told, **{"exception.fingerprint": "aa", "exception.count": 40}),
        record(2, "ERROR", message="it failed", **told, **{"exception.fingerprint": "aa"}),  # the first of them, logged
        record(3, "ERROR", **told, **{"exception.fingerprint": "bb", "exception.count": 1}),
        record(4, "FATAL", message="disk 7 of 0af7651916cd43dd8448eb211c80319c is gone"),
        record(5, "FATAL", message="disk 8 of b7ad6b7169203331 is gone"),
    )
    found = json.loads(run("stats", tmp_path, "--json").stdout)["errors"]
    assert [(each["text"], each["fingerprint"], each["count"]) for each in found] == [
        ("KeyError: ***", "aa", 41),
        ("disk … of … is gone", None, 2),
        ("KeyError: ***", "bb", 1),
    ]
    table = run("stats", tmp_path, "--top", 1).stdout
    assert "KeyError: ***" in table
    assert "disk" not in table


def test_stats_for_people(folder):
    text = run("stats", folder).stdout
    assert "bot.log" in text
    assert "ERROR" in text
    assert "8 lines are no records" in text


def test_stats_of_many_different_errors_stay_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_MOST_ERRORS", 10)
    names = ["often"] * 5 + [chr(ord("p") + number % 10) * (number + 1) for number in range(50)]
    write(tmp_path / "bot.log", *(record(1, "ERROR", message=name) for name in names))
    found = reading.stats(tmp_path).errors
    assert len(found) <= 10
    assert (found[0].text, found[0].count) == ("often", 5)


@pytest.mark.parametrize("count", [0, 1, 4, 7, 100])
def test_tail_shows_the_newest_across_files(folder, count):
    done = run("tail", folder, "-n", count)
    assert done.exit_code == 0
    assert shown(done.stdout) == list(range(12))[max(12 - count, 0) :]


def test_tail_of_a_level_and_of_the_errors(folder):
    assert shown(run("tail", folder, "--level", "warning").stdout) == [1, 2, 4, 5, 7, 8, 10, 11]
    assert shown(run("tail", folder, "--level", "error", "-n", 2).stdout) == [8, 11]
    assert shown(run("tail", folder, "--errors", "-n", 3).stdout) == [5, 8, 11]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stats", "nowhere"], "nowhere does not exist"),
        (["tail", "nowhere"], "nowhere does not exist"),
        (["stats", "file"], "is no folder"),
        (["tail", "empty"], "has no bot.log yet"),
        (["tail", "empty", "--level", "loud"], "--level loud: it is one of debug"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    done = run(*words)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_compressed_file_that_is_cut_gives_what_it_has(tmp_path):
    path = tmp_path / "bot.20260101-000000.log.gz"
    write(path, *(record(number % 60, text=os.urandom(200).hex()) for number in range(300)))
    path.write_bytes(path.read_bytes()[:-2000])
    write(tmp_path / "bot.log", record(1))
    assert 1 < reading.stats(tmp_path).levels["INFO"] < 301


def test_follow_goes_on_across_rotation_and_loses_nothing(tmp_path):
    folder, output = tmp_path / "logs", tmp_path / "shown"
    files = LogFiles(str(folder), Rotation(2000, 10_000, 3650, 3650), 2**20)
    files.write(json.dumps(record(0)).encode() + b"\n", error=False)
    assert files.flush(PATIENCE)
    with output.open("wb") as out:
        start = "import sys; from otelbot.logs.cli import app; app()"
        words = [sys.executable, "-c", start, "tail", str(folder), "-f"]
        follower = subprocess.Popen(words, stdout=out, env=clean_environ())
    try:
        eventually(lambda: len(output.read_text().splitlines()) == 1)
        for number in range(1, 400):
            files.write(json.dumps(record(number % 60, n=number)).encode() + b"\n", error=number % 50 == 0)
            if number % 10 == 0:
                time.sleep(0.01)
        assert files.flush(PATIENCE)
        eventually(lambda: "n=399" in output.read_text())
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE) == 0
    finally:
        follower.kill()
        files.close(PATIENCE)
    numbers = [int(line.rpartition("n=")[2]) for line in output.read_text().splitlines()[1:]]
    assert numbers == list(range(1, 400))
    assert len(list(folder.iterdir())) > 10


def eventually(look):
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.05)
