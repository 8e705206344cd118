"""web/door.py: who may look, and what every answer says."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from websockets.exceptions import InvalidStatus

from fer_edge.sinks.web import auth
from fer_edge.sinks.web.auth import ADDRESSES, SESSIONS, Attempts, TokenAuth, address_of
from fer_edge.testing.brokers import wait_for
from tests.support.web_helpers import TOKEN, Site, serving

WRONG = "wrong-token-of-some-length"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A page without a token."""
    with serving(tmp_path / "state", names=("fer.example.org",)) as site:
        yield site


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    """A page with one."""
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    with serving(tmp_path / "state", token_file=str(file)) as site:
        yield site


def log_in(site: Site, token: str, **headers: str) -> http.client.HTTPResponse:
    answer, _ = site.ask("/login", method="POST", body=f"token={token}", **headers)
    return answer


def refused(site: Site, **options: object) -> int:
    """The status with which a websocket is turned away."""
    with pytest.raises(InvalidStatus) as error:
        site.page(**options)
    return error.value.response.status_code


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/page.css", "/static/icon.svg", "/login", "/none"])
def test_every_answer_is_guarded(guarded: Site, path: str) -> None:
    answer, _ = guarded.ask(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    for rule in ("base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] in ("no-store", "no-cache")
    assert "server" not in answer.headers


def test_the_page_loads_nothing_from_elsewhere(site: Site) -> None:
    for name in ("/", "/login", *(f"/static/{file}" for file in ("page.css", "page.js", "link.js", "icon.svg"))):
        _, body = site.ask(name)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", body), name
        assert not re.search(r"<script>|<style|style=|\bon\w+=\"|innerHTML|eval\(", body), name


def test_files_are_sent_once(site: Site) -> None:
    answer, body = site.ask("/static/page.js")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert body
    again, nothing = site.ask("/static/page.js", If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, "")


@pytest.mark.parametrize("path", ["/static/app.py", "/static/..%2f__init__.py", "/static/login.html", "/static/", "/x"])
def test_nothing_else_is_sent(site: Site, path: str) -> None:
    assert site.ask(path)[0].status == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:1", 200),
        ("192.168.1.5:8080", 200),
        ("[::1]:8080", 200),
        (socket.gethostname(), 200),
        (socket.gethostname() + ".local:8080", 200),
        ("FER.example.org", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_own_names_are_answered(site: Site, host: str, status: int) -> None:
    assert site.ask("/", Host=host)[0].status == status
    assert site.ask("/static/page.js", Host=host)[0].status == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "http://[", ""]
)
def test_other_pages_are_refused(site: Site, origin: str) -> None:
    assert refused(site, origin=origin) == 403
    assert site.ask("/login", method="POST", body="token=x", Origin=origin)[0].status == 403


def test_foreign_names_have_no_websocket_either(site: Site) -> None:
    assert refused(site, additional_headers={"Host": "evil.example"}) in (400, 403)


def test_the_own_page_has_its_websocket(site: Site) -> None:
    with site.page(origin=f"http://{site.host}") as page:
        page.receive("hello")


def test_without_a_token_nobody_is_asked(site: Site) -> None:
    assert site.ask("/")[0].status == 200
    assert site.ask("/session")[0].status == 204
    assert site.ask("/login")[0].headers["Location"] == "."


def test_without_the_token_only_the_form_is_seen(guarded: Site) -> None:
    answer, _ = guarded.ask("/")
    assert (answer.status, answer.headers["Location"]) == (303, "login")
    assert guarded.ask("/session")[0].status == 401
    assert "Token of this device" in guarded.ask("/login")[1]
    assert guarded.ask("/logout", method="POST")[0].status == 401
    assert refused(guarded) == 403


def test_the_form_gives_a_cookie_that_is_not_the_token(guarded: Site) -> None:
    answer = log_in(guarded, TOKEN, Origin=f"http://{guarded.host}")
    assert (answer.status, answer.headers["Location"]) == (303, ".")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    shown = {"Cookie": cookie.split(";")[0]}
    assert guarded.ask("/", **shown)[0].status == 200
    with guarded.page(additional_headers=shown) as page:
        assert page.receive("hello")["login"] is True
    out, _ = guarded.ask("/logout", method="POST", **shown)
    assert "fer-edge-" in out.headers["Set-Cookie"]
    assert "Max-Age=0" in out.headers["Set-Cookie"]
    assert guarded.ask("/session", **shown)[0].status == 401, "a copy of the cookie is worth nothing any more"


def test_each_login_is_a_session_of_its_own(guarded: Site) -> None:
    first, second = (log_in(guarded, TOKEN).headers["Set-Cookie"].split(";")[0] for _ in range(2))
    assert first != second
    guarded.ask("/logout", method="POST", Cookie=first)
    assert guarded.ask("/session", Cookie=first)[0].status == 401
    assert guarded.ask("/session", Cookie=second)[0].status == 204


def test_guessed_cookies_are_counted_and_lock_nobody_out(guarded: Site) -> None:
    own = log_in(guarded, TOKEN).headers["Set-Cookie"].split(";")[0]
    name = own.split("=")[0]
    answers = [guarded.ask("/session", Cookie=f"{name}=guess{number}")[0].status for number in range(7)]
    assert answers == [401] * 5 + [429] * 2
    assert guarded.ask("/session", Cookie=own)[0].status == 204
    assert log_in(guarded, TOKEN).status == 303


def test_half_sent_logins_count_as_attempts(guarded: Site, caplog: pytest.LogCaptureFixture) -> None:
    head = f"POST /login HTTP/1.1\r\nHost: {guarded.host}\r\nContent-Length: 40\r\n\r\ntoken="
    halves = [socket.create_connection(("127.0.0.1", guarded.sink.port)) for _ in range(5)]
    for half in halves:
        half.sendall(head.encode())
    wait_for(lambda: log_in(guarded, TOKEN).status == 429, "five attempts are under way")
    for half in halves:
        half.close()
    assert guarded.ask("/login")[0].status == 200
    assert not caplog.records, "an aborted login is no line in the log"


def test_behind_tls_the_cookie_is_for_tls_only(guarded: Site) -> None:
    answer = log_in(guarded, TOKEN, Origin=f"https://{guarded.host}")
    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["x", "{name}=", "{name}=" + TOKEN, "{name}=ü", "=", ";;", "{name}=" + "0" * 64])
