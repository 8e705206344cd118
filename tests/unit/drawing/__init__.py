"""Tests of fer_edge/drawing."""
