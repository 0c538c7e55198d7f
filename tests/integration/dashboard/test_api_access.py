"""Who may see the page and change something; and the files that it is made of."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import ClientSession
from yarl import URL

from tests.integration.dashboard.pages import page

TOKEN = "a-token-of-many-letters"


@pytest.fixture
async def local(tmp_path):
    async with page(tmp_path) as found:
        yield found.client


@pytest.fixture
async def remote(tmp_path):
    async with page(tmp_path, TOKEN) as found:
        yield found.client


async def status(client, path="/api/health", method="GET", **options):
    async with client.request(method, path, allow_redirects=False, **options) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1:8080", "[::1]:8080", "bots.localhost:1"])
async def test_this_machine_needs_no_token(local, host):
    assert await status(local, headers={"Host": host}) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", "localhost@evil.example", ""])
async def test_a_name_that_somebody_else_made_lead_here_is_refused(local, host):
    for path in ("/", "/api/health", "/metrics", "/static/plotly.min.js"):
        assert await status(local, path, headers={"Host": host}) == 403


async def test_without_the_token_there_is_nothing(remote):
    for path in ("/", "/api/health", "/api/live", "/api/v1/query?query=1", "/metrics", "/static/plotly.min.js", "/x"):
        assert await status(remote, path) == 401
    assert await status(remote, "/api/clear", "POST", json={}) == 401
    assert await status(remote, "/?token=wrong") == 401
    assert await status(remote, headers={"Authorization": "Bearer wrong"}) == 401
    assert await status(remote, headers={"Authorization": "Basic é"}) == 401
    assert await status(remote, cookies={"otelbot-dashboard": "wrong"}) == 401
    async with remote.get("/") as response:
        assert "otelbot dashboard" in await response.text()
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_token_in_the_url_becomes_a_cookie_and_leaves_the_url(remote):
    async with remote.get(f"/traces?token={TOKEN}&handler=buy%26sell", allow_redirects=False) as response:
        assert response.status == 303
        assert response.headers["Location"] == "/traces?handler=buy%26sell"
        cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "same-origin"
    assert await status(remote) == 200


async def test_the_token_as_a_header_is_enough(remote):
    assert await status(remote, headers={"Authorization": f"Bearer {TOKEN}"}) == 200
    assert await status(remote, headers={"Authorization": f"bearer  {TOKEN}"}) == 200


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example", "/%2fevil.example"])
async def test_no_token_leads_to_another_site(remote, path):
    url = URL(f"http://127.0.0.1:{remote.server.port}{path}?token={TOKEN}", encoded=True)
    async with ClientSession() as session, session.get(url, allow_redirects=False) as response:
        assert response.status == 303
        location = response.headers["Location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


async def test_a_change_comes_from_the_page_itself(local):
    own = f"http://127.0.0.1:{local.server.port}"
    assert await status(local, "/api/clear", "POST", json={}) == 200
    assert await status(local, "/api/clear", "POST", json={}, headers={"Origin": own}) == 200
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://[",
        f"http://127.0.0.1:{local.server.port}.evil",
    ):
        assert await status(local, "/api/clear", "POST", json={}, headers={"Origin": origin}) == 403
    assert await status(local, "/api/clear", "POST", data={"a": "b"}) == 415
    assert await status(local, "/api/clear", "POST", data=b"{}", headers={"Content-Type": "text/plain"}) == 415


async def test_what_is_not_possible_is_said_whatever_the_body(local):
    async with local.request("OPTIONS", "/api/clear") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_every_answer_forbids_what_a_page_must_not_do(local):
    for path in ("/api/metrics", "/api/nothing", "/nothing", "/metrics", "/static/plotly.min.js"):
        async with local.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-eval" not in policy
            assert "script-src" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with local.get("/api/metrics") as response:
        assert response.headers["Cache-Control"] == "no-store"


async def test_plotly_comes_from_its_wheel_packed_and_is_kept(local):
    async with local.get("/static/plotly.min.js") as response:
        script = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.content_type == "text/javascript"
        assert b"plotly.js" in script[:200]
        tag = response.headers["ETag"]
    assert await status(local, "/static/plotly.min.js", headers={"If-None-Match": tag}) == 304
    async with local.get("/static/plotly.min.js", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.read() == script
    assert len(gzip.compress(script)) < len(script) / 2


@pytest.mark.parametrize(
    "path",
    [
        "../api/auth.py",
        "..%2fapi%2fauth.py",
        "%2e%2e/settings.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a%00.js",
        ".",
        "a" * 300 + ".js",
    ],
)
async def test_no_file_outside_of_the_page_is_given(local, path):
    assert await status(local, f"/static/{path}") in {404, 403}


async def test_every_page_has_the_same_file(local):
    bodies = set()
    for path in ("/", "/updates", "/traces", f"/traces/{'0' * 32}", "/logs", "/alerts", "/compare", "/errors"):
        async with local.get(path) as response:
            assert (response.status, response.content_type) == (200, "text/html")
            bodies.add(await response.text())
    assert len(bodies) == 1
