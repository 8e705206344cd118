"""`python -m quantize.publish`: only past the gates."""
