"""Tests of fer_edge/sinks/mqtt."""
