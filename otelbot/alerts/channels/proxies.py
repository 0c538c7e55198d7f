"""HTTP as Grafana does it: through ALERT_PROXY, except to this machine."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import urllib3

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How the services call the machine that they run on; there it is itself.
_THIS_MACHINE = "host.docker.internal"

# Its warnings have whole addresses, and Telegram's hold the token.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Web:
    """Sends requests, neither followed nor repeated."""

    def __init__(self, proxy: str, timeout: float) -> None:
        options: dict[str, Any] = {"retries": False, "timeout": urllib3.Timeout(timeout)}
        self._direct = urllib3.PoolManager(**options)
        self._proxied = _manager(proxy, options) if proxy else self._direct

    def request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """:raises urllib3.exceptions.HTTPError: where there is no answer."""
        # As Go does, which takes no proxy for these.
        here = (urlsplit(url).hostname or "") in {"localhost", "127.0.0.1", "::1", _THIS_MACHINE}
        return (self._direct if here else self._proxied).request(method, url, redirect=False, **options)


def _manager(proxy: str, options: Mapping[str, Any]) -> urllib3.PoolManager:
    parts = urlsplit(proxy)
    host = "127.0.0.1" if parts.hostname == _THIS_MACHINE else parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    url = f"{parts.scheme}://{host}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme, 1080)}"
    if parts.scheme == "socks5":
        try:
            from urllib3.contrib.socks import SOCKSProxyManager
        except ImportError:
            return _NoSocks(**options)
        # The proxy looks names up, as Go has it.
        username, password = unquote(parts.username or "") or None, unquote(parts.password or "") or None
        return SOCKSProxyManager(f"socks5h{url[6:]}", username=username, password=password, **options)
    _, userinfo = without_userinfo(proxy)
    headers = {"Proxy-Authorization": _basic(userinfo)} if userinfo else None
    return urllib3.ProxyManager(url, proxy_headers=headers, **options)


class _NoSocks(urllib3.PoolManager):
    def request(self, *_: Any, **__: Any) -> urllib3.BaseHTTPResponse:
        raise urllib3.exceptions.ProxyError("PySocks is missing", ImportError())


def unreachable(reason: str) -> str:
    """Return a sentence for a proxy that does not answer or does not let through."""
    if reason == "ProxyError":
        return "the proxy does not let it through, or is SOCKS and needs pip install PySocks here: mend ALERT_PROXY"
    return f"the proxy can't be reached ({reason}): mend ALERT_PROXY"


def without_userinfo(url: str) -> tuple[str, str]:
    """Return an address without `user:password@`, and these, which Go sends as Basic authentication."""
    parts = urlsplit(url)
    userinfo, _, place = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    return parts._replace(netloc=place).geturl(), f"{unquote(user)}:{unquote(password)}" if userinfo else ""


def basic(userinfo: str) -> dict[str, str]:
    """Return the header of Basic authentication, in UTF-8."""
    return {"Authorization": _basic(userinfo)}


def _basic(userinfo: str) -> str:
    return f"Basic {base64.b64encode(userinfo.encode()).decode()}"
