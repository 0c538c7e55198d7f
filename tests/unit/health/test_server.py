"""The endpoint answers what it knows, to a bounded number of clients at once."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
from contextlib import contextmanager

import pytest

from otelbot.demo.waiting import PATIENCE
from otelbot.health import server as module
from otelbot.health.command import ask
from otelbot.health.server import Answer, open_server

HEALTH = {
    "status": "degraded",
    "checks": {
        "database": {"status": "healthy", "critical": True, "duration_ms": 1.5, "error": None},
        "memory": {"status": "degraded", "critical": False, "duration_ms": 0.1, "error": "91% \x1b[2J is used"},
    },
}


def answer(path: str) -> Answer | None:
    return {"/livez": Answer(200, "alive\n"), "/health": Answer(503, {"status": "unhealthy, ü", "checks": {}})}.get(
        path
    )


@contextmanager
def serving(give=answer):
    server = open_server("127.0.0.1", 0, give)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def request(port: int, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def test_paths_and_methods(capfd):
    with serving() as port:
        status, headers, body = request(port, "GET", "/livez?probe=1")
        assert (status, body, headers["Content-Type"]) == (200, b"alive\n", "text/plain; charset=utf-8")
        assert headers["Server"].strip() == "otelbot"
        status, headers, body = request(port, "GET", "/health/")
        assert (status, headers["Content-Type"]) == (503, "application/json")
        assert json.loads(body)["status"] == "unhealthy, ü"
        status, headers, body = request(port, "HEAD", "/livez")
        assert (status, headers["Content-Length"], body) == (200, "6", b"")
        assert request(port, "GET", "/bot123/getMe")[0] == 404
        assert request(port, "POST", "/livez")[0] == 501
    assert capfd.readouterr() == ("", "")


def test_a_client_that_does_not_ask_is_sent_away(monkeypatch):
    monkeypatch.setattr(module, "_TIME_TO_ASK", 0.2)
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as slow:
        slow.sendall(b"GET /livez HTT")
        assert slow.recv(1) == b""
        assert request(port, "GET", "/livez")[0] == 200


def test_requests_at_once_are_bounded():
    release, asked = threading.Event(), threading.Semaphore(0)

    def wait(path: str) -> Answer:
        asked.release()
        release.wait(PATIENCE)
        return Answer(200, "")

    with serving(wait) as port:
        waiting = [threading.Thread(target=request, args=(port, "GET", "/health")) for _ in range(module._AT_ONCE)]
        for thread in waiting:
            thread.start()
        for _ in waiting:
            assert asked.acquire(timeout=PATIENCE)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            request(port, "GET", "/health")
        release.set()
        for thread in waiting:
            thread.join()
        assert request(port, "GET", "/health")[0] == 200


def test_a_request_imports_nothing():
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        before = set(sys.modules)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Word: \xe4\r\n\r\n")
        content = b""
        while part := client.recv(4096):
            content += part
        assert set(sys.modules) == before
    assert content.startswith(b"HTTP/1.1 503 ")


def test_the_command_prints_a_line_for_each_check(capsys, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(lambda path: Answer(200, HEALTH)) as port:
        assert ask(f"127.0.0.1:{port}", PATIENCE) == 0
        lines = capsys.readouterr().out.splitlines()
        monkeypatch.setenv("OTELBOT_HEALTH_PORT", str(port))
        monkeypatch.setenv("OTELBOT_HEALTH_HOST", "0.0.0.0")
        assert ask(None, PATIENCE) == 0
    assert lines == [
        "degraded",
        "  database  healthy        1.5 ms",
        "  memory    degraded       0.1 ms  91% ?[2J is used (not critical)",
    ]
    with serving() as port:
        assert ask(f"http://127.0.0.1:{port}/", PATIENCE) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "unhealthy, ü"


def test_the_command_says_in_a_sentence_why_there_is_no_answer(capsys, monkeypatch):
    monkeypatch.delenv("OTELBOT_HEALTH_PORT", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert ask(None, PATIENCE) == 1
    assert ask(f"http://127.0.0.1:{port}", PATIENCE) == 1
    assert ask("file:///etc/passwd", PATIENCE) == 1
    assert ask("http://[", PATIENCE) == 1
    with serving() as port:
        assert ask(f"http://127.0.0.1:{port}/livez", PATIENCE) == 1
    with serving(lambda path: Answer(200, {"status": "healthy", "checks": 5})) as port:
        assert ask(f"http://127.0.0.1:{port}/", PATIENCE) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("otelbot: ") for line in lines)
    assert lines[0] == "otelbot: OTELBOT_HEALTH_PORT is not set: set it as the bot has it, or name a URL"
    assert "does not answer (Connection refused): is the bot running" in lines[1]
    assert "is not a URL" in lines[2]
    assert "is not a URL" in lines[3]
    assert "is not otelbot's health" in lines[4]
    assert "is not otelbot's health" in lines[5]
