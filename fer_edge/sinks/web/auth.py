"""Who may look: Host and Origin are checked, then the token. Around the whole application, websockets included.

A page elsewhere must not reach the daemon through its visitor's browser: what comes under a foreign name (DNS
rebinding) or from a foreign page (Origin) is refused before anything else. The token itself is never stored in a
browser: its cookie holds a keyed hash, which ends with the token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
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
OPEN = ("/login", "/static/")  # what may be seen without the token

TRIES, TRIES_SECONDS = 5, 60.0
"""So many wrong tokens from one address in so many seconds; then none is looked at."""
ADDRESSES = 1000  # that are remembered


class Attempts:
    """Counts wrong tokens by address."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()  # address -> monotonic seconds

    def wait_seconds(self, address: str) -> float:
        """How long an address has to wait before it may try again; 0: not at all."""
        since = time.monotonic() - TRIES_SECONDS
        recent = [moment for moment in self._wrong.get(address, ()) if moment > since]
        return recent[-TRIES] - since if len(recent) >= TRIES else 0.0

    def wrong(self, address: str) -> None:
        """A wrong token came from there."""
        recent = self._wrong.setdefault(address, [])
        recent.append(time.monotonic())
        del recent[:-TRIES]
        self._wrong.move_to_end(address)
        if len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)


class TokenAuth:
    """The token, and what proves that somebody knew it."""

    def __init__(self, token: str | None, port: int) -> None:
        """`port`: browsers share cookies between all ports of a machine."""
        self._token = token
        self._session = _hashed(token or "", "session")
        self.needed = token is not None
        self.cookie = f"fer-edge-{port}"
        self.attempts = Attempts()

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever it is."""
        return self._token is not None and hmac.compare_digest(_hashed(token, "token"), _hashed(self._token, "token"))

    def set_cookie(self, response: Response, *, encrypted: bool) -> None:
        """Give a browser its cookie, until it is closed."""
        response.set_cookie(self.cookie, self._session, httponly=True, samesite="strict", secure=encrypted)

    def clear_cookie(self, response: Response) -> None:
        """Take it back."""
        response.delete_cookie(self.cookie, httponly=True, samesite="strict")

    def known(self, headers: Headers) -> bool:
        """Whether a browser shows its cookie. http.cookies would not find it behind a strange one, and a browser
        sends those of every other server on this machine, too."""
        shown = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return hmac.compare_digest(shown.encode(), self._session.encode())


class AuthMiddleware:
    """Lets in who may come, and adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp, keys: TokenAuth, names: Iterable[str]) -> None:
        own = socket.gethostname().lower()
        self._app, self._keys = app, keys
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""

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
        """Why somebody may not come in; None: they may."""
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
        """For programs, which bring the token along; a browser is led to the form."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            address = address_of(scope)
            if wait := self._keys.attempts.wait_seconds(address):
                return PlainTextResponse("Too many wrong tokens; wait.\n", 429, {"Retry-After": f"{wait:.0f}"})
            if self._keys.fits(token.strip()):
                return None
            self._keys.attempts.wrong(address)
            return PlainTextResponse("Wrong token.\n", 401, {"WWW-Authenticate": "Bearer"})
        if scope["path"] == "/":
            return RedirectResponse("/login", 303)
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
    host = (scope.get("client") or ("", 0))[0]
    return str(ipaddress.ip_network(f"{host}/64", strict=False)) if ":" in host and "%" not in host else str(host)


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
