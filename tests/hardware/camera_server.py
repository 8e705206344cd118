"""A network camera on port 8080 that shows a picture of a face ten times a second, in the mood that a file names.

`python3 camera_server.py PICTURE MOOD_FILE`; needs the standard library only, for it runs inside a container.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8080
FRAME_SECONDS = 0.1


class Handler(BaseHTTPRequestHandler):
    """`send`: frames; `stall`: connected, and nothing comes; `refuse`: no frames for anybody."""

    picture: bytes
    mood_file: Path

    def do_GET(self) -> None:
        if self.mood == "refuse":
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(self.picture)
        try:
            while (mood := self.mood) != "refuse":
                if mood == "send":
                    self.wfile.write(head + self.picture + b"\r\n")
                time.sleep(FRAME_SECONDS)
        except OSError:  # the client is gone
            return

    @property
    def mood(self) -> str:
        return self.mood_file.read_text().strip()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Handler.picture, Handler.mood_file = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
