"""Tests of fer_edge/sinks/hdmi."""
