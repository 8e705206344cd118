"""The routes: the page and its files, the form for the token, and the websocket that a page lives on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from fer_edge.runtime.count_text import counted
from fer_edge.sinks.picture_ring import picture_bytes
from fer_edge.sinks.web.auth import AuthMiddleware, Below, BelowPath, TokenAuth, address_of
from fer_edge.sinks.web.gallery import gallery
from fer_edge.sinks.web.messages import ClientMessage, NextMessage, decode
from fer_edge.sinks.web.viewers import Live, TooSlow, Viewer

FORM_BYTES = 1024  # a token is shorter
SEND_SECONDS = 15.0  # a page that accepts nothing for this long is gone
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

BAD_MESSAGE, TRY_LATER = 1008, 1013  # codes with which a websocket is closed (RFC 6455, 7.4.1, and IANA's registry)

Hear = Callable[[Viewer, ClientMessage], None]


@dataclass(frozen=True, slots=True)
class Site:
    """What the routes need."""

    keys: TokenAuth
    live: Live
    hello: Callable[[], str]  # the first message to a page
    hear: Hear  # takes a page's messages, but for `Next`
    pictures: Path | None = None  # the folder of pictures at events; None: none may be shown


class File:
    """One of the page's files, read once."""

    def __init__(self, name: str) -> None:
        self._body = resources.files("fer_edge.sinks.web").joinpath("static", name).read_bytes()
        self._type = TYPES[name.rpartition(".")[2]]
        self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:16]}"'

    def answer(self, request: Request) -> Response:
        """The file, or that the browser has it already."""
        headers = {"ETag": self._tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=headers)
        return Response(self._body, media_type=self._type, headers=headers)

    def filled(
        self, message: str, status: int, headers: dict[str, str] | None = None, places: Mapping[str, str] | None = None
    ) -> Response:
        """The file with a message in its place for one, and more in other places."""
        body = self._body
        for place, text in {"message": message, **(places or {})}.items():
            body = body.replace(f"<!-- {place} -->".encode(), text.encode())
        return Response(body, status, headers, self._type)


def make_app(site: Site, names: tuple[str, ...], root_path: str = "") -> ASGIApp:
    """The application, behind its door. `names`: what else the machine is called; `root_path`: of a proxy."""
    return BelowPath(_page(site, names), root_path)


def make_cameras_app(
    sites: Mapping[str, Site], keys: TokenAuth, places: Mapping[str, str], names: tuple[str, ...], root_path: str = ""
) -> ASGIApp:
    """The same for several cameras by name: each at `/camera/NAME/`, and at `/` an overview, whose file is filled with
    `places`."""
    files = _files()
    body = files["cameras.html"].filled("", 200, places=places)

    async def overview(_: Request) -> Response:
        return body

    async def slash(request: Request) -> Response:
        name = request.path_params["name"]
        missing = Response("Not found: no camera of this name runs.\n", 404, media_type="text/plain")
        return RedirectResponse(f"{name}/", 307) if name in sites else missing

    first = Starlette(routes=[Route("/", overview), Route("/camera/{name}", slash), *_door(keys, files)])
    first.router.redirect_slashes = False  # an unknown camera's address would lead to `slash` and back for ever
    app: ASGIApp = AuthMiddleware(first, keys, names)
    for name, site in sites.items():
        app = Below(f"/camera/{name}", _page(site, names), app)
    return BelowPath(app, root_path)


def _files() -> dict[str, File]:
    """The files of all pages, by name."""
    static = resources.files("fer_edge.sinks.web").joinpath("static")
    return {each.name: File(each.name) for each in static.iterdir() if each.name.rpartition(".")[2] in TYPES}


