"""`otelbot stack check`: everything that can be known about a stack's folder and this machine before it is started."""

from __future__ import annotations

import ipaddress
import re
import stat
from typing import TYPE_CHECKING

from otelbot.doctor import Check
from otelbot.stack import channels, checkfiles, env, machine, required

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TOKEN = re.compile(r"\d{5,}:[A-Za-z0-9_-]{30,}")
_HOURS = re.compile(r"(?=\d)(\d+h)?(\d+m)?(\d+s)?")
_AGE = re.compile(r"(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
_SIZE = re.compile(r"\d+(B|KB|MB|GB|TB|PB|EB)")
_WHOLE = re.compile(r"[1-9]\d*")
#: Other variables whose form is known: a pattern, and words for it.
_FORMS = {
    "PROMETHEUS_RETENTION_TIME": (_AGE, "a time such as 30d"),
    "PROMETHEUS_RETENTION_SIZE": (_SIZE, "a size such as 4GB"),
    "TEMPO_RETENTION": (_HOURS, "hours such as 168h"),
    "LOKI_RETENTION": (_HOURS, "hours such as 168h"),
    "TEMPO_INGESTION_RATE_BYTES": (_WHOLE, "a whole number of bytes"),
    "TEMPO_INGESTION_BURST_BYTES": (_WHOLE, "a whole number of bytes"),
    "TEMPO_MAX_TRACE_BYTES": (_WHOLE, "a whole number of bytes"),
    "LOKI_INGESTION_RATE_MB": (_WHOLE, "a whole number of megabytes"),
    "LOKI_INGESTION_BURST_MB": (_WHOLE, "a whole number of megabytes"),
    "LOKI_MAX_STREAMS": (_WHOLE, "a whole number"),
    "GRAFANA_URL": (re.compile(r"https?://[^\s/]+(/\S*)?"), "an http:// or https:// address"),
}


def examine(folder: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check the stack in a folder."""
    if not (folder / "docker-compose.yml").is_file():
        yield Check("files", "folder", "failed", f"{folder} holds no stack: otelbot stack init {folder}")
        return
    try:
        values = env.load(folder, environ)
    except env.EnvError as error:
        yield Check("settings", ".env", "failed", str(error))
        return
    yield from checkfiles.examine(folder.resolve(), values, environ)  # programs run in other folders
    yield from settings(folder, values)
    yield from alerts(values)
    yield from this_machine(folder, values, environ)


def settings(folder: Path, values: Mapping[str, str]) -> Iterator[Check]:
    """Check .env itself and the variables that are not about alerts."""
    file = folder / ".env"
    if not file.is_file():
        yield Check("settings", ".env", "info", "none: everything has its default; otelbot stack init writes one")
    elif stat.S_IMODE(file.stat().st_mode) & 0o077:
        yield Check("settings", ".env", "warning", f"other users can read its secrets: chmod 600 {file}")
    else:
        yield Check("settings", ".env", "ok", "only its owner can read it")
    for name in env.expanding(env.read(file)):
        detail = "has a dollar, which Compose replaces by a variable: put the value into single quotes"
        yield Check("settings", name, "warning", detail)
    known = env.examples(env.read(folder / ".env.example"))
    for name in sorted(set(env.parse(env.read(file))) - set(known)) if known else ():
        yield Check("settings", name, "warning", "is not a variable of the stack: see .env.example")
    for name, (pattern, form) in _FORMS.items():
        if values.get(name) and not pattern.fullmatch(values[name]):
            yield Check("settings", name, "failed", f"{name} is not {form}: mend it")
    for name, sentence in required.missing(values):
        yield Check("settings", name, "failed", sentence)
    if values.get("BIND_ADDRESS") and not _is_address(values["BIND_ADDRESS"]):
        yield Check(
            "settings", "BIND_ADDRESS", "failed", "BIND_ADDRESS is not an IP address such as 127.0.0.1: mend it"
        )
    if values.get("GRAFANA_ADMIN_PASSWORD", "x") == "admin":
        yield Check(
            "settings",
            "GRAFANA_ADMIN_PASSWORD",
            "failed",
            "everybody knows this one: choose another, or leave it empty",
        )
    if values.get("BOT_TOKEN") and not _TOKEN.fullmatch(values["BOT_TOKEN"]):
        yield Check("settings", "BOT_TOKEN", "failed", "BOT_TOKEN is not a bot's token: copy it from @BotFather")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


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
    if not found.names and not found.problems:
        detail = (
            "nowhere: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS, ALERT_EMAIL_TO or ALERT_WEBHOOK_URL in .env"
        )
        yield Check("alerts", "channels", "warning", detail)


def this_machine(folder: Path, values: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Check]:
    """Check Docker, the ports and the memory."""
    running: list[str] = []
    try:
        yield Check("machine", "docker compose", "ok", machine.compose_version(environ))
        yield Check("machine", "docker engine", "ok", machine.engine_version(environ))
        running = machine.running_services(folder, environ)
    except machine.MachineError as error:
        yield Check("machine", "docker", "failed", str(error))
    address = values.get("BIND_ADDRESS") or "127.0.0.1"
    if _is_address(address) and address not in {"127.0.0.1", "[::1]"}:
        detail = f"{address}: whoever reaches it may send telemetry; put a firewall or a proxy in front"
        yield Check("machine", "BIND_ADDRESS", "warning", detail)
    if running:
        yield Check("machine", "services", "ok", f"running: {', '.join(running)}")
    else:
        for variable, port, purpose, free in machine.ports(values):
            detail = (
                f"{purpose}: free" if free else f"{purpose}: in use or not a port; set {variable} to another in .env"
            )
            yield Check("machine", f"port {port}", "ok" if free else "failed", detail)
    problem = machine.memory_problem()
    yield Check("machine", "memory", "warning" if problem else "ok", problem or "enough for 2 GB of services")
