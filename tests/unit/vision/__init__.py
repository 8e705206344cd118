"""Tests of fer_edge/vision."""
