"""What the stack needs of the machine: Docker with a recent Compose, free ports, memory; and tools that check files."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import yaml

from otelbot.alerts.channels.values import is_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The first Compose that has all of what docker-compose.yml uses and waits for one-shot services in `up --wait`.
OLDEST_COMPOSE = (2, 20)
#: The first Engine that knows host-gateway, which the services use to reach this machine.
OLDEST_ENGINE = (20, 10)
#: Seconds for an answer of Docker's about itself.
PATIENCE = 30.0
#: What the services may take together where docker-compose.yml does not tell.
LEAST_MEMORY = 2 * 2**30
#: A machine sold with 2 GB shows somewhat less.
_SLACK = 200 * 2**20

#: The published ports, each with what it is for and the variable that moves it.
PORTS = (("GRAFANA_PORT", "3000", "Grafana"), ("OTLP_GRPC_PORT", "4317", "OTLP"), ("OTLP_HTTP_PORT", "4318", "OTLP"))


class MachineError(Exception):
    """A sentence for the user: what is missing, and how to get it."""


class AbsentError(MachineError):
    """There is no Docker here, or none that runs: the files may be for another machine."""


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
        raise AbsentError("docker is not installed: get Docker Engine from https://docs.docker.com/engine/install/")
    status, said = run(["docker", "compose", "version", "--short"], Path(os.sep), environ, PATIENCE)
    _require_answer(status)
    found = re.search(r"v?(\d+)\.(\d+)\S*", said)
    if status or not found:
        raise AbsentError(
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

    :raises MachineError: where none answers, or one that is too old.
    """
    status, said = run(["docker", "version", "--format", "{{.Server.Version}}"], Path(os.sep), environ, PATIENCE)
    _require_answer(status)
    if status:
        if "permission denied" in said.lower():
            raise MachineError(
                "the Docker Engine does not let this user in: sudo usermod -aG docker $USER, then log in anew"
            )
        raise AbsentError("the Docker Engine does not answer: start it, for example with sudo systemctl start docker")
    found = re.match(r"(\d+)\.(\d+)", said.strip())
    if found and (int(found[1]), int(found[2])) < OLDEST_ENGINE:
        oldest = ".".join(map(str, OLDEST_ENGINE))
        raise MachineError(
            f"Docker Engine {said.strip()} is older than {oldest}: update it, https://docs.docker.com/engine/install/"
        )
    return said.strip()


def _require_answer(status: int) -> None:
    if status == 124:
        raise MachineError(f"docker gives no answer within {PATIENCE:g} seconds: sudo systemctl restart docker")


def other_folder(folder: Path, project: str, environ: Mapping[str, str]) -> Path | None:
    """Return the other folder from which this Compose project runs: its containers would be taken for ours.

    One that is gone has only been moved.
    """
    status, said = run(["docker", "compose", "ls", "--format", "json"], Path(os.sep), environ, PATIENCE)
    try:
        running = [each["ConfigFiles"].split(",") for each in json.loads(said) if each["Name"] == project]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    others = [Path(each[0]) for each in running if status == 0 and each[0]]
    return next((file.parent for file in others if _is_other(file, folder)), None)


def _is_other(file: Path, folder: Path) -> bool:
    try:
        return file.is_file() and not file.parent.samefile(folder)
    except PermissionError:
        return True  # that of another user


def project(values: Mapping[str, str]) -> str:
    """Return the Compose project's name."""
    return values.get("COMPOSE_PROJECT_NAME") or "otelbot"


def other_sentence(other: Path, name: str) -> str:
    return (
        f"the stack {name} already runs from {other}: use that folder, or end it first:"
        f" otelbot stack down {shlex.quote(str(other))}"
    )


def running_services(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the services of the folder's stack that run; none where Docker can't tell."""
    status, said = run(["docker", "compose", "ps", "--services", "--status", "running"], folder, environ)
    return said.split() if status == 0 else []


def ports(values: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each published port: the variable, the port, what it is for, and a sentence when it can't be had."""
    address = values.get("BIND_ADDRESS") or "127.0.0.1"
    for variable, default, purpose in PORTS:
        port = values.get(variable) or default
        if is_port(port):
            yield variable, port, purpose, _obstacle(address, port, variable)


def _obstacle(address: str, port: str, variable: str) -> str:
    host = address.removeprefix("[").removesuffix("]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # As Docker does: a connection of a server that has just ended is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except PermissionError:
        return ""  # a low port, which Docker may take though this user may not
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            return f"BIND_ADDRESS={address} is not an address of this machine: set it to another in .env"
        return f"in use; set {variable} to another in .env"
    return ""


def memory_problem(folder: Path, profiles: Sequence[str] = ()) -> str:
    """Return a sentence when the machine has less memory than the services may take, otherwise nothing."""
    needed = memory_limits(folder, profiles)
    total = psutil.virtual_memory().total
    if total + _SLACK >= needed:
        return ""
    return (
        f"this machine has {total / 2**30:.1f} GB of memory, and the services may take {needed / 2**30:.1f} GB:"
        " use a larger one, or lower their mem_limit in docker-compose.override.yml"
    )


def memory_limits(folder: Path, profiles: Sequence[str] = ()) -> int:
    """Return what the services that run without a profile and those of these profiles may take together, in bytes."""
    services: dict[str, Any] = {}
    for name in ("docker-compose.yml", "docker-compose.override.yml"):
        try:
            found: Any = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
            for service, settings in found["services"].items():
                services[service] = services.get(service, {}) | settings
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
            continue
    chosen = [
        str(each.get("mem_limit", ""))
        for each in services.values()
        if not each.get("profiles") or "*" in profiles or set(each["profiles"]) & set(profiles)
    ]
    return sum(map(_bytes, chosen)) or LEAST_MEMORY


def _bytes(size: str) -> int:
    match = re.fullmatch(r"([0-9]+)([kmg]?)b?", size.lower())
    return int(match[1]) * 1024 ** " kmg".index(match[2] or " ") if match else 0


def tool(environ: Mapping[str, str], *names: str) -> str:
    """Return the path of the first of these programs that is on PATH or among otelbot's own tools, or nothing."""
    own = environ.get("OTELBOT_TOOLS_DIR", "")
    path = os.pathsep.join([environ.get("PATH", ""), *([str(Path(own) / "bin")] if own else [])])
    # Absolute, because it runs in another folder.
    return next((os.path.abspath(found) for name in names if (found := shutil.which(name, path=path))), "")  # noqa: PTH100
