"""`python -m quantize.cost`: the expected cost of a model on each board."""
