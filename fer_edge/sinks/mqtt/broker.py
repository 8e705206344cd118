"""Where a broker is, how to speak to it, and why it could not be reached, in words."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from paho.mqtt.client import WebsocketConnectionError

from fer_edge.config import Mqtt
from fer_edge.errors import ConfigError
from fer_edge.runtime.clock import clock_synced
from fer_edge.runtime.secret import secret

Version = Literal["auto", "3.1.1", "5"]
"""Of MQTT. auto: 5 where the broker speaks it, else 3.1.1."""

NO_BROKER = "is it an MQTT broker? check port, tls and MQTT version"


class LinkError(Exception):
    """There is no connection, or no longer.

    `refused`: the broker answers but refuses us, which lasts until the configuration changes. `version`: it may not
    speak this version of MQTT. `hung_up`: it ended an established connection, perhaps because of a message.
    `oversized`: it sent more than we accept.
    """

    def __init__(
        self, why: str, *, refused: bool = False, version: bool = False, hung_up: bool = False, oversized: bool = False
    ) -> None:
        super().__init__(why)
        self.refused, self.version, self.hung_up, self.oversized = refused, version, hung_up, oversized


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a broker is and how to speak to it."""

    host: str
    port: int
    version: Version = "auto"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None  # None: no TLS
    websocket: str | None = None  # path of the websocket on which MQTT is spoken; None: plain MQTT
    keepalive_seconds: int = 30
    session_seconds: int = 0  # how long an MQTT 5 broker keeps messages for us while disconnected

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def broker_of(config: Mqtt) -> Broker:
    """The broker that config names, with its secrets and certificates read.

    Raises:
        ConfigError: the password file or a certificate cannot be used.

    """
    files = {"ca_file": config.ca_file, "cert_file": config.cert_file, "key_file": config.key_file}
    return Broker(
        host=config.broker.strip().removeprefix("[").removesuffix("]"),  # as in a URL: [::1]
        port=config.port,
        version=config.version,
        username=config.username,
        password=secret("mqtt-password", config.password_file) if config.username else None,
        tls=tls_context(**files) if config.tls else None,
        websocket=config.websocket_path if config.websockets else None,
        keepalive_seconds=config.keepalive_seconds,
    )


def tls_context(*, ca_file: str | None, cert_file: str | None = None, key_file: str | None = None) -> ssl.SSLContext:
    """TLS that trusts the system's CAs or, instead, those of `ca_file`, and may show a client certificate.

    Raises:
        ConfigError: a file cannot be used.

    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one too
        raise ConfigError(f"{ca_file}: cannot read CA certificates (ca_file): {_file_problem(error)}") from None
    if ca_file:
        # Python 3.13 refuses CAs without a key usage extension, as most guides to a home broker make them
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert_file and key_file:
        for name, path in (("cert_file", cert_file), ("key_file", key_file)):
            if not os.path.isfile(path):
                what = f"{path}: no file that this user can reach ({name})"
                raise ConfigError(f"{what}; expected a client certificate and its key in PEM")
        try:
            context.load_cert_chain(cert_file, key_file, password="")  # "": fail, never ask on a terminal
        except OSError as error:
            what = f"cannot use client certificate and key {key_file}"
            raise ConfigError(f"{cert_file}: {what} (cert_file, key_file): {_file_problem(error)}") from None
    return context


def _file_problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"expected PEM, got something else, or an encrypted or foreign key ({error.reason or 'unreadable'})"
    return f"{error.strerror}; check path and permissions"


def in_words(error: Exception, broker: Broker) -> LinkError:
    """Why a connection could not be opened, and what to do about it."""
    match error:
        case ssl.SSLCertVerificationError():
            return LinkError(
                f"TLS: the broker's certificate is not trusted: {error.verify_message}; {_certificate_advice(error)}",
                refused=True,
            )
        case ssl.SSLError():
            advice = "expected TLS there; check the port (usually 8883), and the client certificate if it wants one"
            return LinkError(f"TLS handshake failed ({error.reason or 'closed by the broker'}); {advice}", refused=True)
        case ConnectionResetError() if broker.tls:
            return LinkError(
                "it closed the connection during the TLS handshake; check that the port speaks TLS (usually 8883)"
            )
        case WebsocketConnectionError():
            advice = "check port and websocket_path; set websockets: false for plain MQTT"
            return LinkError(f"it answers no websocket handshake; {advice}", refused=True)
        case socket.gaierror():
            return LinkError(f"host name {broker.host!r} not found")
        case UnicodeError():  # from the encoding of host names, in its own words
            return LinkError(f"not a usable address: between dots, {broker.host!r} has nothing or over 63 characters")
        case ConnectionRefusedError():
            return LinkError("connection refused: no broker listens there")
        case TimeoutError():
            return LinkError("no answer")
        case OSError():
            return LinkError(error.strerror or str(error))
        case _:
            return LinkError(f"not a usable address: {error}")


EXPIRED, NOT_YET_VALID = 10, 9  # X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID


def _certificate_advice(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code not in (EXPIRED, NOT_YET_VALID):
        return "check ca_file, and that the certificate names this host"
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    synced = "" if clock_synced() else ", which is not synchronised"
    return f"it is {now} by this machine's clock{synced}: set the clock right, or renew the broker's certificate"
