"""The checks and their endpoint in one process: started, kept going, and begun anew after a fork."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

from otelbot import __version__, lifecycle
from otelbot.export.scrubber import scrub_value
from otelbot.health import loops, report
from otelbot.health.checks import UNHEALTHY
from otelbot.health.monitor import Monitor, worst
from otelbot.health.server import Answer, Server, open_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otelbot.health.checks import Check

_log = logging.getLogger("otelbot")

#: Seconds; it only matters to who would shut the server down.
_WAKE_EVERY = 60.0


class Service:
    """:param interval: seconds from one run of all checks to the next."""

    def __init__(self, sources: Sequence[Callable[[], Iterable[Check]]], host: str, port: int, interval: float) -> None:
        self._sources = sources
        self._host, self._port, self._interval = host, port, interval
        self.is_worker = False
        self._said = False
        self._reset()

    def _reset(self) -> None:
        self._monitor = Monitor(self._sources, report.changed)
        self._server: Server | None = None
        self._stopped = threading.Event()
        self._is_started = self._is_ready = False

    def start(self) -> None:
        """Take the port and begin to check. A second call does nothing."""
        if self._is_started:
            return
        self._is_started = True
        self._open()
        report.observe(self._monitor.results)
        self._start_thread("otelbot-health", self._keep_checking)

    def ready(self) -> None:
        """Note that the bot works."""
        loops.note_running()
        self._is_ready = True

    def stop(self) -> None:
        """Begin no more checks; what asks meanwhile is told that the bot goes."""
        self._is_ready = False
        self._stopped.set()

    def after_fork_in_child(self) -> None:
        server = self._server
        self.is_worker = True
        self._reset()
        report.forget()
        if server is not None:
            with suppress(OSError):
                server.socket.close()  # else who asks the parent's port could be left waiting for this process

    def _start_thread(self, name: str, target: Callable[[], object]) -> None:
        with lifecycle.signals_blocked():
            threading.Thread(target=target, name=name, daemon=True).start()

    def _open(self) -> None:
        """Take the port, if it is to be had; it is tried again at each interval."""
        try:
            self._server = open_server(self._host, self._port, self._answer)
        except OSError as error:
            self._say(error)
            return
        server = self._server
        self._start_thread("otelbot-health-server", lambda: server.serve_forever(_WAKE_EVERY))

    def _say(self, error: OSError) -> None:
        # Of several workers one has the port, and the others are as they should be.
        level = logging.DEBUG if self._said or self.is_worker else logging.WARNING
        self._said = True
        with suppress(Exception):
            _log.log(
                level,
                "otelbot: health can't be served on %s:%d (%s); the bot goes on, and it is tried again every %g s. Set"
                " OTELBOT_HEALTH_PORT to a free port, or OTELBOT_HEALTH_HOST to an address of this machine.",
                self._host,
                self._port,
                error.strerror or error,
                self._interval,
            )

    def _keep_checking(self) -> None:
        stopped = self._stopped
        while not stopped.is_set():
            try:
                self._monitor.refresh()
            except Exception:
                _log.debug("otelbot: the checks of health failed", exc_info=True)
            stopped.wait(self._interval)
            if self._server is None and not stopped.is_set():
                self._open()

    def _answer(self, path: str) -> Answer | None:
        if path == "/livez":
            return Answer(200, "alive\n")
        if path == "/readyz":
            return self._readiness()
        return self._summary() if path == "/health" else None

    def _readiness(self) -> Answer:
        if self._stopped.is_set() or lifecycle.closed():
            return Answer(503, "the bot is shutting down\n")
        if not self._is_ready:
            return Answer(503, "the bot has not started yet\n")
        if worst(self._monitor.refresh().values()) == UNHEALTHY:
            return Answer(503, "unhealthy: see /health\n")
        return Answer(200, "ready\n")

    def _summary(self) -> Answer:
        results = self._monitor.results() if self._stopped.is_set() else self._monitor.refresh()
        status = worst(results.values())
        body: dict[str, Any] = {
            "status": status,
            "ready": self._is_ready and status != UNHEALTHY and not lifecycle.closed(),
            "uptime": round(max(time.time() - psutil.Process().create_time(), 0.0), 3),
            "version": __version__,
            "checks": {
                name: {
                    "status": result.status,
                    "critical": result.check.critical,
                    "duration_ms": round(result.duration * 1000, 1),
                    "error": result.error,
                    "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(result.at)),
                }
                for name, result in sorted(results.items())
            },
        }
        return Answer(503 if status == UNHEALTHY else 200, scrub_value(body))
