"""What `otelbot stack init`, `up` and `down` do."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelbot import __version__
from otelbot.alerts.channels import mail
from otelbot.alerts.channels import settings as channels
from otelbot.alerts.channels.values import WrongError
from otelbot.stack import check, checkfiles, env, files, machine, provisioning, required, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from otelbot.alerts.channels.settings import Channels
    from otelbot.doctor import Check
    from otelbot.stack.files import Manifest, Placed

#: Which services read which folder: they are restarted when it has changed, which Compose does not see.
_READERS = {
    "collector-config": ("otel-collector", "postgres-monitor", "redis-monitor", "host-monitor"),
    "grafana/provisioning": ("grafana",),
    "loki": ("loki",),
    "prometheus": ("prometheus",),
    "tempo": ("tempo",),
}

PROFILES = required.PROFILES


class StackError(Exception):
    """A sentence for the user: why the stack was not started or stopped, and what mends it."""


@dataclass(frozen=True)
class Initialised:
    """What `init` has done."""

    placed: Placed
    channels: Channels
    wrote_env: bool
    #: What of the environment was written into a .env that was there.
    saved: list[str]


def init(folder: Path, environ: Mapping[str, str], given: Mapping[str, str], *, force: bool = False) -> Initialised:
    """Write the stack into a folder, or renew the one that is there.

    :param given: variables to set in .env, also in one that exists.
    :raises StackError: for a folder or a variable that can't be used.
    """
    try:
        contents = files.packaged()
        known = env.examples(contents[".env.example"].decode())
        for name in sorted(set(given) - set(known)):
            raise StackError(f"{name} is not a variable of the stack: {folder / '.env.example'} lists them")
        manifest = files.Manifest.read(folder)
        _require_own_folder(folder, contents["docker-compose.yml"], manifest, force=force)
        folder.mkdir(parents=True, exist_ok=True)
        exported = {name: environ[name] for name in known if environ.get(name)}
        wrote_env, saved = _write_env(folder, exported, given)
        rendered, found = _rendered(folder, environ, known)
        contents |= rendered
        placed = files.place(folder, contents, manifest, force=force)
        placed.removed.extend(files.remove_stale(folder, contents, manifest))
        manifest.write(folder)
    except (env.EnvError, files.FilesError) as error:
        raise StackError(str(error)) from None
    except OSError as error:
        raise StackError(f"{folder} can't be written ({error.strerror}): choose a folder that is yours") from None
    return Initialised(placed, found, wrote_env, saved)


def _require_own_folder(folder: Path, compose: bytes, manifest: Manifest, *, force: bool) -> None:
    """Leave a folder alone that belongs to something else, such as the bot's own project."""
    for name in ("compose.yaml", "compose.yml"):
        if (folder / name).exists():
            raise StackError(f"{folder} has a {name}, which Docker Compose would read instead: choose another folder")
    file = folder / "docker-compose.yml"
    if not force and not manifest.files and file.is_file() and file.read_bytes() != compose:
        raise StackError(
            f"{folder} has another docker-compose.yml: choose another folder, or --force (it keeps the old)"
        )


def _write_env(folder: Path, exported: Mapping[str, str], given: Mapping[str, str]) -> tuple[bool, list[str]]:
    """Write .env; returns whether it is new, and otherwise which exported variables were written into it.

    Of one that is there what is not explicitly given stays; but alerts that only the environment of this one command
    knows would end with the next restart, so what it lacks of them is added.
    """
    file = folder / ".env"
    if not file.exists():
        heading = "# The stack's variables; .env.example tells what there is. After a change: otelbot stack up\n"
        values = {"OTELBOT_VERSION": __version__, **exported, **given}
        env.write_secret(file, env.update(heading, values | _sender(values)))
        return True, []
    text = env.read(file)
    present = env.parse(text)
    lacking = {
        name: value
        for name, value in exported.items()
        if name.startswith(("ALERT_", "SMTP_")) and not present.get(name) and name not in given
    }
    # The example bot's image gets the otelbot that wrote its Dockerfile.
    values = {"OTELBOT_VERSION": exported.get("OTELBOT_VERSION", __version__)} | lacking | dict(given)
    values |= _sender(present | values)
    changed = {name: value for name, value in values.items() if present.get(name) != value}
    if changed:
        env.write_secret(file, env.update(text, changed))
    return False, sorted(lacking)


