"""The live page behind a real nginx: TLS, and a path of the proxy's."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urljoin

import pytest
from websockets.sync.client import connect

from fer_edge.testing.brokers import PATIENCE, Certificates, wait_for
from tests.support.browser import CHROMIUM, REASON, browser, complaints
from tests.support.web_helpers import SECONDS, TOKEN, Page, serving

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is missing: apt install nginx (scripts/test does)")

CONFIG = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificates.cert};
        ssl_certificate_key {certificates.key};
        location /cam/ {{
            proxy_pass http://127.0.0.1:{upstream}{stripped};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""


class Proxy:
    """What a browser sees of it."""

    def __init__(self, port: int, ca: Path) -> None:
        self.url = f"https://127.0.0.1:{port}/cam/"
        self.tls = ssl.create_default_context(cafile=str(ca))
        self.tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._port = port

    def ask(
        self, url: str, *, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[HTTPResponse, str]:
        """An answer and its body."""
        connection = HTTPSConnection("127.0.0.1", self._port, timeout=SECONDS, context=self.tls)
        try:
            connection.request(method, url.removeprefix(f"https://127.0.0.1:{self._port}"), body, headers)
            answer = connection.getresponse()
            return answer, answer.read().decode(errors="replace")
        finally:
            connection.close()


@contextmanager
def nginx(folder: Path, upstream: int, *, strips: bool) -> Iterator[Proxy]:
    """A proxy before the page; `strips`: whether it takes its path away."""
    certificates = Certificates.make(folder / "tls")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = CONFIG.format(
        user="user root root;" if os.geteuid() == 0 else "",
        folder=folder,
        port=port,
        certificates=certificates,
        upstream=upstream,
        stripped="/" if strips else "",
    )
    (folder / "nginx.conf").write_text(text)
    assert NGINX
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        wait_for(lambda: process.poll() is not None or _listens(port), "nginx listens")
        assert process.poll() is None
        yield Proxy(port, certificates.ca)
    finally:
        process.terminate()
        process.wait(10 * PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=[True, False], ids=["path taken away", "path passed on"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    (tmp_path / "token").write_text(TOKEN)
    root = "" if request.param else "/cam"
    with (
        serving(tmp_path, token_file=str(tmp_path / "token"), root_path=root) as site,
        nginx(tmp_path, site.sink.port, strips=request.param) as found,
    ):
        yield found


def test_everything_lies_below_the_proxys_path(proxy: Proxy) -> None:
    answer, _ = proxy.ask(proxy.url)
    assert answer.status == 303
    login = urljoin(proxy.url, answer.getheader("Location"))
    assert login == f"{proxy.url}login"
    answer, form = proxy.ask(login)
    assert answer.status == 200
    for link in re.findall(r'(?:src|href|action)="([^"#]+)"', form):
        assert urljoin(login, link).startswith(proxy.url)

    body, origin = urlencode({"token": TOKEN}), proxy.url.removesuffix("/cam/")
    answer, _ = proxy.ask(login, method="POST", body=body, Origin=origin)
    assert (answer.status, urljoin(login, answer.getheader("Location"))) == (303, proxy.url)
    cookie = answer.getheader("Set-Cookie") or ""
    assert "Secure" in cookie
    assert "Path=/;" in cookie

    session = cookie.split(";")[0]
    answer, page = proxy.ask(proxy.url, Cookie=session)
    assert answer.status == 200
    for link in re.findall(r'(?:src|href)="([^"#]+)"', page):
        there, _ = proxy.ask(urljoin(proxy.url, link), Cookie=session)
        assert there.status == 200, link
    headers = {"Cookie": session, "Origin": origin}
    live = connect(
        proxy.url.replace("https", "wss") + "live",
        ssl=proxy.tls,
        proxy=None,
        additional_headers=headers,
        open_timeout=SECONDS,
    )
    with Page(live) as viewer:
        assert viewer.receive("hello")["login"] is True


def test_another_page_may_not_ask(proxy: Proxy) -> None:
    answer, _ = proxy.ask(f"{proxy.url}login", method="POST", body="token=x", Origin="https://evil.example")
    assert answer.status == 403


@pytest.mark.skipif(not CHROMIUM, reason=REASON)
def test_a_browser_logs_in_and_out(proxy: Proxy) -> None:
    with browser() as plain:
        assert plain.browser
        context = plain.browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        message = complaints(page)
        page.goto(proxy.url)
        page.wait_for_url(f"{proxy.url}login")
        page.fill("input[name=token]", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_url(proxy.url)
        page.locator("input[type=range]").nth(5).wait_for(state="attached")
        assert page.title()
        assert [line for line in message if "404" in line or "failed" in line or "Error" in line] == []
        context.close()
