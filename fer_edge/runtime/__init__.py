"""A daemon's foundations: threads and queues, clocks, files that survive a power cut, systemd."""
