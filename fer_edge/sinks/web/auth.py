"""Access control: Host and Origin are checked, then the token. For the whole application, websockets included.

A page elsewhere must not reach the daemon through its visitor's browser: what comes under a foreign name (DNS
rebinding) or from a foreign page (Origin) is refused before anything else. The token itself is never stored in a
browser: its cookie names a random session of this run of the daemon, which ends with logging out.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, the form would come from Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
OPEN = ("/login", "/static/")  # accessible without the token

TRIES, TRIES_SECONDS = 5, 60.0
"""After so many wrong tokens from one address in so many seconds, none is checked."""
ADDRESSES = 1000  # that are remembered
SESSIONS = 1000  # that go on; then the oldest ends


class Attempts:
    """Counts wrong tokens by address."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()  # address -> monotonic seconds

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._wrong)

    def wait_seconds(self, address: str) -> float:
        """How long an address has to wait before its next attempt; 0: not at all."""
        since = time.monotonic() - TRIES_SECONDS
        recent = [moment for moment in self._wrong.get(address, ()) if moment > since]
        return recent[-TRIES] - since if len(recent) >= TRIES else 0.0

    def right(self, address: str) -> None:
        """Uncount the last attempt: the token was right."""
        if recent := self._wrong.get(address):
            recent.pop()

    def wrong(self, address: str) -> None:
        """Count a wrong token from there, or one that is still to be read."""
        recent = self._wrong.setdefault(address, [])
        recent.append(time.monotonic())
        del recent[:-TRIES]
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)


class TokenAuth:
    """The token, and the sessions that prove its knowledge."""

    def __init__(self, token: str | None, port: int) -> None:
        """`port`: browsers share cookies between all ports of a machine."""
        self._token = token
        self._sessions: OrderedDict[str, None] = OrderedDict()  # hashes of their cookies, oldest first
        self.needed = token is not None
        self.cookie = f"fer-edge-{port}"
        self.attempts = Attempts()
        self.cookie_attempts = Attempts()

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever it is."""
        return self._token is not None and hmac.compare_digest(_hashed(token, "token"), _hashed(self._token, "token"))

    def set_cookie(self, response: Response, *, encrypted: bool) -> None:
        """Begin a session: the browser gets its cookie, until it is closed; here only the cookie's hash is kept."""
        cookie = secrets.token_urlsafe(32)
        self._sessions[_hashed(cookie, "session")] = None
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        response.set_cookie(self.cookie, cookie, httponly=True, samesite="strict", secure=encrypted)

    def clear_cookie(self, headers: Headers, response: Response) -> None:
        """End a browser's session: its cookie and all copies become invalid."""
        self._sessions.pop(_hashed(self.shown(headers), "session"), None)
        response.delete_cookie(self.cookie, httponly=True, samesite="strict")

    def shown(self, headers: Headers) -> str:
        """The cookie that a browser shows. http.cookies would not find it behind a strange one, and a browser sends
        those of every other server on this machine, too."""
        return cookie_parser(headers.get("cookie", "")).get(self.cookie, "")

    def known(self, headers: Headers) -> bool:
        """Whether a browser's session is valid."""
        return _hashed(self.shown(headers), "session") in self._sessions


class BelowPath:
    """The application below a path of a proxy that passes that on: without it, as behind one that does not."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope.get("path", "")
        if self._root and path.startswith(f"{self._root}/"):
            scope = {**scope, "path": path.removeprefix(self._root)}
        await self._app(scope, receive, send)


class Below:
    """One application below a path, another one everywhere else."""

    def __init__(self, path: str, app: ASGIApp, other: ASGIApp) -> None:
        self._path, self._app, self._other = path, app, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope.get("path", "")
        if path.startswith(f"{self._path}/"):
            await self._app({**scope, "path": path.removeprefix(self._path)}, receive, send)
        else:
            await self._other(scope, receive, send)


class AuthMiddleware:
    """Admits authorised requests, and adds HEADERS to every response."""

    def __init__(self, app: ASGIApp, keys: TokenAuth, names: Iterable[str]) -> None:
        own = socket.gethostname().lower()
        self._app, self._keys = app, keys
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, dressed)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it was accepted: the server answers 403
        else:
            await refusal(scope, receive, dressed)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is refused; None: it is not."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return PlainTextResponse(f"This daemon is not called {host[:100]!r}: see web.names in config.yaml.\n", 421)
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return PlainTextResponse("Requests from other pages are refused.\n", 403)
        if not self._keys.needed or self._keys.known(headers) or scope["path"].startswith(OPEN):
            return None
        return self._without_cookie(scope, headers)

    def _without_cookie(self, scope: Scope, headers: Headers) -> Response | None:
        """For programs, which send the token; a browser is redirected to the form."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            address = address_of(scope)
            if wait := self._keys.attempts.wait_seconds(address):
                return PlainTextResponse("Too many wrong tokens; wait.\n", 429, {"Retry-After": f"{wait:.0f}"})
            if self._keys.fits(token.strip()):
                return None
            self._keys.attempts.wrong(address)
            return PlainTextResponse("Wrong token.\n", 401, {"WWW-Authenticate": "Bearer"})
        if self._keys.shown(headers):  # out of date, or guessed
            address = address_of(scope)
            if wait := self._keys.cookie_attempts.wait_seconds(address):
                return PlainTextResponse("Too many wrong cookies; wait.\n", 429, {"Retry-After": f"{wait:.0f}"})
            self._keys.cookie_attempts.wrong(address)
        if scope["path"] == "/":
            return RedirectResponse("login", 303)
        return PlainTextResponse("The token is missing.\n", 401, {"WWW-Authenticate": "Bearer"})

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header means this machine. Any address does: a name can be made to point here, an address
        cannot."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def address_of(scope: Scope) -> str:
    """Where a request comes from; of IPv6 the network, for each machine has many addresses in it."""
    return network_of((scope.get("client") or ("", 0))[0])


def network_of(host: str) -> str:
    """An IPv4 address, or the network of an IPv6 one. A socket for both kinds has IPv4 ones as ::ffff:10.0.0.1."""
    if ":" not in host or "%" in host:
        return host
    whole = ipaddress.IPv6Address(host)
    return str(whole.ipv4_mapped or ipaddress.ip_network((whole, 64), strict=False))


def _hashed(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), f"fer-edge web {purpose}".encode(), hashlib.sha256).hexdigest()


def _place(origin: str) -> str | None:
    """Host and port of an origin; None: it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
