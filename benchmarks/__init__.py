"""Measurements: each module says in its first lines what it measures and how it is started."""
