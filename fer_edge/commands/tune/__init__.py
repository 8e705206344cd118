"""`fer-edge tune`: what other thresholds would publish."""
