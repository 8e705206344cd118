"""What leaves the machine: the payloads of MQTT contract version 1, and the topics they go to."""