def test_other_cookies_do_not_help(guarded: Site, cookie: str) -> None:
    shown = cookie.format(name=f"fer-edge-{guarded.sink.port}")
    assert guarded.ask("/session", Cookie=shown)[0].status == 401


@pytest.mark.parametrize("other", ['state={"a":1}', "a:b=1", "x", 'q="', "list[0]=1"])
def test_strange_cookies_of_other_servers_do_not_lock_anybody_out(guarded: Site, other: str) -> None:
    own = log_in(guarded, TOKEN).headers["Set-Cookie"].split(";")[0]
    for shown in (f"{other}; {own}", f"{own}; {other}"):
        assert guarded.ask("/session", Cookie=shown)[0].status == 204


def test_programs_bring_the_token_along(guarded: Site) -> None:
    assert guarded.ask("/session", Authorization=f"Bearer {TOKEN}")[0].status == 204
    with guarded.page(additional_headers={"Authorization": f"Bearer {TOKEN}"}) as page:
        page.receive("hello")
    assert guarded.ask("/session", Authorization=f"Bearer {WRONG}")[0].status == 401
    assert guarded.ask("/session", Authorization=f"Basic {TOKEN}")[0].status == 401


def test_a_wrong_token_is_refused_and_after_five_none_is_looked_at(guarded: Site) -> None:
    for _ in range(5):
        answer, body = guarded.ask("/login", method="POST", body=f"token={WRONG}")
        assert (answer.status, answer.headers.get("Set-Cookie")) == (401, None)
        assert "That is not the token." in body
    answer, body = guarded.ask("/login", method="POST", body=f"token={TOKEN}")
    assert answer.status == 429
    assert "Too many wrong tokens. Try again in " in body
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert guarded.ask("/session", Authorization=f"Bearer {TOKEN}")[0].status == 429


def test_it_may_try_again_later(guarded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        assert guarded.ask("/session", Authorization=f"Bearer {WRONG}")[0].status == 401
    assert log_in(guarded, TOKEN).status == 429
    monkeypatch.setattr(auth, "TRIES_SECONDS", 0.0)
    assert log_in(guarded, TOKEN).status == 303


@pytest.mark.parametrize("body", ["", "token=", "x" * 5000, "token=%ff%00", "other=1"])
def test_what_is_no_token_is_refused(guarded: Site, body: str) -> None:
    assert guarded.ask("/login", method="POST", body=body)[0].status in (401, 413)


def test_the_memory_of_wrong_tokens_is_bounded() -> None:
    attempts = Attempts()
    for number in range(ADDRESSES + 10):
        attempts.wrong(str(number))
    assert len(attempts) == ADDRESSES


def test_a_token_from_where_none_was_tried_counts_nothing() -> None:
    attempts = Attempts()
    attempts.right("10.0.0.1")
    assert len(attempts) == 0


def test_the_oldest_session_ends_for_one_too_many() -> None:
    keys, cookies = TokenAuth(TOKEN, 8080), []
    for _ in range(SESSIONS + 1):
        keys.set_cookie(answer := Response(), encrypted=False)
        cookies.append(Headers({"cookie": answer.headers["set-cookie"].partition(";")[0]}))
    assert [keys.known(cookie) for cookie in (cookies[0], cookies[1], cookies[-1])] == [False, True, True]


def test_addresses_of_one_network_count_as_one() -> None:
    assert address_of({"client": ("2001:db8::1", 1)}) == address_of({"client": ("2001:db8::ffff:2", 2)})
    assert address_of({"client": ("10.0.0.1", 1)}) != address_of({"client": ("10.0.0.2", 1)})
    assert address_of({"client": ("fe80::1%eth0", 1)}) == "fe80::1%eth0"


def test_ipv4_addresses_at_a_socket_for_both_kinds_count_each() -> None:
    """With web.host "::", one guest's wrong tokens must not lock out all others."""
    assert address_of({"client": ("::ffff:10.0.0.1", 1)}) == address_of({"client": ("10.0.0.1", 1)})
    assert address_of({"client": ("::ffff:10.0.0.1", 1)}) != address_of({"client": ("::ffff:10.0.0.2", 1)})


def test_keys_of_another_token_do_not_fit() -> None:
    first, second = TokenAuth(TOKEN, 1), TokenAuth(WRONG, 1)
    assert first.fits(TOKEN)
    assert not first.fits(WRONG)
    assert not second.fits(TOKEN)
    assert not TokenAuth(None, 1).fits("")
