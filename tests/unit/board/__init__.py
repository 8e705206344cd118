"""Tests of fer_edge/board."""
