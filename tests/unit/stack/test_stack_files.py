"""Files get into a stack's folder without anything of a user's being lost."""

from __future__ import annotations

import json

import pytest

from otelbot.stack import files
from otelbot.stack.files import Manifest, place, remove_stale


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "stack"


def write(folder, contents, **options):
    folder.mkdir(exist_ok=True)
    manifest = Manifest.read(folder)
    placed = place(folder, contents, manifest, **options)
    placed.removed = remove_stale(folder, contents, manifest)
    manifest.write(folder)
    return placed


def test_the_stack_is_found_and_has_what_the_compose_file_mounts():
    found = files.packaged()
    assert {"docker-compose.yml", ".env.example", "Dockerfile", "examples/compose-bot/bot.py"} <= set(found)
    assert {"loki/loki.yaml", "tempo/tempo.yaml", "prometheus/prometheus.yaml", "collector-config/base.yaml"} <= set(
        found
    )
    assert not [path for path in found if path == ".env" or path.endswith((".pyc", "builder.yaml"))]


def test_new_files_are_written_and_the_second_time_nothing_is(folder):
    assert write(folder, {"a/b.yaml": b"1", "c": b"2"}).written == ["a/b.yaml", "c"]
    assert (folder / "a/b.yaml").read_bytes() == b"1"
    again = write(folder, {"a/b.yaml": b"1", "c": b"2"})
    assert (again.written, again.kept, again.removed) == ([], [], [])


def test_a_file_that_nobody_changed_is_renewed(folder):
    write(folder, {"a": b"1"})
    assert write(folder, {"a": b"2"}).written == ["a"]
    assert (folder / "a").read_bytes() == b"2"


def test_a_file_that_was_changed_is_kept_and_said(folder):
    write(folder, {"a": b"1", "b": b"1"})
    (folder / "a").write_bytes(b"mine")
    placed = write(folder, {"a": b"2", "b": b"2"})
    assert (placed.kept, placed.written) == (["a"], ["b"])
    assert (folder / "a").read_bytes() == b"mine"
    assert write(folder, {"a": b"3", "b": b"2"}).kept == ["a"]


def test_force_writes_it_and_leaves_the_old_one_beside_it(folder):
    write(folder, {"a": b"1"})
    (folder / "a").write_bytes(b"mine")
    assert write(folder, {"a": b"2"}, force=True).written == ["a"]
    assert (folder / "a").read_bytes() == b"2"
    assert (folder / "a.old").read_bytes() == b"mine"


@pytest.mark.parametrize("own", files.OWN)
def test_the_users_own_file_is_never_written_again(folder, own):
    write(folder, {own: b"1"})
    (folder / own).write_bytes(b"mine")
    assert write(folder, {own: b"2"}, force=True).kept == [own]
    assert (folder / own).read_bytes() == b"mine"


def test_what_is_no_longer_part_of_the_stack_goes_unless_it_was_changed(folder):
    write(folder, {"a": b"1", "b": b"1", "c": b"1"})
    (folder / "b").write_bytes(b"mine")
    assert write(folder, {"c": b"1"}).removed == ["a"]
    assert not (folder / "a").exists()
    assert (folder / "b").read_bytes() == b"mine"


def test_in_a_folder_without_a_manifest_what_is_there_is_the_users(folder):
    folder.mkdir()
    (folder / "a").write_bytes(b"mine")
    assert write(folder, {"a": b"1"}).kept == ["a"]


def test_in_a_clone_the_committed_files_are_the_stacks(folder):
    path = "grafana/provisioning/alerting/contact-points.yaml"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_bytes(files.packaged()[path])
    assert write(folder, {path: b"rendered"}).written == [path]


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"files": 5, "applied": {}}), "\x00"])
def test_a_broken_manifest_loses_nothing(folder, content):
    write(folder, {"a": b"1"})
    (folder / files.MANIFEST).write_text(content)
    (folder / "a").write_bytes(b"mine")
    assert write(folder, {"a": b"2"}).kept == ["a"]


def test_the_repositorys_own_gitignore_is_not_the_stacks():
    assert b".venv" in (files.source() / ".gitignore").read_bytes()
    assert b".venv" not in files.packaged()[".gitignore"]


def test_a_place_that_can_not_be_written_is_said(folder):
    folder.mkdir()
    (folder / "a").write_bytes(b"a file")
    with pytest.raises(files.FilesError, match="can't be written"):
        write(folder, {"a/b": b"1"})
