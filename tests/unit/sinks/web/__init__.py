"""Tests of fer_edge/sinks/web."""
