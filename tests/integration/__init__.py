"""Several parts together, with a real broker, browser or package."""
