"""Tests of fer_edge/tracking."""
