"""`otelbot stack check`: everything that can be known about a stack's folder and this machine before it is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otelbot.alerts.channels import settings as channels
from otelbot.doctor import Check
from otelbot.stack import checkfiles, env, files, machine, required, settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

#: The folders that services mount.
MOUNTED = ("collector-config", "grafana/dashboards", "grafana/provisioning", "loki", "prometheus", "tempo")


def examine(folder: Path, environ: Mapping[str, str], profiles: Sequence[str] = ()) -> Iterator[Check]:
    """Check the stack in a folder, as it would be started with these profiles and those of COMPOSE_PROFILES."""
    try:
        yield from _examine(folder, environ, profiles)
    except OSError as error:
        detail = (
            f"{error.filename or folder} can't be read ({error.strerror}): use the user that owns the stack's folder"
        )
        yield Check("files", "folder", "failed", detail)


def _examine(folder: Path, environ: Mapping[str, str], profiles: Sequence[str]) -> Iterator[Check]:
    if not (folder / "docker-compose.yml").is_file():
        yield Check("files", "folder", "failed", f"{folder} holds no stack: otelbot stack init {files.shown(folder)}")
        return
    try:
        values = env.load(folder, environ)
    except env.EnvError as error:
        yield Check("settings", ".env", "failed", str(error))
        return
    yield from rights(folder)
    yield from checkfiles.examine(folder.resolve(), values, environ)  # programs run in other folders
    yield from settings.examine(folder, values, profiles)
    yield from alerts(values)
    yield from this_machine(folder, values, environ, required.chosen(values, profiles))


def rights(folder: Path) -> Iterator[Check]:
    """Check who can read and write the folder."""
    shown = files.shown(folder)
    if not os.access(folder, os.W_OK):
        detail = f"this user can't write into it, which otelbot stack up does: sudo chown -R $USER {shown}"
        yield Check("files", "folder", "failed", detail)
    if closed := files.closed(folder, MOUNTED):
        paths = " ".join(files.shown(folder / name) for name in closed)
        yield Check("files", "rights", "failed", f"the services can't read everything there: chmod -R go+rX {paths}")


def alerts(values: Mapping[str, str]) -> Iterator[Check]:
    """Check where alerts go."""
    found = channels.read(values)
    for problem in found.problems:
        yield Check("alerts", problem.variable, "failed", problem.sentence)
    if found.telegram:
        yield Check("alerts", "telegram", "ok", f"to {', '.join(map(str, found.telegram.chats))}")
    if found.email:
        yield Check("alerts", "email", "ok", f"to {', '.join(found.email.to)} by {found.email.host}:{found.email.port}")
        if found.email.skip_verify:
            yield Check("alerts", "SMTP_SKIP_VERIFY", "warning", "the mail server's certificate is not looked at")
    if found.webhook:
        how = "signed" if found.webhook.secret else "not signed: ALERT_WEBHOOK_SECRET would do that"
        yield Check("alerts", "webhook", "ok", how)
    if found.proxy:
        yield Check("alerts", "ALERT_PROXY", "ok", "Telegram and the webhook are reached through a proxy, mail is not")
        if urlsplit(found.proxy).hostname in {"localhost", "127.0.0.1", "::1"}:
            detail = "in Grafana's container this is the container: write host.docker.internal for this machine"
            yield Check("alerts", "ALERT_PROXY", "warning", detail)
    if not found.names and not found.problems:
        detail = (
            "nowhere: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS, ALERT_EMAIL_TO or ALERT_WEBHOOK_URL in .env"
        )
        yield Check("alerts", "channels", "warning", detail)


def this_machine(
    folder: Path, values: Mapping[str, str], environ: Mapping[str, str], profiles: Sequence[str] = ()
) -> Iterator[Check]:
    """Check Docker, the ports and the memory."""
    running: list[str] = []
    try:
        yield Check("machine", "docker compose", "ok", machine.compose_version(environ))
        yield Check("machine", "docker engine", "ok", machine.engine_version(environ))
        other = machine.other_folder(folder, machine.project(values), environ)
        if other:
            yield Check("machine", "project", "failed", machine.other_sentence(other, machine.project(values)))
        running = machine.running_services(folder, environ)
    except machine.MachineError as error:
        # The files may be for another machine; `up` stops where there is no Docker.
        absent = isinstance(error, machine.AbsentError)
        yield Check("machine", "docker", "warning" if absent else "failed", str(error))
    address = values.get("BIND_ADDRESS") or "127.0.0.1"
    if not settings.bind_problem(address) and address not in {"127.0.0.1", "[::1]"}:
        detail = f"{address}: whoever reaches it may send telemetry; put a firewall or a proxy in front"
        yield Check("machine", "BIND_ADDRESS", "warning", detail)
    if running:
        yield Check("machine", "services", "ok", f"running: {', '.join(running)}")
    elif not settings.bind_problem(address):
        for _, port, purpose, problem in machine.ports(values):
            yield Check("machine", f"port {port}", "failed" if problem else "ok", f"{purpose}: {problem or 'free'}")
    problem = machine.memory_problem(folder, profiles)
    enough = f"enough for {machine.memory_limits(folder, profiles) / 2**30:.1f} GB of services"
    yield Check("machine", "memory", "warning" if problem else "ok", problem or enough)