def _page(site: Site, names: tuple[str, ...]) -> ASGIApp:
    """The page of a camera, behind its door."""
    files = _files()
    index, album = files["index.html"], files["pictures.html"]

    async def home(request: Request) -> Response:
        return index.answer(request)

    def pictures(_: Request) -> Response:  # no coroutine: the disk is waited for in a thread
        return album.filled(gallery(site.pictures), 200)

    def picture(request: Request) -> Response:
        jpeg = picture_bytes(site.pictures, request.path_params["name"]) if site.pictures else None
        missing = Response("Not found: it was deleted, or never was.\n", 404, media_type="text/plain")
        return Response(jpeg, media_type="image/jpeg") if jpeg else missing

    async def live(websocket: WebSocket) -> None:
        await _live(websocket, site)

    routes = [
        Route("/", home),
        Route("/pictures", pictures),
        Route("/pictures/{name}", picture),
        WebSocketRoute("/live", live),
        *_door(site.keys, files),
    ]
    return AuthMiddleware(Starlette(routes=routes), site.keys, names)


def _door(keys: TokenAuth, files: Mapping[str, File]) -> list[Route]:
    """The routes of every page: its files, login and logout."""
    form = files["login.html"]

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        found = None if name.endswith(".html") else files.get(name)
        return found.answer(request) if found else Response("Not found.\n", 404, media_type="text/plain")

    async def session(_: Request) -> Response:
        return Response(status_code=204)

    async def login(request: Request) -> Response:
        if not keys.needed:
            return RedirectResponse(".", 303)
        return await _login(request, keys, form) if request.method == "POST" else form.filled("", 200)

    async def logout(request: Request) -> Response:
        response = RedirectResponse("login", 303)
        keys.clear_cookie(request.headers, response)
        return response

    return [
        Route("/static/{name}", file),
        Route("/session", session),
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
    ]


async def _login(request: Request, keys: TokenAuth, form: File) -> Response:
    address = address_of(request.scope)
    if wait := keys.attempts.wait_seconds(address):
        again = f"Too many wrong tokens. Try again in {counted(round(wait), 'second')}."
        return form.filled(again, 429, {"Retry-After": f"{wait:.0f}"})
    keys.attempts.wrong(address)  # before the body is read: half-sent forms count too
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES:
                return form.filled("That is not the token.", 413)
    except ClientDisconnect:
        return Response(status_code=400)  # to nobody
    token = parse_qs(body.decode(errors="replace")).get("token", [""])[0]
    if not keys.fits(token.strip()):
        return form.filled("That is not the token.", 401)
    keys.attempts.right(address)
    response = RedirectResponse(".", 303)
    keys.set_cookie(response, encrypted=request.headers.get("origin", "").startswith("https:"))
    return response


async def _live(websocket: WebSocket, site: Site) -> None:
    """One page, from its opening to its end."""
    await websocket.accept()
    viewer = site.live.enter()
    if viewer is None:
        await websocket.close(TRY_LATER, "too many pages are open")
        return
    try:
        viewer.say(site.hello())
        await _first(_send(websocket, viewer, site.live), _receive(websocket, viewer, site))
    finally:
        site.live.leave(viewer)


async def _first(*jobs: Awaitable[None]) -> None:
    """Do all of them until one has ended."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(websocket: WebSocket, viewer: Viewer, live: Live) -> None:
    """Send until the page is closed or too slow."""
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        while True:
            try:
                item = await live.next(viewer)
            except TooSlow:
                await websocket.close(TRY_LATER, "too slow; reconnect")
                return
            send = websocket.send_text(item) if isinstance(item, str) else websocket.send_bytes(item)
            await asyncio.wait_for(send, SEND_SECONDS)


async def _receive(websocket: WebSocket, viewer: Viewer, site: Site) -> None:
    """Listen until the page is closed."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            try:
                message = decode(await websocket.receive_text())
            except (ValueError, KeyError):  # KeyError: bytes instead of text
                await websocket.close(BAD_MESSAGE, "not understood")
                return
            if isinstance(message, NextMessage):
                site.live.want(viewer)
            else:
                site.hear(viewer, message)
