"""A real mosquitto on a free loopback port, ended by its own pid; and what tests need around it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = float(os.environ.get("FER_EDGE_TEST_PATIENCE", "1"))
"""How many times as long anything may take on this machine: an emulated one is slow."""

SECONDS = 30.0 * PATIENCE
"""How long anything may take before a test fails."""


def wait_for(condition: Callable[[], object], what: str, *, seconds: float = SECONDS) -> None:
    """Return as soon as the condition holds; fail with `what` when it does not within the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)


def program(name: str) -> str:
    """The path of a program, or skip."""
    path = shutil.which(
        name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin"
    ) or shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt-get install mosquitto openssl)")
    return path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Mosquitto:
    """`with Mosquitto(folder) as broker:`; `kill` and `start` use the same port and the same store."""

    def __init__(self, folder: Path, *lines: str, anonymous: bool = True, persistent: bool = False) -> None:
        self.program = program("mosquitto")
        self.port = free_port()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.log = folder / "mosquitto.log"
        store = [
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
        ]
        self.settings = folder / "mosquitto.conf"
        self.settings.write_text(
            "\n".join(
                [
                    "user root",  # ignored where the tests run as somebody else
                    f"listener {self.port} 127.0.0.1",
                    f"allow_anonymous {'true' if anonymous else 'false'}",
                    *(store if persistent else ["persistence false"]),
                    *lines,
                ]
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def with_password(cls, folder: Path, user: str, password: str, *lines: str) -> Mosquitto:
        folder.mkdir(exist_ok=True)
        file = folder / "passwords"
        subprocess.run(
            [program("mosquitto_passwd"), "-b", "-c", str(file), user, password], check=True, capture_output=True
        )
        return cls(folder, f"password_file {file}", *lines, anonymous=False)

    @classmethod
    def with_tls(cls, folder: Path, certificates: Certificates, *, client_certificates: bool = False) -> Mosquitto:
        lines = [
            f"cafile {certificates.ca}",
            f"certfile {certificates.cert}",
            f"keyfile {certificates.key}",
            f"require_certificate {'true' if client_certificates else 'false'}",
        ]
        return cls(folder, *lines)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, "-v", "-c", str(self.settings)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        wait_for(lambda: accepts(self.port) or self._process.poll() is not None, "mosquitto listens")  # type: ignore[union-attr]
        assert self._process.poll() is None, self.log.read_text()

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass(frozen=True)
class Certificates:
    """A certificate for 127.0.0.1 with its key, and the CA that signed it."""

    ca: Path
    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, *, name: str = "127.0.0.1") -> Certificates:
        openssl = program("openssl")
        folder.mkdir(parents=True, exist_ok=True)
        ca, ca_key, cert, key = (folder / file for file in ("ca.pem", "ca.key", "cert.pem", "key.pem"))
        new = [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]
        authority = ["-subj", "/CN=fer-edge test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        subject = "IP" if name[0].isdigit() else "DNS"
        leaf = [
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName={subject}:{name}",
            "-addext",
            "basicConstraints=CA:FALSE",
        ]
        for command in (
            [*new, *authority, "-keyout", str(ca_key), "-out", str(ca)],
            [*new, *leaf, "-CA", str(ca), "-CAkey", str(ca_key), "-keyout", str(key), "-out", str(cert)],
        ):
            subprocess.run(command, check=True, capture_output=True)
        return cls(ca, cert, key)


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    retain: bool
    qos: int
    dup: bool = False  # sent once more: the broker does not know that it has come


class Recorder:
    """An independent client that notes all that is published; `with Recorder(port) as seen:`."""

    def __init__(
        self,
        port: int,
        *,
        topic: str = "fer-edge/#",
        session: str = "",
        user: tuple[str, str] | None = None,
        ca: Path | None = None,
    ) -> None:
        """`session`: a name under which the broker keeps messages while this client is away."""
        self.messages: list[Message] = []
        self._subscribed = threading.Event()
        self._topic, self._port = topic, port
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=session, clean_session=not session, reconnect_on_failure=True
        )
        if user:
            self._client.username_pw_set(*user)
        if ca:
            self._client.tls_set(str(ca))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            Message(message.topic, bytes(message.payload), message.retain, message.qos, message.dup)
        )

    def __enter__(self) -> Recorder:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(SECONDS), "the recorder could not subscribe"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, qos: int = 1) -> None:
        """Publish; with QoS 1, wait for the acknowledgement. QoS 0: for brokers that support no other."""
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(SECONDS)

    def of(self, ending: str) -> list[bytes]:
        """The payloads of the topics that end so, in the order of their arrival."""
        return [message.payload for message in list(self.messages) if message.topic.endswith("/" + ending)]

    def wait(self, ending: str, count: int = 1) -> list[bytes]:
        """Wait until `count` messages came on such topics."""
        wait_for(lambda: len(self.of(ending)) >= count, f"{count} messages on {ending}")
        return self.of(ending)

    def wait_last(self, ending: str, payload: bytes) -> None:
        """Wait until the last message on such topics is this one."""
        wait_for(lambda: self.of(ending)[-1:] == [payload], f"{ending} = {payload!r}")
