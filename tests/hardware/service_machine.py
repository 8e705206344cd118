"""A booted Debian with fer-edge installed as a service, a broker, and a network camera whose mood a test sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.hardware.containers import Container
from tests.hardware.installing import build_deb
from tests.hardware.roots import REPOSITORY, SERVICE, Root, build

HERE = Path(__file__).parent
TRIXIE = Root(suite="trixie", packages=SERVICE)
ALLOWED = (
    *("--system-call-filter=@clock bpf", "--capability=CAP_BPF"),  # else it is the container that refuses them
)
PYTHON = "env PYTHONPATH=/usr/lib/fer-edge/python3.13:/usr/lib/fer-edge/python3 python3"  # as the daemon runs in
DROP_INS = "/etc/systemd/system/fer-edge.service.d"
RECEIVED = "/var/received"
STATE = "/var/lib/fer-edge"
DEVICE = "pi"
CONFIG: dict[str, dict[str, Any]] = {
    "device": {"id": DEVICE},
    "camera": {"backend": "stream", "source": "http://127.0.0.1:8080/"},
    "mqtt": {"broker": "broker.test"},
}
"""As much as a user has to say. JSON is YAML, so that is how it is written down."""

Mood = Literal["send", "stall", "refuse"]
WARNING, ERROR = 4, 3  # priorities of the journal


@dataclass(frozen=True, slots=True)
class Line:
    """One of the journal's."""

    priority: int
    program: str
    text: str


class Machine:
    """The service in a container, put back to its beginning before each test."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.run, self.shell, self.wait_for = container.run, container.shell, container.wait_for
        self._cursor = ""

    def reset(self) -> None:
        """As after the installation and a first configuration: stopped, no state, an empty broker, a camera that
        sends."""
        self.shell(
            f"""
            systemctl stop fer-edge mosquitto
            rm -rf {DROP_INS} {STATE} /etc/credstore /etc/mosquitto/conf.d/* /var/lib/mosquitto/*
            systemctl daemon-reload
            systemctl reset-failed  # start limits too
            systemctl start mosquitto
            """
        )
        self.mood("send")
        self.configure()
        self._cursor = self.run("journalctl", "--lines=0", "--show-cursor").rpartition("cursor: ")[2]

    def mood(self, mood: Mood) -> None:
        """What the camera does from now on."""
        self.shell(f"echo {mood} > /var/camera")

    def configure(self, **changes: dict[str, Any]) -> None:
        """Write config.yaml: CONFIG with these sections changed."""
        sections = {name: CONFIG.get(name, {}) | changes.get(name, {}) for name in CONFIG | changes}
        self.write("/etc/fer-edge/config.yaml", json.dumps(sections))

    def drop_in(self, *lines: str, name: str = "test") -> None:
        """Change the unit as an administrator does."""
        self.write(f"{DROP_INS}/{name}.conf", "\n".join(["[Service]", *lines, ""]))
        self.run("systemctl", "daemon-reload")

    def write(self, path: str, text: str) -> None:
        """Write a file inside."""
        self.run("sh", "-euc", 'mkdir -p "$(dirname "$1")"; printf %s "$2" > "$1"', "sh", path, text)

    def start(self) -> None:
        """Start the service and wait until it says that it is ready. Fails where it does not."""
        self.run("systemctl", "start", "fer-edge")

    def begin(self) -> int:
        """Start, and wait for a face; the daemon's process."""
        self.start()
        self.wait_for_event("start")
        return self.pid()

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "fer-edge", f"--property={name}", "--value")

    def pid(self) -> int:
        """The daemon's process, as the container numbers it; 0: none."""
        return int(self.show("MainPID"))

    def journal(self, *, priority: int = 7) -> list[Line]:
        """What the service and systemd said of it since `reset`, of this priority or more urgent."""
        command = ("journalctl", "--unit=fer-edge", f"--after-cursor={self._cursor}", f"--priority={priority}")
        entries = [json.loads(line) for line in self.run(*command, "--output=json", "--quiet").splitlines()]
        return [Line(int(each["PRIORITY"]), each["SYSLOG_IDENTIFIER"], str(each["MESSAGE"])) for each in entries]

    def logged(self, text: str, *, priority: int = 7) -> bool:
        """Whether some line holds this text."""
        return any(text in line.text for line in self.journal(priority=priority))

    @contextmanager
    def listening(self, *options: str) -> Iterator[None]:
        """Record what the broker passes on, through its restarts too. `options`: more for mosquitto_sub."""
        client = ("mosquitto_sub", "--host", "127.0.0.1", "--qos", "1", "-F", "%j", *options)
        session = ("--id", "recorder", "--disable-clean-session")  # the broker keeps what it misses
        unit = ("systemd-run", "--quiet", "--unit=recorder", f"--property=StandardOutput=append:{RECEIVED}")
        self.write(RECEIVED, "")
        self.run(*unit, *client, *session, "--topic", "fer-edge/#", "--topic", "ready")
        try:
            self.wait_for("the recorder", lambda: self._publish_ready(*options))
            yield
        finally:
            self.run("systemctl", "stop", "recorder")

    def messages(self, ending: str) -> list[str]:
        """The payloads on fer-edge/pi/ENDING, in the order of their arrival."""
        lines = [json.loads(line) for line in self.run("cat", RECEIVED).splitlines()]
        return [str(each["payload"]) for each in lines if each["topic"] == f"fer-edge/{DEVICE}/{ending}"]

    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [json.loads(payload) for payload in self.messages("event")]

    def wait_for_event(self, kind: str, *, count: int = 1) -> dict[str, Any]:
        """Wait for so many events of this kind; returns the last one."""
        self.wait_for(f"{count} events {kind}", lambda: len(self._of(kind)) >= count)
        return self._of(kind)[count - 1]

    def wait_last(self, ending: str, payload: str, *, seconds: float = 30.0) -> float:
        """Wait until this is the last message there; returns for how many seconds."""
        return self.wait_for(f"{ending} = {payload}", lambda: self.messages(ending)[-1:] == [payload], seconds=seconds)

    def setting(self, key: str) -> Any:
        """The value in force, as the broker was told last."""
        return json.loads(self.messages(f"config/{key}")[-1])["value"]

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event_type"] == kind]

    def _publish_ready(self, *options: str) -> bool:
        command = ("mosquitto_pub", "--host", "127.0.0.1", "--topic", "ready", "--message", "", *options)
        self.run(*command, check=False)
        return self.run("cat", RECEIVED) != ""


def package(folder: Path) -> Path:
    """fer-edge's Debian package, built from the working tree."""
    return build_deb(folder, "amd64")


@contextmanager
def machine(deb: Path) -> Iterator[Machine]:
    """Boot one, install the package, start the camera."""
    pictures = REPOSITORY / "fer_edge/camera/pictures"
    binds = [f"{HERE}:/mnt/tests", f"{pictures}:/mnt/pictures", f"{deb.parent}:/deb"]
    with Container(build(TRIXIE), binds=binds, options=ALLOWED) as container:
        container.shell(
            f"""
            cp -a /mnt/. /  # mounts do not outlast a soft reboot
            echo 127.0.0.1 broker.test >> /etc/hosts
            echo send > /var/camera
            printf '%s\n' '[Service]' \
                'ExecStart=/usr/bin/python3 /tests/camera_server.py /pictures/astronaut.jpg /var/camera' \
                '[Install]' 'WantedBy=multi-user.target' > /etc/systemd/system/camera.service
            systemctl enable --quiet --now camera
            dpkg --install /deb/{deb.name}
            """
        )
        yield Machine(container)
