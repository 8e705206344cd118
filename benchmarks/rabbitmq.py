"""A three-node RabbitMQ cluster on loopback for benchmarks/fleet.py, and the balancer in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).parent.parent / "examples" / "fleet" / "rabbitmq.conf"
NODES = 3
BOOT_SECONDS = 120.0
SPAWN = multiprocessing.get_context("spawn")
LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"


def free_ports(number: int) -> list[int]:
    """Different ports of loopback that nobody uses."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(number)]
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in socks]


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, at most so long. Whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds


@contextlib.contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[SpawnProcess]:
    """A process beside this one, ended by its own pid."""
    child = SPAWN.Process(target=target, args=arguments, daemon=True)
    child.start()
    try:
        yield child
    finally:
        child.terminate()
        child.join()


def program(name: str) -> str:
    """RabbitMQ's own script: what packages put into the PATH would change the user and the folders."""
    found = shutil.which(name, path="/usr/lib/rabbitmq/bin") or shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed (apt-get install rabbitmq-server), or give a --broker")
    return found


class Cluster:
    """`with Cluster(folder) as cluster:` has three nodes that know each other. `ports` are those for MQTT; at
    `balancer_port` nobody listens: it is for `balance`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.balancer_port, self._epmd_port, *ports = free_ports(2 + 2 * NODES)
        self.ports, self._dist_ports = ports[:NODES], ports[NODES:]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        server = program("rabbitmq-server")
        cookie = self._folder / ".erlang.cookie"  # written first: the nodes would race for it
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text(SETTINGS.with_name("enabled_plugins").read_text())
        epmd = [shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        self._server, self._epmd = server, subprocess.Popen(epmd, start_new_session=True)
        try:
            for number in range(NODES):
                self.start(number)
            if not wait_for(self._complete, BOOT_SECONDS):
                raise SystemExit(f"the cluster did not come up; its logs said last:\n{self._last_words()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._running):
            self.kill(number)
        self._epmd.terminate()
        self._epmd.wait()

    def start(self, number: int) -> None:
        """Start a node, without waiting for it."""
        home = self._folder / f"fer{number + 1}"
        home.mkdir(exist_ok=True)
        (home / "rabbitmq.conf").write_text("\n".join([SETTINGS.read_text(), *self._own_lines(number)]) + "\n")
        with (home / "output").open("ab") as output:
            self._running[number] = subprocess.Popen(
                [self._server],
                env=self._environment(number, home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us
            )

    def kill(self, number: int) -> None:
        """SIGKILL, by its own pid: no goodbye to anybody."""
        node = self._running.pop(number)
        node.kill()
        node.wait()

    def _own_lines(self, number: int) -> Iterator[str]:
        """What differs from the example; the last line of a key counts."""
        yield f"mqtt.listeners.tcp.private = 127.0.0.1:{self.ports[number]}"
        yield "mqtt.allow_anonymous = true"
        for other in range(1, NODES + 1):
            yield f"cluster_formation.classic_config.nodes.{other} = fer{other}@localhost"

    def _environment(self, number: int, home: Path) -> dict[str, str]:
        own = {
            "HOME": self._folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self._epmd_port,
            "RABBITMQ_NODENAME": f"fer{number + 1}@localhost",
            "RABBITMQ_DIST_PORT": self._dist_ports[number],
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": LOOPBACK,
            "RABBITMQ_CONFIG_FILE": home / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": home / "none.config",  # not this machine's own
            "RABBITMQ_CONF_ENV_FILE": home / "none.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self._folder / "enabled_plugins",
            "RABBITMQ_MNESIA_BASE": home,
            "RABBITMQ_LOG_BASE": home,
            "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the node: its pid is the one to kill
        }
        return {**os.environ, **{name: str(value) for name, value in own.items()}}

    def _complete(self) -> bool:
        """Whether all nodes serve MQTT and know each other; a node says in its log when another one is up."""
        if any(node.poll() is not None for node in self._running.values()):
            raise SystemExit(f"a node ended; its logs said last:\n{self._last_words()}")
        if not all(accepts(port) for port in self.ports):
            return False
        words = [log.read_text(errors="replace") for log in self._folder.glob("fer*/fer*@localhost.log")]
        return sum(word.count("rabbit on node") for word in words) >= NODES - 1

    def _last_words(self) -> str:
        return "\n".join(file.read_text(errors="replace")[-1500:] for file in self._folder.glob("fer*/output"))


def balance(port: int, nodes: Sequence[int]) -> None:
    """A process that passes connections on to the nodes, each in its turn; one that refuses is skipped."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent sees to the end
    asyncio.run(_balance(port, nodes))


async def _balance(port: int, nodes: Sequence[int]) -> None:
    turns = count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = next(turns)
        for step in range(len(nodes)):
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", nodes[(turn + step) % len(nodes)])
                await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, until either end closes."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
