"""Events from the broker into PostgreSQL: none lost, none twice.

    pip install paho-mqtt "psycopg[binary]"
    DATABASE=postgresql:///fer_edge python consumer.py --broker 127.0.0.1 --port 8883 --name store-1

An event is acknowledged only after the commit that holds it. Until then the broker has it: whatever dies in between,
it comes again, and the primary key (boot_id, seq) keeps the second copy out. Two consumers with names of their own
share the work where the broker knows shared subscriptions (--share); where it does not (RabbitMQ), both get all.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from typing import Any

import psycopg  # type: ignore[import-not-found, unused-ignore]  # not among what fer-edge itself needs
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

log = logging.getLogger("consumer")

BATCH = 500  # events to a commit, at most; what came is committed earlier when the network pauses
PAUSE_SECONDS = 0.05
RETRY_SECONDS = 2.0
SESSION_SECONDS = 7 * 86400  # the broker keeps events for so long while nobody consumes
PLAIN = ["boot_id", "seq", "v", "event_id", "event_type", "device_id", "track_id", "ts", "mono_ns", "clock_synced"]
PLAIN += ["replayed", "expression", "confidence", "previous", "dwell_s", "reason", "face_count", "model"]
NESTED = ["probabilities", "box", "landmarks", "pose", "quality", "signals", "zones"]
ONLY_WITH_ZONES = ["zone", "zone_dwell_s"]
COLUMNS = [*PLAIN, *ONLY_WITH_ZONES, *NESTED]
INSERT = (
    f"INSERT INTO face_events ({', '.join(COLUMNS)}) "  # noqa: S608 - made of the names above
    f"VALUES ({', '.join(['%s'] * len(COLUMNS))}) ON CONFLICT (boot_id, seq) DO NOTHING"
)

Row = list[Any]


def row_of(payload: bytes) -> Row | None:
    """An event's values in the order of COLUMNS; None: it is no event, and never will be one."""
    try:
        event = json.loads(payload)
        nested = [json.dumps(event[name]) if name in event else None for name in NESTED]
        in_zones = [event.get(name) for name in ONLY_WITH_ZONES]
        return [*(event[name] for name in PLAIN), *in_zones, *nested]
    except (ValueError, KeyError, TypeError) as error:
        log.error("this is no event (%r): %.200r", error, payload)
        return None


class Database:
    """The table. Its connection is opened when it is needed, and again after a failure."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._connection: Any = None

    def store(self, rows: list[Row]) -> bool:
        """Insert and commit. False: the database is away, try again."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._where, connect_timeout=5)
            self._insert(rows)
        except psycopg.OperationalError as error:
            log.warning("PostgreSQL: %s; trying again", str(error).strip())
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        return True

    def _insert(self, rows: list[Row]) -> None:
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany(INSERT, rows)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(rows) > 1:  # one bad event must not stop the others for ever
                for row in rows:
                    self._insert([row])
            else:
                log.error("PostgreSQL refuses an event (%s): %r", error, rows[0])


class Consumer:
    """Collects events and passes them on in batches."""

    def __init__(self, client: Client, database: Database, topic: str) -> None:
        self._client, self._database, self._topic = client, database, topic
        self._batch: list[tuple[int, Row | None]] = []  # number by which to acknowledge, values
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect

    def run(self) -> None:
        """For ever."""
        while True:
            before = len(self._batch)
            if self._client.loop(PAUSE_SECONDS) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._reconnect()
            elif self._batch and (len(self._batch) >= BATCH or len(self._batch) == before):
                self._flush()

    def _flush(self) -> None:
        """Commit, then acknowledge."""
        rows = [row for _, row in self._batch if row is not None]
        if rows and not self._database.store(rows):
            self._wait(RETRY_SECONDS)
            return
        for number, _ in self._batch:
            self._client.ack(number, 1)
        self._batch.clear()

    def _wait(self, seconds: float) -> None:
        """Keep the connection alive meanwhile. The broker sends no more than it is owed acknowledgements for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._client.loop(PAUSE_SECONDS) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass

    def _reconnect(self) -> None:
        time.sleep(RETRY_SECONDS)
        try:
            self._client.reconnect()
        except OSError as error:
            log.warning("MQTT: %s; trying again", error)

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        log.info("MQTT: %s", reason)
        if not reason.is_failure:
            client.subscribe(self._topic, 1)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.qos:
            self._batch.append((message.mid, row_of(bytes(message.payload))))

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        """What was not acknowledged comes again, with other numbers."""
        log.warning("MQTT: connection lost (%s)", reason)
        self._batch.clear()


def connect(options: argparse.Namespace) -> Client:
    """A client whose session outlasts it, and that acknowledges when told to."""
    newer = options.share is not None
    protocol = MQTTProtocolVersion.MQTTv5 if newer else MQTTProtocolVersion.MQTTv311
    session: dict[str, Any] = {} if newer else {"clean_session": False}
    client = Client(CallbackAPIVersion.VERSION2, client_id=options.name, protocol=protocol, manual_ack=True, **session)
    if options.user:
        client.username_pw_set(options.user, os.environ["MQTT_PASSWORD"])
    if options.ca:
        client.tls_set(options.ca)
    lasting: dict[str, Any] = {}
    if newer:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho forgot it
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = BATCH
        lasting = {"clean_start": False, "properties": properties}
    client.connect_async(options.broker, options.port, keepalive=30, **lasting)  # opened in `Consumer.run`
    return client


def main() -> None:
    """Read the command line and consume until killed: a kill is as good an end as any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--name", required=True, help="client id: unique, and the same at each start")
    parser.add_argument("--share", metavar="GROUP", help="share events with other consumers of this group (MQTT 5)")
    parser.add_argument("--user", help="its password stands in the environment as MQTT_PASSWORD")
    parser.add_argument("--ca", help="file with the CA of the broker's certificate: TLS")
    options = parser.parse_args()
    for name in ("DATABASE", *(["MQTT_PASSWORD"] if options.user else [])):
        if name not in os.environ:
            parser.error(f"expected {name} in the environment")
    if options.ca and not os.path.isfile(options.ca):
        parser.error(f"--ca {options.ca}: no such file")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    topic = f"$share/{options.share}/fer-edge/+/event" if options.share else "fer-edge/+/event"
    Consumer(connect(options), Database(os.environ["DATABASE"]), topic).run()


if __name__ == "__main__":
    main()