def _sender(values: Mapping[str, str]) -> dict[str, str]:
    """Return SMTP_FROM where it is empty and the mail server's user is an address; Compose itself can't tell."""
    try:
        sender = mail.sender(values)
    except WrongError:
        return {}
    return {"SMTP_FROM": sender} if sender and not values.get("SMTP_FROM") else {}


def _rendered(folder: Path, environ: Mapping[str, str], known: Mapping[str, str]) -> tuple[dict[str, bytes], Channels]:
    values = env.load(folder, environ) | {name: environ[name] for name in known if name in environ}
    found = channels.read(values)
    return {path: text.encode() for path, text in provisioning.render(found).items()}, found


def up(folder: Path, environ: Mapping[str, str], profiles: Sequence[str] = ()) -> list[str]:
    """Check, write the channels anew, start everything and wait for it; returns what to tell the user.

    :raises StackError: before anything is started, for what would keep it from working.
    """
    require_stack(folder)
    try:
        machine.compose_version(environ)
        machine.engine_version(environ)
        values = env.load(folder, environ)
        _require_project(folder, values, environ)
        manifest = files.Manifest.read(folder)
        rendered, found = _rendered(folder, environ, {})
        _require_right(found, settings.examine(folder, values, profiles))
        running = machine.running_services(folder, environ)
        if not running:
            _require_ports(values)
        placed = files.place(folder, rendered, manifest)
        manifest.write(folder)  # before anything can fail, or these files would be taken for the user's
        _require_right(None, [*check.rights(folder), *checkfiles.before_start(folder, values)])
    except (env.EnvError, files.FilesError, machine.MachineError) as error:
        raise StackError(str(error)) from None
    sender = _sender(values)
    if sender and env.read(folder / ".env"):  # so that a plain `docker compose up` has it too
        env.write_secret(folder / ".env", env.update(env.read(folder / ".env"), sender))
    _start(folder, dict(environ) | sender, required.chosen(values, profiles), _changed(folder, manifest, running))
    manifest.applied = _state(folder)
    try:
        manifest.write(folder)
    except files.FilesError as error:
        raise StackError(str(error)) from None
    return [
        *_kept(folder, placed),
        *_warnings(folder, found, required.chosen(values, profiles)),
        *where(folder, values),
    ]


