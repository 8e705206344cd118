"""Fakes that enforce the real rules, for tests of your own backends and sinks; docs/testing.md has examples."""
