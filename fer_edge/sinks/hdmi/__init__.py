"""The picture on a display that no desktop uses."""
