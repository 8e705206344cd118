"""fer-edge: per-face expression events from a Raspberry Pi camera over MQTT."""

__version__ = "0.1.0"
