"""`fer-edge report`: what was seen over a period, as a page or CSV."""
