"""What the signals cost a face and frame: `python -m benchmarks.signals`.

All of them are on; the model for intensities, which `eyes_mouth` takes, is not in it (`fer-edge bench --models`).
"""

from __future__ import annotations

import time

from fer_edge.config import Attention, Balance, Config, EyesMouth
from fer_edge.tracking.signals import SignalReader, enabled_signals
from tests.support.faces_over_time import Shown, Story

FRAMES = 20_000


def main() -> None:
    """Follow one face through many frames."""
    on = Config(attention=Attention(enabled=True), balance=Balance(enabled=True), eyes_mouth=EyesMouth(enabled=True))
    story = Story(on)
    story.show(1, Shown())
    reader, track = SignalReader(enabled_signals(on), on), story.tracks[0]
    begin = time.process_time()
    for frame in range(FRAMES):
        reader(track, track.last_ns + frame)
    print(f"{(time.process_time() - begin) / FRAMES * 1e3:.4f} ms a face and frame")


if __name__ == "__main__":
    main()
