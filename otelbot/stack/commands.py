"""What `otelbot stack init`, `up` and `down` do."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelbot.stack import channels, env, files, machine, provisioning, required

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from otelbot.stack.channels import Channels
    from otelbot.stack.files import Manifest, Placed

#: Which services read which folder: they are restarted when it has changed, which Compose does not see.
_READERS = {
    "collector-config": ("otel-collector", "postgres-monitor", "redis-monitor", "host-monitor"),
    "grafana/provisioning": ("grafana",),
    "loki": ("loki",),
    "prometheus": ("prometheus",),
    "tempo": ("tempo",),
}


PROFILES = ("postgres", "redis", "host", "bot")


class StackError(Exception):
    """A sentence for the user: why the stack was not started or stopped, and what mends it."""


@dataclass(frozen=True)
class Initialised:
    """What `init` has done."""

    placed: Placed
    channels: Channels
    wrote_env: bool


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
        wrote_env = _write_env(folder, {name: environ[name] for name in known if environ.get(name)}, given)
        rendered, found = _rendered(folder, environ, known)
        contents |= rendered
        placed = files.place(folder, contents, manifest, force=force)
        placed.removed.extend(files.remove_stale(folder, contents, manifest))
        manifest.write(folder)
    except (env.EnvError, files.FilesError) as error:
        raise StackError(str(error)) from None
    except OSError as error:
        raise StackError(f"{folder} can't be written ({error.strerror}): choose a folder that is yours") from None
    return Initialised(placed, found, wrote_env)


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


def _write_env(folder: Path, taken: Mapping[str, str], given: Mapping[str, str]) -> bool:
    """Write .env where there is none; of one that is there, change only what was explicitly given."""
    file = folder / ".env"
    if file.exists():
        if given:
            env.write_secret(file, env.update(env.read(file), given))
        return False
    values = {"GRAFANA_ADMIN_PASSWORD": secrets.token_urlsafe(18), **taken, **given}
    heading = "# The stack's variables; .env.example tells what there is. After a change: otelbot stack up\n"
    env.write_secret(file, env.update(heading, values))
    return True


def _rendered(folder: Path, environ: Mapping[str, str], known: Mapping[str, str]) -> tuple[dict[str, bytes], Channels]:
    values = env.load(folder, environ) | {name: environ[name] for name in known if environ.get(name)}
    found = channels.read(values)
    return {path: text.encode() for path, text in provisioning.render(found).items()}, found


def up(folder: Path, environ: Mapping[str, str], profiles: Sequence[str] = ()) -> list[str]:
    """Check, write the channels anew, start everything and wait for it; returns what to tell the user.

    :raises StackError: before anything is started, for what would keep it from working.
    """
    _require_stack(folder)
    try:
        machine.compose_version(environ)
        machine.engine_version(environ)
        values = env.load(folder, environ)
        manifest = files.Manifest.read(folder)
        rendered, found = _rendered(folder, environ, {})
        wrong = [problem.sentence for problem in found.problems]
        wrong += [sentence for _, sentence in required.missing(values, profiles)]
        if wrong:
            raise StackError("\n".join(wrong))
        running = machine.running_services(folder, environ)
        if not running:
            _require_ports(folder, values)
        placed = files.place(folder, rendered, manifest)
        manifest.write(folder)  # before anything can fail, or these files would be taken for the user's
    except (env.EnvError, files.FilesError, machine.MachineError) as error:
        raise StackError(str(error)) from None
    _start(folder, environ, profiles, _changed(folder, manifest, running))
    manifest.applied = _state(folder)
    try:
        manifest.write(folder)
    except files.FilesError as error:
        raise StackError(str(error)) from None
    return [*_kept(placed), *_warnings(found), *_where(folder, values)]


def _require_ports(folder: Path, values: Mapping[str, str]) -> None:
    taken = [
        f"port {port} ({purpose}) is in use or not a port: set {variable} to another in {folder / '.env'}"
        for variable, port, purpose, free in machine.ports(values)
        if not free
    ]
    if taken:
        raise StackError("\n".join(taken))


def down(folder: Path, environ: Mapping[str, str], *, volumes: bool = False) -> None:
    """Stop and remove the containers, and with `volumes` everything that was stored.

    :raises StackError: where Docker does not do it.
    """
    _require_stack(folder)
    try:
        machine.compose_version(environ)
    except machine.MachineError as error:
        raise StackError(str(error)) from None
    # Those of every profile too: Compose leaves them otherwise.
    every = [word for profile in PROFILES for word in ("--profile", profile)]
    _compose(folder, environ, [*every, "down", *(["--volumes"] if volumes else [])])


def _require_stack(folder: Path) -> None:
    if not (folder / "docker-compose.yml").is_file():
        raise StackError(f"{folder} holds no stack: otelbot stack init {folder}")


def _start(folder: Path, environ: Mapping[str, str], profiles: Sequence[str], changed: Sequence[str]) -> None:
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    _compose(folder, environ, [*chosen, "up", "--detach", "--wait"])
    if changed:
        _compose(folder, environ, [*chosen, "restart", *changed])
        _compose(folder, environ, [*chosen, "up", "--detach", "--wait"])


def _compose(folder: Path, environ: Mapping[str, str], words: list[str]) -> None:
    """Run Docker Compose; what it says goes to the user."""
    command = ["docker", "compose", "--project-directory", str(folder.resolve()), *words]
    status = subprocess.run(command, cwd=folder, env=dict(environ), check=False).returncode  # noqa: S603 - ours
    if status:
        verb = next(word for word in words if word in {"up", "down", "restart"})
        mend = "docker compose logs tells why" if verb != "down" else "its words are above"
        raise StackError(f"docker compose {verb} has failed: {mend} (in {folder})")


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


def _kept(placed: Placed) -> list[str]:
    return [
        f"{path}: changed by you, so it does not follow .env; otelbot stack init --force does" for path in placed.kept
    ]


def _warnings(found: Channels) -> list[str]:
    lines = [machine.memory_problem()]
    if not found.names:
        lines.append(
            "alerts go nowhere: set ALERT_TELEGRAM_TOKEN and ALERT_TELEGRAM_CHATS in .env, then otelbot stack up"
        )
    return [line for line in lines if line]


def _where(folder: Path, values: Mapping[str, str]) -> list[str]:
    url = values.get("GRAFANA_URL") or f"http://localhost:{values.get('GRAFANA_PORT') or '3000'}"
    kept = values.get("GRAFANA_ADMIN_PASSWORD")
    drawn = "docker compose exec grafana cat /var/lib/grafana/admin-password"
    password = f"GRAFANA_ADMIN_PASSWORD in {folder / '.env'}" if kept else drawn
    port = values.get("OTLP_HTTP_PORT") or "4318"
    lines = [f"Grafana: {url} (user admin, password: {password})"]
    endpoint = "" if port == "4318" else f"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:{port} "
    return [*lines, f"Bots: {endpoint}otelbot-instrument python bot.py"]
