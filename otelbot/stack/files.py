"""The stack's files: where they come from, and how they get into a folder without a user's changes being lost.

A manifest in the folder holds the hash of what was written. A file that still has it is the stack's and may be renewed;
one that has another is the user's and is kept.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MANIFEST = ".otelbot-stack.json"
#: Written once, the user's from then on.
OWN = ("collector-config/extras.yaml", ".gitignore")

_FILES = (".env.example", "docker-compose.yml", "Dockerfile", ".dockerignore")
_FOLDERS = ("collector-config", "examples/compose-bot", "grafana", "loki", "prometheus", "tempo")
_SUFFIXES = {".yaml", ".yml", ".json", ".md", ".txt", ".py"}
#: In a checkout the one at its root is the repository's, so a stack's is not copied from there.
_IGNORED = b"""\
# What is this installation's own: secrets, what otelbot has written, changes to docker-compose.yml.
.env
.env.*
!.env.example
.otelbot-stack.json
docker-compose.override.yml
"""
_NOT_OURS = {"collector-config/builder.yaml"}  # what the tests' Collector is built from


class FilesError(Exception):
    """A sentence for the user: what can't be read or written."""


def source() -> Path:
    """Return the folder that holds the stack: that of the installed package, or an editable checkout's root.

    :raises FilesError: when neither has it.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "files", here.parents[1]):
        if (folder / "docker-compose.yml").is_file():
            return folder
    raise FilesError("this installation of otelbot lacks the stack's files: pip install --force-reinstall otelbot")


def packaged() -> dict[str, bytes]:
    """Return the stack's files by their paths, with slashes, in its folder."""
    root = source()
    return {path: (root / path).read_bytes() for path in sorted(_paths(root))} | {".gitignore": _IGNORED}


def _paths(root: Path) -> Iterator[str]:
    yield from (name for name in _FILES if (root / name).is_file())
    for folder in _FOLDERS:
        for file in (root / folder).rglob("*"):
            path = file.relative_to(root).as_posix()
            if file.is_file() and file.suffix in _SUFFIXES and path not in _NOT_OURS and "__pycache__" not in path:
                yield path


@dataclass
class Manifest:
    """What was written into a folder: `files` has hashes by path, `applied` those that the running services read."""

    files: dict[str, str] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Return the folder's manifest; one that is missing or broken is empty, so everything changed is kept."""
        try:
            content: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return cls(dict(content["files"]), dict(content["applied"]))
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def write(self, folder: Path) -> None:
        """:raises FilesError: where it can't be written."""
        content = {"files": dict(sorted(self.files.items())), "applied": dict(sorted(self.applied.items()))}
        try:
            (folder / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            sentence = f"{folder / MANIFEST} can't be written ({error.strerror}): choose a folder that is yours"
            raise FilesError(sentence) from None


@dataclass
class Placed:
    """What became of the files."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def place(folder: Path, contents: Mapping[str, bytes], manifest: Manifest, *, force: bool = False) -> Placed:
    """Write files, except those that the user has changed; with `force` these too, their old content beside them.

    :param contents: by path; what of it the manifest knows is renewed.
    :raises FilesError: when the folder can't be written.
    """
    placed = Placed()
    # In a clone there is no manifest, and the committed files are the packaged ones.
    original = {path: digest(content) for path, content in packaged().items()}
    for path, content in contents.items():
        file = folder / path
        try:
            found = file.read_bytes() if file.is_file() else None
            if found is not None and found != content:
                theirs = digest(found) != manifest.files.get(path, original.get(path))
                if path in OWN or (theirs and not force):
                    placed.kept.append(path)
                    continue
                if theirs:
                    file.replace(file.with_name(f"{file.name}.old"))
            if found != content:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                placed.written.append(path)
            _open(folder, file)
        except OSError as error:
            raise FilesError(f"{file} can't be written ({error.strerror}): choose a folder that is yours") from None
        manifest.files[path] = digest(content)
    return placed


def _open(folder: Path, file: Path) -> None:
    """Let everybody read a file below the folder: services run as users of their own. Umask may have closed it."""
    for path in (file, *(parent for parent in file.parents if folder in parent.parents)):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (0o755 if path != file else 0o644)
        if mode != wanted:
            path.chmod(wanted)


def closed(folder: Path, names: Iterable[str]) -> list[str]:
    """Return which of these folders have something that not everybody can read."""

    def is_closed(path: Path) -> bool:
        mode = path.stat().st_mode
        return not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH)

    return [
        name
        for name in names
        if (folder / name).is_dir()
        and any(is_closed(path) for path in (folder / name, *(folder / name).rglob("*")) if path.exists())
    ]


def shown(folder: Path) -> str:
    """Return a folder as it is written in a command for a shell."""
    return shlex.quote(str(folder))


def remove_stale(folder: Path, current: Mapping[str, bytes], manifest: Manifest) -> list[str]:
    """Remove what an older otelbot wrote, this one no longer has, and the user has not changed; returns the paths."""
    removed = []
    for path in sorted(set(manifest.files) - set(current)):
        file = folder / path
        if file.is_file() and digest(file.read_bytes()) == manifest.files[path]:
            file.unlink()
            removed.append(path)
        del manifest.files[path]
    return removed


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
