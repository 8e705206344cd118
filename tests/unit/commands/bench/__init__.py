"""Tests of fer_edge/commands/bench."""
