"""Other programs' names of the settings: a message gives the name here, and what to write.

Only for messages about unknown keys and values: nothing is taken for something else.
"""

from __future__ import annotations

from collections.abc import Container

BROKER = "broker, the host alone, and port beside it"
IN_A_FILE = "a file that holds it alone, so that config.yaml can be shown to others"
PASSWORD = f"password_file: {IN_A_FILE}"
RESOLUTION = "width and height, in px"

SECTIONS = {
    "alarm": "alerts",
    "alarms": "alerts",
    "broker": "mqtt (broker is a key in it)",
    "cam": "camera",
    "dashboard": "web",
    "detect": "detector",
    "detection": "detector",
    "display": "hdmi",
    "emotion": "events",
    "emotions": "events",
    "face": "detector",
    "faces": "detector",
    "ha": "homeassistant",
    "hass": "homeassistant",
    "home_assistant": "homeassistant",
    "http": "web",
    "logger": "log",
    "logging": "log",
    "model": "models",
    "notifications": "alerts",
    "regions": "zones",
    "recording": "history (figures) or pictures (pictures at events)",
    "server": "web",
    "snapshots": "pictures",
    "track": "tracking",
    "ui": "web",
    "video": "camera",
}
"""Section, by what others call it."""

KEYS: dict[str, dict[str, str]] = {
    "alerts": {
        "cooldown": "cooldown_seconds",
        "confidence": "min_confidence",
        "duration": "for_seconds",
        "emotions": "expressions",
        "expression": "expressions, a list",
        "for": "for_seconds",
        "hours": "active_hours",
        "labels": "expressions",
        "schedule": "active_hours",
        "threshold": "min_confidence",
    },
    "camera": {
        "device": "source",
        "driver": "backend",
        "flip": "hflip or vflip",
        "frame_rate": "fps",
        "framerate": "fps",
        "index": "source",
        "input": "source",
        "mirror": "hflip",
        "password": PASSWORD,
        "path": "source",
        "resolution": RESOLUTION,
        "rotate": "rotation: 0, 90, 180 or 270, clockwise",
        "shutter": "exposure_us",
        "size": RESOLUTION,
        "timeout": "timeout_seconds",
        "type": "backend",
        "url": "source",
    },
    "detector": {
        "confidence": "min_score",
        "crop": "region",
        "interval": "every_seconds",
        "min_confidence": "min_score",
        "min_size": "min_face_px",
        "model": "detector in section models",
        "resolution": "input_size",
        "roi": "region",
        "score": "min_score",
        "threshold": "min_score",
    },
    "device": {"device_id": "id", "hostname": "id", "name": "id (for people: name in section homeassistant)"},
    "events": {
        "confidence": "enter",
        "debounce": "dwell_seconds",
        "delay": "dwell_seconds",
        "heartbeat": "heartbeat_seconds",
        "hysteresis": "leave",
        "min_confidence": "enter",
        "threshold": "enter",
    },
    "hdmi": {"fps": "max_fps", "output": "connector", "resolution": "mode, as in 1280x720"},
    "history": {"days": "keep_days", "retain": "keep_days", "retention": "keep_days", "retention_days": "keep_days"},
    "homeassistant": {"discovery": "enabled", "discovery_prefix": "prefix", "discovery_topic": "prefix"},
    "jsonl": {"file": "path", "filename": "path", "max_size": "max_bytes", "rotate": "backups"},
    "log": {"debug": "level: debug", "verbosity": "level"},
    "models": {
        "delegates": "delegate",
        "dir": "folder",
        "emotion": "expression",
        "num_threads": "threads",
        "path": "folder",
    },
    "mqtt": {
        "address": BROKER,
        "base_topic": "topic",
        "ca": "ca_file",
        "ca_cert": "ca_file",
        "ca_certs": "ca_file",
        "cert": "cert_file",
        "certfile": "cert_file",
        "client_id": "id in section device: the client's name is made of it",
        "discovery": "enabled in section homeassistant",
        "host": BROKER,
        "hostname": BROKER,
        "keepalive": "keepalive_seconds",
        "key": "key_file",
        "keyfile": "key_file",
        "login": "username",
        "pass": PASSWORD,
        "passwd": PASSWORD,
        "password": PASSWORD,
        "prefix": "topic",
        "protocol": "version",
        "qos": "no key: events have QoS 1, see docs/mqtt.md",
        "retain": "no key: docs/mqtt.md says what is retained",
        "root_topic": "topic",
        "server": BROKER,
        "ssl": "tls",
        "topic_prefix": "topic",
        "uri": BROKER,
        "url": BROKER,
        "user": "username",
    },
    "pictures": {"keep_days": "keep_hours", "retention": "keep_hours"},
    "privacy": {"blur": "blur_others in section pictures", "snapshots": "images"},
    "quality": {
        "blur": "max_blur",
        "brightness": "min_brightness or max_brightness",
        "min_size": "min_height_px",
        "yaw": "max_yaw_deg",
    },
    "tracking": {
        "max_age": "keep_seconds",
        "min_hits": "confirm_seconds",
        "smoothing": "smoothing_seconds",
        "timeout": "keep_seconds",
    },
    "web": {
        "address": "host",
        "bind": "host",
        "fps": "max_fps",
        "listen": "host and port",
        "password": f"token_file: {IN_A_FILE}",
        "token": f"token_file: {IN_A_FILE}",
        "width": "max_width",
    },
    "zones": {"coordinates": "points", "polygon": "points"},
}
"""Section -> key, by what others call it."""

VALUES = {
    "afraid": "fear",
    "angry": "anger",
    "calm": "neutral",
    "contemptuous": "contempt",
    "csi": "picamera2",
    "disgusted": "disgust",
    "fearful": "fear",
    "file": "replay",
    "happy": "happiness",
    "http": "stream",
    "joy": "happiness",
    "libcamera": "picamera2",
    "litert": "ai-edge-litert",
    "mad": "anger",
    "none": "neutral",
    "picam": "picamera2",
    "picamera": "picamera2",
    "rpicam": "picamera2",
    "rtsp": "stream",
    "sad": "sadness",
    "scared": "fear",
    "smile": "happiness",
    "surprised": "surprise",
    "tflite": "tflite-runtime",
    "usb": "v4l2",
    "video": "stream",
    "warn": "warning",
    "webcam": "v4l2",
}
"""Values of a choice, by what others call them."""


def key_hint(section: str, key: str) -> str | None:
    """What an unknown key is called here; `section`: empty for a section."""
    name = key.lower().replace("-", "_")
    return KEYS.get(section, {}).get(name) if section else SECTIONS.get(name)


def value_hint(given: object, known: Container[object]) -> str | None:
    """Which of the known values is meant."""
    name = given.strip().lower() if isinstance(given, str) else ""
    meant = name if name in known else VALUES.get(name)
    return meant if meant in known and meant != given else None
