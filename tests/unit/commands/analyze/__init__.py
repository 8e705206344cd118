"""Tests of fer_edge/commands/analyze."""
