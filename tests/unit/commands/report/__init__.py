"""Tests of fer_edge/commands/report."""
