"""File formats: cards, and the content of a TFLite file."""
