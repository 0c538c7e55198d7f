"""What the stack needs of the machine: Docker with a recent Compose, free ports, memory; and tools that check files."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The first Compose that has all of what docker-compose.yml uses and waits for one-shot services in `up --wait`.
OLDEST_COMPOSE = (2, 20)
#: What the services may take together, and something for the system.
LEAST_MEMORY = 2 * 2**30
#: A machine sold with 2 GB shows somewhat less.
_SLACK = 200 * 2**20

#: The published ports, each with what it is for and the variable that moves it.
PORTS = (("GRAFANA_PORT", "3000", "Grafana"), ("OTLP_GRPC_PORT", "4317", "OTLP"), ("OTLP_HTTP_PORT", "4318", "OTLP"))


class MachineError(Exception):
    """A sentence for the user: what is missing, and how to get it."""


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str], timeout: float = 120) -> tuple[int, str]:
    """Run a command to its end; returns its status and what it said on both outputs.

    :param timeout: seconds, after which the status is 124.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - the commands are ours
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout:g} seconds"
    except OSError as error:
        return 127, error.strerror or "can't be run"
    return ended.returncode, ended.stdout.decode(errors="replace")


def compose_version(environ: Mapping[str, str]) -> str:
    """Return the version of Docker Compose.

    :raises MachineError: where it is missing or too old.
    """
    if not shutil.which("docker", path=environ.get("PATH")):
        raise MachineError("docker is not installed: get Docker Engine from https://docs.docker.com/engine/install/")
    status, said = run(["docker", "compose", "version", "--short"], Path.cwd(), environ)
    found = re.search(r"v?(\d+)\.(\d+)\S*", said)
    if status or not found:
        raise MachineError(
            "docker has no `compose` command: install the plugin, https://docs.docker.com/compose/install/linux/"
        )
    if (int(found[1]), int(found[2])) < OLDEST_COMPOSE:
        oldest = ".".join(map(str, OLDEST_COMPOSE))
        raise MachineError(
            f"Docker Compose {found[0]} is older than {oldest}: update it, https://docs.docker.com/compose/install/linux/"
        )
    return found[0].lstrip("v")


def engine_version(environ: Mapping[str, str]) -> str:
    """Return the version of the Docker Engine.

    :raises MachineError: where none answers.
    """
    status, said = run(["docker", "version", "--format", "{{.Server.Version}}"], Path.cwd(), environ)
    if status:
        if "permission denied" in said.lower():
            raise MachineError(
                "the Docker Engine does not let this user in: sudo usermod -aG docker $USER, then log in anew"
            )
        raise MachineError("the Docker Engine does not answer: start it, for example with sudo systemctl start docker")
    return said.strip()


def running_services(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the services of the folder's stack that run; none where Docker can't tell."""
    status, said = run(["docker", "compose", "ps", "--services", "--status", "running"], folder, environ)
    return said.split() if status == 0 else []


def ports(values: Mapping[str, str]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each published port: the variable, the port, what it is for, and whether it is free."""
    address = values.get("BIND_ADDRESS") or "127.0.0.1"
    for variable, default, purpose in PORTS:
        port = values.get(variable) or default
        yield variable, port, purpose, _is_free(address.strip("[]"), port)


def _is_free(address: str, port: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            # As Docker does: a connection of a server that has just ended is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, int(port)))
    except PermissionError:
        return True  # a low port, which Docker may take though this user may not
    except (OSError, ValueError, OverflowError):
        return False
    return True


def memory_problem() -> str:
    """Return a sentence when the machine has too little memory, otherwise nothing."""
    total = psutil.virtual_memory().total
    if total + _SLACK >= LEAST_MEMORY:
        return ""
    return (
        f"this machine has {total / 2**30:.1f} GB of memory, and the services may take 2 GB together: use a larger one,"
        " or lower their mem_limit in docker-compose.override.yml"
    )


def tool(environ: Mapping[str, str], *names: str) -> str:
    """Return the path of the first of these programs that is on PATH or among otelbot's own tools, or nothing."""
    own = environ.get("OTELBOT_TOOLS_DIR", "")
    path = os.pathsep.join([environ.get("PATH", ""), *([str(Path(own) / "bin")] if own else [])])
    return next((found for name in names if (found := shutil.which(name, path=path))), "")
