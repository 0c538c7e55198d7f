"""The other side of the bots' connections: a small Bot API and a place for telemetry, on 127.0.0.1.

Both run in the driver's process, so that their cost is in no bot's figures, and answer as fast as a Python program can.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    Json = dict[str, Any]
    Reply = Callable[[bytes], None]

BATCH = 10  # updates that one getUpdates gets: of a turn's cost one tenth of such a call
_MARK_CHAT = 1
_POLL = 10.0  # seconds that an empty getUpdates waits
_ME = {"id": 123456789, "is_bot": True, "first_name": "Tea", "username": "tea_bot", "can_join_groups": True}


class _Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection whose bodies have a Content-Length."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (head := buffer.find(b"\r\n\r\n")) >= 0:
            lines = bytes(buffer[:head]).lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            end = head + 4 + length
            if b"expect: 100-continue" in lines and len(buffer) == head + 4:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(buffer) < end:
                return
            path = bytes(buffer[: buffer.find(b"\r\n")]).split(b" ")[1].decode()
            body = bytes(buffer[head + 4 : end])
            del buffer[:end]
            self._server.on_request(path, body, end, self._reply)

    def _reply(self, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


class _Server(ABC):
    """`async with` runs it on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.connections: set[_Connection] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_away()

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def go_away(self) -> None:
        """Cut every connection and refuse new ones."""
        self._listening.close()
        for connection in list(self.connections):
            connection.transport.abort()

    @abstractmethod
    def on_request(self, path: str, body: bytes, size: int, reply: Reply) -> None:
        """Answer a request whose body is complete; `size` is in bytes, with the headers."""


class TelemetrySink(_Server):
    """Takes OTLP/HTTP and Sentry's envelopes, whatever they hold, and counts the bytes with their headers."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0

    def on_request(self, path: str, body: bytes, size: int, reply: Reply) -> None:
        self.received += size
        # Empty, it is a message of protobuf as well as none of JSON's.
        reply(b"")


class BotApi(_Server):
    """Gives a bot its updates by long polling and answers what it calls."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[Json] = deque()
        self._waiting: Reply | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._marked: asyncio.Future[Json] | None = None
        self._update_id = 1

    def feed(self, updates: Iterable[Json]) -> asyncio.Future[Json]:
        """Let the bot fetch the updates (without their ids), then a `/mark`; return what it will answer to that."""
        self._queue.extend(updates)
        self._queue.append(message("/mark", _MARK_CHAT))
        self._marked = asyncio.get_running_loop().create_future()
        if self._waiting is not None:
            self._answer_poll(self._waiting)
        return self._marked

    def on_request(self, path: str, body: bytes, size: int, reply: Reply) -> None:
        method = path.rpartition("/")[2]
        if method == "getUpdates":
            if self._queue:
                self._answer_poll(reply)
            else:
                self._waiting = reply
                self._timeout = asyncio.get_running_loop().call_later(_POLL, self._answer_poll, reply)
        elif method == "sendMessage":
            reply(_SENT)
            if b"chat_id=1&" in body and self._marked is not None and not self._marked.done():
                self._marked.set_result(json.loads(parse_qs(body.decode())["text"][0]))
        elif method == "getMe":
            reply(_ok(_ME))
        else:
            reply(_ok(True))

    def _answer_poll(self, reply: Reply) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
        self._waiting = self._timeout = None
        updates = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        for number, update in enumerate(updates, self._update_id):
            update["update_id"] = number
        self._update_id += len(updates)
        reply(_ok(updates))


def message(text: str, user: int, number: int = 1) -> Json:
    """Make an update, without its id, of a message in the private chat of a user."""
    person = {"id": user, "is_bot": False, "first_name": "Mina", "language_code": "en"}
    made: Json = {
        "message_id": number,
        "date": int(time.time()),
        "chat": {"id": user, "type": "private", "first_name": "Mina"},
        "from": person,
        "text": text,
    }
    if text.startswith("/"):
        made["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
    return {"message": made}


def pressed_button(user: int, number: int) -> Json:
    """Make an update, without its id, of a pressed inline button."""
    below = message("Choose", user, number)["message"]
    return {
        "callback_query": {
            "id": str(number),
            "from": below["from"],
            "message": below,
            "chat_instance": str(user),
            "data": f"add:{number}",
        }
    }


def _ok(result: object) -> bytes:
    return json.dumps({"ok": True, "result": result}).encode()


_SENT = _ok({**message("Hello! What tea would you like?", 4242)["message"], "from": _ME})
