"""Passwords and TLS against a real mosquitto on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from fer_edge.config import Mqtt
from fer_edge.errors import ConfigError
from fer_edge.runtime.secret import secret
from fer_edge.sinks.mqtt.broker import Broker, broker_of, in_words
from fer_edge.testing.brokers import Certificates, Mosquitto, Recorder, wait_for
from tests.support.face_events import events
from tests.support.sink_helpers import first_seen, logged, quick_retries, running

# a socket whose TLS handshake fails is left to the garbage collector
PAHO_LEAVES_SOCKETS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_the_right_password_from_a_file_is_accepted(tmp_path: Path, version: str) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    user = ("kitchen", "correct horse")
    with Mosquitto.with_password(tmp_path / "broker", *user) as broker, Recorder(broker.port, user=user) as seen:
        with running(broker.port, username="kitchen", password_file=str(tmp_path / "secret"), version=version) as sink:
            sink.submit(events(1, 1))
            seen.wait("event")
        assert not any(b"correct horse" in message.payload for message in seen.messages)


def test_the_password_may_come_from_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mqtt-password").write_text("correct horse")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    user = ("kitchen", "correct horse")
    with (
        Mosquitto.with_password(tmp_path / "broker", *user) as broker,
        Recorder(broker.port, user=user) as seen,
        running(broker.port, username="kitchen"),
    ):
        seen.wait("availability")


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_wrong_password_is_said_once_and_tried_again(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "wrong-one")
    quick_retries(monkeypatch)
    with (
        Mosquitto.with_password(tmp_path / "broker", "kitchen", "correct horse") as broker,
        running(broker.port, username="kitchen", version=version) as sink,
    ):
        wait_for(lambda: broker.log.read_text().count("not authorised") >= 3, "three attempts")
        sink.submit(events(1, 2))
    assert logged(caplog, "check user name and password") == 1
    assert logged(caplog, "2 events could not be delivered") == 1
    assert [record.levelname for record in caplog.records if "refused the connection" in record.getMessage()] == [
        "ERROR"
    ]
    assert "wrong-one" not in caplog.text


def test_an_unreadable_password_file_stops_the_start(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="mqtt-password"),
        running(1883, username="me", password_file=str(tmp_path / "no")),
    ):
        pass


def test_tls_with_an_own_ca(tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path / "right")
    with (
        Mosquitto.with_tls(tmp_path / "broker", certificates) as broker,
        Recorder(broker.port, ca=certificates.ca) as seen,
    ):
        with running(broker.port, tls=True, ca_file=str(certificates.ca)) as sink:
            sink.submit(events(1, 60))
            assert first_seen(seen.wait("event", 60)) == list(range(1, 61))
        seen.wait_last("kitchen/availability", b"offline")


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path / "all")
    files: dict[str, Any] = {
        "ca_file": str(certificates.ca),
        "cert_file": str(certificates.cert),
        "key_file": str(certificates.key),
    }
    with (
        Mosquitto.with_tls(tmp_path / "broker", certificates, client_certificates=True) as broker,
        running(broker.port, tls=True, **files) as sink,
    ):
        sink.submit(events(1, 1))
        wait_for(lambda: "fer-edge/kitchen/event" in broker.log.read_text(), "the event at the broker")


@PAHO_LEAVES_SOCKETS
@pytest.mark.parametrize(
    ("served", "trusted"), [("right", "wrong"), ("other-host", "other-host")], ids=["wrong CA", "wrong host name"]
)
def test_a_certificate_that_is_not_trusted_is_said(
    tmp_path: Path, served: str, trusted: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in {served, trusted}:
        Certificates.make(tmp_path / name, name="elsewhere.lan" if name == "other-host" else "127.0.0.1")
    folder = tmp_path / served
    certificates = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    with (
        Mosquitto.with_tls(tmp_path / "broker", certificates) as broker,
        running(broker.port, tls=True, ca_file=str(tmp_path / trusted / "ca.pem")),
    ):
        wait_for(lambda: logged(caplog, "certificate is not trusted"), "the error in the log")
    assert logged(caplog, "check ca_file") == 1


@PAHO_LEAVES_SOCKETS
@pytest.mark.parametrize(("speaks_tls", "text"), [(True, "check port, tls"), (False, "check that the port speaks TLS")])
def test_tls_on_one_side_only_is_said(
    tmp_path: Path, speaks_tls: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates.make(tmp_path / "right")
    server = Mosquitto.with_tls(tmp_path / "b", certificates) if speaks_tls else Mosquitto(tmp_path / "b")
    with server as broker, running(broker.port, tls=not speaks_tls):
        wait_for(lambda: logged(caplog, text), "the error in the log")


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_certificate_file_that_cannot_be_used_stops_the_start(tmp_path: Path, key: str) -> None:
    certificates = Certificates.make(tmp_path / "right")
    files: dict[str, Any] = {
        "ca_file": str(certificates.ca),
        "cert_file": str(certificates.cert),
        "key_file": str(certificates.key),
    }
    for broken in ("missing.pem", "garbage.pem"):
        (tmp_path / "garbage.pem").write_text("no certificate")
        with pytest.raises(ConfigError, match=key), running(1883, tls=True, **{**files, key: str(tmp_path / broken)}):
            pass


def test_a_client_certificate_that_is_missing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = Certificates.make(tmp_path / "all")
    with (
        Mosquitto.with_tls(tmp_path / "broker", certificates, client_certificates=True) as broker,
        running(broker.port, tls=True, ca_file=str(certificates.ca), version="3.1.1"),
    ):
        # in TLS 1.3 it says so after the handshake, and its closing the connection may overtake that
        wait_for(lambda: logged(caplog, "wants a client certificate"), "a word in the log")
        assert logged(caplog, "set mqtt.cert_file and mqtt.key_file")


@pytest.mark.parametrize("code", [9, 10])
def test_a_certificate_of_another_time_names_the_clock(code: int) -> None:
    """A board without a clock chip starts in the past."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "certificate has expired"
    words = str(in_words(error, Broker(host="far", port=8883)))
    assert "by this machine's clock" in words
    assert "ca_file" not in words


@pytest.mark.parametrize("written", ["[::1]", " ::1 ", "::1"])
def test_an_address_may_be_written_as_in_a_url(written: str) -> None:
    assert broker_of(Mqtt(broker=written)).host == "::1"


@pytest.mark.parametrize(("content", "password"), [(b"\xef\xbb\xbfsalt\r\n", "salt"), (b"salt", "salt"), (b"\n", None)])
def test_a_password_file_may_have_a_mark_but_must_not_be_empty(
    tmp_path: Path, content: bytes, password: str | None
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    if password is None:
        with pytest.raises(ConfigError, match="is empty; expected one line"):
            secret("mqtt-password", str(file))
    else:
        assert secret("mqtt-password", str(file)) == password
