"""What does reading a film cost per frame with PyAV, as fer-edge reads it, beside OpenCV's VideoCapture?

    python -m benchmarks.films          needs ffmpeg

Every measurement is a process of its own; the candidates take turns. CPU is that of all threads; memory is what the
process grew by at its peak, imports left out.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FILMS = {
    "640x480 H.264": ("640x480", 300, "-c:v libx264 -preset veryfast -pix_fmt yuv420p"),
    "640x480 MJPEG": ("640x480", 300, "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p"),
    "1080p H.264": ("1920x1080", 150, "-c:v libx264 -preset veryfast -pix_fmt yuv420p"),
    "1080p MJPEG": ("1920x1080", 150, "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p"),
    "4K H.264": ("3840x2160", 30, "-c:v libx264 -preset veryfast -pix_fmt yuv420p"),
    "8K H.264": ("7680x4320", 12, "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"),
    "8K H.264, B-frames": ("7680x4320", 12, "-c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p"),
    "8K H.265, B-frames": ("7680x4320", 12, "-c:v libx265 -preset ultrafast -x265-params log-level=none"),
}
ROUNDS = 3


def read_opencv(path: str) -> int:
    """All frames, as until now."""
    import cv2

    capture, count = cv2.VideoCapture(path, cv2.CAP_FFMPEG), 0
    while capture.read()[0]:
        count += 1
    return count


def read_pyav(path: str) -> int:
    """All frames, as now."""
    from fer_edge.camera.av_reader import AvReader

    reader = AvReader(path)
    count = sum(1 for _ in reader.frames_of_file())
    reader.close()
    return count


READERS = {"opencv": read_opencv, "pyav": read_pyav}


def measure(name: str, path: str) -> None:
    """Print milliseconds of CPU a frame and MiB."""
    import cv2  # noqa: F401  both have it in memory

    import fer_edge.camera.av_reader  # noqa: F401

    before, began = peak_mib(), cpu_s()
    count = READERS[name](path)
    print((cpu_s() - began) * 1e3 / count, peak_mib() - before, peak_mib())


def peak_mib() -> float:
    """The most that the process had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_s() -> float:
    """CPU time of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Make the films, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)  # a process of its own: reader, film
    options = parser.parse_args()
    if options.read:
        return measure(*options.read)
    print("| film | reader | CPU ms a frame | grew by MiB | peak MiB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for title, (size, frames, codec) in FILMS.items():
            path = Path(folder) / "film.mkv"
            source = f"testsrc2=size={size}:rate=30"
            made = ["ffmpeg", "-y", "-loglevel", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames)]
            subprocess.run([*made, *codec.split(), str(path)], check=True)
            compare(title, path)
    return None


def compare(title: str, path: Path) -> None:
    """Medians of a few rounds in turns."""
    found: dict[str, list[list[float]]] = {name: [] for name in READERS}
    for _ in range(ROUNDS):
        for name in READERS:
            command = [sys.executable, "-m", "benchmarks.films", "--read", name, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append([float(value) for value in done.stdout.split()])
    for name, rounds in found.items():
        cpu, grown, peak = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {title} | {name} | {cpu:.2f} | {grown:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
