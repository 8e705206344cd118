"""A camera's HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import cv2
import numpy as np

from fer_edge.camera.stream import StreamCamera
from fer_edge.config import Camera as CameraConfig
from fer_edge.records import Frame

PICTURE = cv2.imencode(".jpg", np.full((48, 64, 3), 120, np.uint8))[1].tobytes()


MULTIPART = "multipart/x-mixed-replace; boundary=frame"


HEAD = b"Content-Type: image/jpeg\r\n\r\n"


@contextmanager
def served(body: bytes, kind: str, *, status: int = 200, length: bool = True) -> Iterator[str]:
    """A server on loopback that answers everything with this; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def camera_at(url: str) -> StreamCamera:
    return StreamCamera(CameraConfig(backend="stream", source=url, pace="max", fps=30, timeout_seconds=5))


def drain(camera: StreamCamera, frames: list[Frame]) -> None:
    """Read on into `frames`, until the end or an error."""
    while (frame := camera.read()) is not None:
        frames.append(frame)
