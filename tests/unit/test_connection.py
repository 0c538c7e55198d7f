"""One request to a real socket that answers as no good server would."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from otelbot.demo.waiting import PATIENCE
from otelbot.export import connection
from otelbot.export.connection import Connection
from otelbot.export.target import Target

CUT_OFF = b"abc"


@pytest.fixture
def server():
    """Answers every request with `answer`, a list of parts that are sent 0.2 s apart, one connection after another."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    answer: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                while client.recv(65536):
                    for part in answer:
                        client.sendall(part)
                        time.sleep(0.2)
                    if answer[-1].endswith(CUT_OFF):
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Target("traces", f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"), answer
    listener.close()


@pytest.mark.parametrize(
    "parts",
    [
        [b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"],
        [b"Content-Length: 50\r\n\r\n" + CUT_OFF],
        [b"Content-Length: 50\r\n\r\n", *[b"x"] * 8],
        [b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"],
        [b"Content-Length: 1000000\r\n\r\n" + b"x" * 100_000],
    ],
)
@pytest.mark.parametrize("status", [200, 503])
def test_the_status_is_the_verdict_whatever_becomes_of_the_body(server, status, parts):
    target, answer = server
    answer += [b"HTTP/1.1 %d X\r\n" % status, *parts]
    connection = Connection(target)
    verdict = connection.post(b"", timeout=0.5)
    assert (verdict.accepted, verdict.retry) == (status == 200, status == 503)
    answer[:] = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]
    assert connection.post(b"", timeout=5).accepted, "the next request is not answered by the rest of the last one"
    connection.close()


def test_what_will_not_change_by_asking_again_at_once_is_known(server, monkeypatch):
    target, answer = server
    answer.append(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    no_tls = Connection(Target("traces", target.url.replace("http:", "https:"))).post(b"", timeout=5)
    assert (no_tls.unreachable, no_tls.why) == (True, "the TLS handshake failed")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxied = Connection(Target("traces", "http://collector.example:4318/v1/traces")).post(b"", timeout=5)
    assert (proxied.unreachable, proxied.why) == (True, "the proxy does not pass it on")


@pytest.mark.parametrize(("header", "seconds"), [("2", 2.0), ("0.5", 0.5), ("soon", None), ("nan", None), (None, None)])
def test_an_endpoint_may_say_when_it_would_like_to_hear_more(server, header, seconds):
    target, answer = server
    more = f"otelbot-export-interval: {header}\r\n".encode() if header else b""
    answer.append(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + more + b"\r\n")
    connection = Connection(target)
    assert connection.post(b"", timeout=PATIENCE).interval == seconds
    connection.close()


def test_an_unusable_proxy_is_said_once_though_several_signals_find_it_at_the_same_time(monkeypatch):
    said = []

    def warning(*what):
        said.append(what)
        meanwhile = threading.Thread(target=connection._say_unusable_proxy, args=("HTTP", "http://collector.example"))
        if len(said) == 1:
            meanwhile.start()
            meanwhile.join()

    monkeypatch.setattr(connection._log, "warning", warning)
    monkeypatch.setattr(connection, "_said", {})
    connection._say_unusable_proxy("HTTP", "http://collector.example")
    assert len(said) == 1
