"""The MQTT sink: connection, outbox, retained topics, requests and Home Assistant discovery."""
