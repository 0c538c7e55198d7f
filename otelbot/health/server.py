"""A small HTTP server in threads: three paths, bounded in requests at once and in the time that one may take to ask.

In threads, so that it answers while the bot's event loop does not.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from otelbot import lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = 16  # requests; a check that hangs holds each for as long as its timeout
_TIME_TO_ASK = 5.0  # seconds


@dataclass(frozen=True)
class Answer:
    """A text, or what becomes JSON."""

    status: int
    body: str | dict[str, Any]


class _Request(io.RawIOBase):
    """Reads a request from its connection until a deadline: one that comes byte by byte holds a thread no longer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + _TIME_TO_ASK

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(max(self._deadline - time.monotonic(), 0.001))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "otelbot", ""
    error_content_type = "text/plain"
    error_message_format = "%(code)d\n"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Request(self.connection))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        answer = self.server.answer(path.rstrip("/")) or Answer(404, "there are /livez, /readyz and /health\n")
        is_text = isinstance(answer.body, str)
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body, ensure_ascii=False) + "\n"
        content = text.encode(errors="replace")
        self.connection.settimeout(_TIME_TO_ASK)
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if is_text else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: it is asked every few seconds."""


class Server(ThreadingHTTPServer):
    """:param answer: gives the answer to a path, None where there is none. Called in threads, and may wait."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    allow_reuse_port = False

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer | None]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.answer = answer
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks DNS for the name of this machine.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            with lifecycle.signals_blocked():
                threading.Thread(
                    target=self._process, args=(request, client_address), name="otelbot-health-request", daemon=True
                ).start()
        except RuntimeError:  # no thread can be had
            self._slots.release()
            self.shutdown_request(request)

    def _process(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who asked has gone."""


def open_server(host: str, port: int, answer: Callable[[str], Answer | None]) -> Server:
    """Return a server that listens; `serve_forever` answers.

    :raises OSError: where the address can't be had.
    """
    return Server(host, port, answer)
