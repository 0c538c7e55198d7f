"""Runs `otelbot stack` as a user does, with a stand-in for Docker, whose engine is not to be had in tests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import yaml

from otelbot.stack import env as env_file
from tests.support import KEY, OTELBOT, clean_environ

ROOT = Path(__file__).parents[3]
CHATS = "-1001234567890:42, 55"

DOCKER = """#!/bin/sh
echo "$*" >>"$FAKE_LOG"
case "$*" in
    "compose version --short") echo "${FAKE_COMPOSE-2.39.1}" ;;
    version*) [ -z "$FAKE_ENGINE" ] || { echo "$FAKE_ENGINE"; exit 1; }; echo "${FAKE_VERSION-28.1.0}" ;;
    "image inspect"*) exit "${FAKE_IMAGE:-1}" ;;
    "compose ls"*) echo "${FAKE_PROJECTS-[]}" ;;
    "compose ps"*) printf '%s\\n' $FAKE_RUNNING ;;
    "compose config"*) [ -z "$FAKE_REFUSED" ] || { echo "$FAKE_REFUSED"; exit 15; } ;;
    *) exit "${FAKE_STATUS:-0}" ;;
esac
"""


class Stack:
    """Runs `otelbot stack` with a stand-in for Docker on PATH; `docker` is what that was asked."""

    def __init__(self, home, ports):
        self.home = home
        self.folder = home / "stack"
        self.log = home / "docker.log"
        tools = home / "bin"
        tools.mkdir()
        self.docker_program = tools / "docker"
        self.docker_program.write_text(DOCKER)
        self.docker_program.chmod(0o755)
        known = env_file.examples((ROOT / ".env.example").read_text(encoding="utf-8"))
        self.environ = {name: value for name, value in clean_environ().items() if name not in known}
        self.environ |= {"PATH": f"{tools}:/usr/bin:/bin", "FAKE_LOG": str(self.log), "COLUMNS": "200"}
        self.environ |= dict(zip(("GRAFANA_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT"), map(str, ports), strict=True))

    async def run(self, command, *words, env=None, code=0, answer="", inside=False, before=(), **options):
        """:param inside: as from within the folder, without naming it.

        :param before: a command that runs otelbot's.
        :param options: of the process.
        """
        process = await asyncio.create_subprocess_exec(
            *before,
            OTELBOT,
            "stack",
            command,
            *([] if inside else [str(self.folder)]),
            *words,
            env=self.environ | (env or {}),
            cwd=self.folder if inside else self.home,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **options,
        )
        out, _ = await asyncio.wait_for(process.communicate(answer.encode()), 60)
        said = out.decode()
        assert "Traceback" not in said
        assert KEY not in said
        assert process.returncode == code, said
        return said

    async def check(self, *words, env=None, code=0, **options):
        report = json.loads(await self.run("check", "--json", *words, env=env, code=code, **options))
        assert report["ok"] is (code == 0)
        return {each["name"]: (each["status"], each["detail"]) for each in report["checks"]}

    @property
    def docker(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def values(self):
        return env_file.parse((self.folder / ".env").read_text(encoding="utf-8"))

    def set(self, **values):
        file = self.folder / ".env"
        file.write_text(env_file.update(file.read_text(encoding="utf-8"), values), encoding="utf-8")

    def receivers(self):
        text = (self.folder / "grafana/provisioning/alerting/contact-points.yaml").read_text(encoding="utf-8")
        return [receiver["uid"] for receiver in yaml.safe_load(text)["contactPoints"][0]["receivers"]]
