"""Tests of fer_edge/runtime."""
