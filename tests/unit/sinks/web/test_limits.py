"""sinks/web/limits.py: strangers may hold few connections, none for long, and lock nobody out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fer_edge.runtime import meter
from fer_edge.sinks.web import limits
from fer_edge.testing.brokers import wait_for
from tests.support.web_helpers import Site, serving


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path) as site:
        yield site


def silent(site: Site, stack: ExitStack, *, address: str = "127.0.0.1") -> socket.socket:
    """A connection that says nothing."""
    connection = socket.create_connection(("127.0.0.1", site.sink.port), timeout=10, source_address=(address, 0))
    return stack.enter_context(connection)


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.001)
    try:
        return connection.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_silent_connections_from_one_address_close_their_own(site: Site) -> None:
    with ExitStack() as stack:
        many = [silent(site, stack) for _ in range(limits.MOST_OF_ONE + 30)]
        wait_for(lambda: sum(map(closed, many)) >= 30, "those too many are closed")
        assert site.ask("/session")[0].status == 204, "whoever comes now is served"
        with site.page() as page:
            page.receive("hello")


def test_many_addresses_do_not_lock_the_owner_out(site: Site) -> None:
    with ExitStack() as stack:
        many = [silent(site, stack, address=f"127.0.1.{number}") for number in range(1, 5) for _ in range(40)]
        wait_for(lambda: sum(map(closed, many)) >= 160 - limits.MOST, "those too many are closed")
        assert site.ask("/session")[0].status == 204


@pytest.mark.parametrize(
    "head", ["", "GET / HTTP/1.1\r\nHost: x", "POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nto"]
)
def test_a_request_has_its_time(head: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.2)
    with ExitStack() as stack:
        connection = silent(site, stack)
        connection.sendall(head.format(host=site.host).encode())
        wait_for(lambda: closed(connection), "an unfinished request is given up")


def test_a_viewer_and_a_slow_answer_have_theirs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.1)
    with site.page() as page:
        page.receive("hello")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            page.receive("health")
        assert page.connection.latency is not None


def test_no_figure_of_the_meter_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many_files(*_: object, **__: object) -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", too_many_files)
    assert meter.rss_mb() == 0.0


def test_a_page_that_floods_is_told_so_and_nothing_is_written_for_it(site: Site) -> None:
    with site.page() as page:
        page.receive("hello")
        for number in range(60):
            page.say(type="keep")
            page.say(type="draw", zones={}, region=[0, 0, 1, 0.5 + number / 1000])
        problems = [page.receive("reply")["problem"] for _ in range(120)]
        assert sum("too many changes" in str(problem) for problem in problems) > 90
        with site.page() as other:
            other.receive("hello")