def _require_project(folder: Path, values: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Leave a stack of the same name alone that runs from another folder: to Compose its containers are ours."""
    project = machine.project(values)
    if other := machine.other_folder(folder, project, environ):
        raise StackError(machine.other_sentence(other, project))


def _require_right(found: Channels | None, checks: Iterable[Check]) -> None:
    """Stop at what `otelbot stack check` calls failed."""
    wrong = [problem.sentence for problem in found.problems] if found else []
    failed = [check for check in checks if check.status == "failed"]
    wrong += [each.detail if each.detail.startswith(each.name) else f"{each.name}: {each.detail}" for each in failed]
    if wrong:
        raise StackError("\n".join(wrong))


def _require_ports(values: Mapping[str, str]) -> None:
    taken = [f"port {port} ({purpose}): {problem}" for _, port, purpose, problem in machine.ports(values) if problem]
    if taken:
        raise StackError("\n".join(taken))


def down(folder: Path, environ: Mapping[str, str], *, volumes: bool = False) -> None:
    """Stop and remove the containers, and with `volumes` everything that was stored.

    :raises StackError: where Docker does not do it.
    """
    require_stack(folder)
    try:
        machine.compose_version(environ)
        _require_project(folder, env.load(folder, environ), environ)
    except (env.EnvError, machine.MachineError) as error:
        raise StackError(str(error)) from None
    # Those of every profile too: Compose leaves them otherwise.
    every = [word for profile in PROFILES for word in ("--profile", profile)]
    _compose(folder, environ, [*every, "down", *(["--volumes"] if volumes else [])])


def require_stack(folder: Path) -> None:
    """:raises StackError: for a folder without a stack."""
    if not (folder / "docker-compose.yml").is_file():
        raise StackError(f"{folder} holds no stack: otelbot stack init {files.shown(folder)}")


def _start(folder: Path, environ: Mapping[str, str], profiles: Sequence[str], changed: Sequence[str]) -> None:
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    # Compose builds an image only once unless it is told.
    build = ["--build"] if "bot" in profiles else []
    _compose(folder, environ, [*chosen, "up", "--detach", "--wait", *build])
    if changed:
        _compose(folder, environ, [*chosen, "restart", *changed])
        _compose(folder, environ, [*chosen, "up", "--detach", "--wait"])


def _compose(folder: Path, environ: Mapping[str, str], words: list[str]) -> None:
    """Run Docker Compose; what it says goes to the user."""
    command = ["docker", "compose", "--project-directory", str(folder.resolve()), *words]
    status = subprocess.run(command, cwd=folder, env=dict(environ), check=False).returncode  # noqa: S603 - ours
    if status:
        verb = next(word for word in words if word in {"up", "down", "restart"})
        mend = f"{compose(folder)} logs tells why" if verb != "down" else "its words are above"
        raise StackError(f"docker compose {verb} has failed: {mend}")


def compose(folder: Path) -> str:
    """Return how a shell calls Docker Compose for this folder from anywhere."""
    return f"docker compose --project-directory {files.shown(folder)}"


def _state(folder: Path) -> dict[str, str]:
    """Return a hash of each folder that services read."""
    return {
        name: files.digest(
            b"\0".join(
                part
                for file in sorted((folder / name).rglob("*"))
                if file.is_file()
                for part in (file.relative_to(folder).as_posix().encode(), file.read_bytes())
            )
        )
        for name in _READERS
    }


def _changed(folder: Path, manifest: Manifest, running: Sequence[str]) -> list[str]:
    """Return the running services whose files are others than when they were started."""
    now = _state(folder)
    return [
        service
        for name, readers in _READERS.items()
        if now[name] != manifest.applied.get(name)
        for service in readers
        if service in running
    ]


def _kept(folder: Path, placed: Placed) -> list[str]:
    return [
        f"{path}: changed by you, so it does not follow .env; otelbot stack init {files.shown(folder)} --force does"
        for path in placed.kept
    ]


def _warnings(folder: Path, found: Channels, profiles: Sequence[str]) -> list[str]:
    lines = [machine.memory_problem(folder, profiles)]
    if not found.names:
        lines.append(
            "alerts go nowhere: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS in .env, then otelbot stack up"
            f" {files.shown(folder)}"
        )
    return [line for line in lines if line]


def password(folder: Path, values: Mapping[str, str]) -> str:
    """Return where Grafana's password is: one of the user's in .env, otherwise drawn and kept beside Grafana's data."""
    if values.get("GRAFANA_ADMIN_PASSWORD"):
        return f"GRAFANA_ADMIN_PASSWORD as it was at the first start, in {folder / '.env'}"
    return f"{compose(folder)} exec grafana cat /var/lib/grafana/admin-password"


def where(folder: Path, values: Mapping[str, str]) -> list[str]:
    """Return where Grafana is, and what a bot needs."""
    url = values.get("GRAFANA_URL") or f"http://localhost:{values.get('GRAFANA_PORT') or '3000'}"
    port = values.get("OTLP_HTTP_PORT") or "4318"
    endpoint = "" if port == "4318" else f"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{port} "
    return [
        f"Grafana: {url} (user admin, password: {password(folder, values)})",
        f"Bots: {endpoint}otelbot-instrument python bot.py",
    ]
