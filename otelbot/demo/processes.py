"""Child processes that never outlive the block that started them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path


@asynccontextmanager
async def running(
    command: Sequence[str],
    log: Path,
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    patience: float = 10,
    env: Mapping[str, str] | None = None,
    **identity: Any,
) -> AsyncIterator[Process]:
    """Run a command with its output in `log`; at the end send `stop_signal`, and kill after `patience` seconds.

    :param identity: `user`, `group` and `extra_groups` of `subprocess.Popen`.
    """
    with log.open("ab") as output:
        # In a session of its own: Ctrl-C in the terminal must reach the demo only, which stops its parts in order.
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            cwd=log.parent,
            env=env,
            **identity,
        )
    try:
        yield process
    finally:
        await stop(process, stop_signal, patience)


async def stop(process: Process, stop_signal: signal.Signals, patience: float) -> None:
    """End a process that was started in a session of its own, and whatever it has started in there."""
    try:
        if process.returncode is None:
            process.send_signal(stop_signal)
        await asyncio.wait_for(process.wait(), patience)
    except asyncio.TimeoutError:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def last_lines(log: Path, count: int = 10) -> str:
    """Return the end of a log, or nothing when there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
