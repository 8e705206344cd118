"""`python -m quantize.cost`: what a model should cost on each board."""
