"""Tests of fer_edge/settings."""
