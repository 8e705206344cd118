"""Reading config.yaml, checking it, and changing it while the daemon runs."""
