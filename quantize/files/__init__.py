"""The files themselves: cards, and what a TFLite file holds."""
