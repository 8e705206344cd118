"""File formats: cards, runs, arrays, and the content of a TFLite file."""
