"""Tests of fer_edge/camera."""
