"""What a daemon stands on: threads and queues, clocks, files that survive a power cut, systemd."""
