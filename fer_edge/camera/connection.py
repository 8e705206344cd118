"""Why a source could not be opened, in words."""

from __future__ import annotations

import errno
import os
import socket
from urllib.parse import urlsplit

import av


def reason(error: Exception, source: str) -> str:
    """One clause for what FFmpeg reported about a URL."""
    found = _http_reason(error, source)
    if found:
        return found
    if isinstance(error, av.error.ConnectionRefusedError):
        return "connection refused: nothing listens there; check the port and that the camera is on"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return "this kind of address is not supported; expected rtsp, rtsps, http, https, rtmp, srt, tcp or udp"
    if isinstance(error, (av.error.InvalidDataError, av.error.DemuxerNotFoundError)):
        return "the response is not a video stream (a web page?); check the path of the address"
    number = getattr(error, "errno", 0) or 0
    if number in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return "no route to the host; check the network"
    return _unresolved(source) or _other(error, source)


def _http_reason(error: Exception, source: str) -> str | None:
    if isinstance(error, av.error.HTTPUnauthorizedError):
        hint = "; an @ in it is written %40" if urlsplit(source).netloc.count("@") != 1 else ""
        return f"the user or password is wrong (401){hint}"
    if isinstance(error, av.error.HTTPForbiddenError):
        return "access denied for this user (403)"
    if isinstance(error, av.error.HTTPNotFoundError):
        return "there is nothing at this path (404)"
    if isinstance(error, av.error.HTTPClientError):
        return "the server rejects the request (4xx)"
    return "the server reports an error of its own (5xx)" if isinstance(error, av.error.HTTPServerError) else None


def _unresolved(source: str) -> str | None:
    """FFmpeg reports an unknown host as an I/O error."""
    host = _host(source)
    if not host:
        return "the address has no host"
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        hint = "; an @ in a password is written %40" if urlsplit(source).netloc.count("@") > 1 else ""
        return f"unknown host {host}{hint}"
    return None


def _host(source: str) -> str | None:
    try:
        return urlsplit(source).hostname
    except ValueError:
        return None


def _other(error: Exception, source: str) -> str:
    if source.startswith(("https:", "rtsps:", "rtmps:")):
        return "the TLS connection failed; check the port and the certificate"
    number = getattr(error, "errno", 0) or 0
    known = os.strerror(number) if 0 < number < 200 else type(error).__name__
    return f"{known}; check the address"
