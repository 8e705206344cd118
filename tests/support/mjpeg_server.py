"""A network camera on loopback: an HTTP server that sends Motion JPEG."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import ClassVar, Literal

import cv2
import numpy as np

Mood = Literal["send", "stall", "hang up"]


class MjpegServer:
    """Sends frames until its `mood` changes. A context manager."""

    def __init__(self, *, mood_after: tuple[int, Mood] = (1 << 30, "send")) -> None:
        self.mood_after = mood_after
        self.closed, self.away = Event(), Event()
        handler = type("Handler", (_Handler,), {"camera": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False  # joined by server_close: no socket outlives the test
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/video"

    def leave(self) -> None:
        """Hang up, and on whoever comes."""
        self.mood_after = (0, "hang up")
        self.away.set()

    def come_back(self) -> None:
        """Send again."""
        self.mood_after = (1 << 30, "send")
        self.away.clear()

    def __enter__(self) -> MjpegServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    camera: ClassVar[MjpegServer]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        frames, mood = self.camera.mood_after
        try:
            self._send(frames)
        except OSError:  # the client is gone
            return
        if mood == "stall":
            self.camera.closed.wait()

    def _send(self, frames: int) -> None:
        for number in range(frames):
            if self.camera.closed.is_set() or self.camera.away.is_set():
                return
            picture = cv2.imencode(".jpg", np.full((48, 64, 3), number % 256, np.uint8))[1].tobytes()
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
            self.wfile.write(head + picture + b"\r\n")
            time.sleep(0.01)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
