"""Tests of fer_edge/contract."""
