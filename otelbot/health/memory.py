"""Whether memory runs short: that of the machine, or what the container may use, whichever is fuller."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from otelbot.health.checks import Check, Degraded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LIMIT = 0.9
_ROOT = Path("/")
#: Version 1 writes "no limit" as a number beyond every machine.
_UNLIMITED = 2**60


def memory_check(limit: float = LIMIT, root: Path = _ROOT) -> Check:
    """:param limit: the share that may be used.
    :param root: where `proc` and `sys` are.
    """
    return Check("memory", partial(_look, limit, root), timeout=2.0, critical=False)


def checks() -> Iterable[Check]:
    return [memory_check()]


def _look(limit: float, root: Path) -> None:
    used, whose = max([(psutil.virtual_memory().percent / 100, "the machine"), *_of_container(root)])
    if used >= limit:
        raise Degraded(f"{used:.0%} of the memory of {whose} is used, more than {limit:.0%}")


def _of_container(root: Path) -> Iterator[tuple[float, str]]:
    """Yield the used share of the limit of each control group that this process is in, where it has one."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # not Linux
    for group in groups:
        _, controllers, path = group.split(":", 2)
        base = root / "sys/fs/cgroup"
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base /= "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = base / path.lstrip("/")
        if ".." in folder.parts or not folder.is_dir():
            folder = base  # a container sees its own group as the root
        while folder.is_relative_to(base):
            if (used := _used(folder, *names)) is not None:
                yield used, "the container"
            folder = folder.parent


def _used(folder: Path, limit_file: str, current_file: str, cache: str) -> float | None:
    try:
        limit = int((folder / limit_file).read_text(encoding="utf-8"))
        current = int((folder / current_file).read_text(encoding="utf-8"))
        statistics = (folder / "memory.stat").read_text(encoding="utf-8")
    except (OSError, ValueError):  # the root has none, and "max" is no number
        return None
    if not 0 < limit < _UNLIMITED:
        return None
    # Files that were read long ago are given up before anything is killed.
    idle = next((int(line.split()[1]) for line in statistics.splitlines() if line.startswith(cache + " ")), 0)
    return max(current - idle, 0) / limit
