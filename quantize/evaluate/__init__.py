"""`python -m quantize.evaluate`: measure models on labelled sets."""
