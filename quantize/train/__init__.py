"""`python -m quantize.train`: train a network."""
