"""Real receivers of alerts' messages: a mail server and a web server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult


class Mail:
    """An SMTP server that takes mail after STARTTLS and a login, with a certificate for localhost."""

    def __init__(self, folder):
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        subprocess.run(
            [
                *"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(),
                *f"-addext subjectAltName=DNS:localhost -keyout {key} -out {self.certificate}".split(),
            ],
            check=True,
            capture_output=True,
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.envelopes = []
        self.refused = set()
        self.encrypted = True
        self.answers = []  # to what is sent, before it takes it
        self.password = "hunter2"

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return "550 not from you"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        self.envelopes.append(envelope)
        return "250 taken"

    def protocol(self):
        def authenticate(server, session, envelope, mechanism, login):
            return AuthResult(success=login.password == self.password.encode(), handled=False)

        encryption = {"tls_context": self.context, "require_starttls": True} if self.encrypted else {}
        return SMTP(
            self, hostname="localhost", authenticator=authenticate, auth_require_tls=self.encrypted, **encryption
        )

    @asynccontextmanager
    async def serve(self):
        server = await asyncio.get_running_loop().create_server(self.protocol, "localhost", 0, family=socket.AF_INET)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


class Hook:
    """Takes POST requests; answers with what is in `answers`, then with 200."""

    def __init__(self):
        self.requests = []
        self.answers = []

    async def take(self, request):
        self.requests.append((request.headers.copy(), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @asynccontextmanager
    async def serve(self):
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield self
        await runner.cleanup()
