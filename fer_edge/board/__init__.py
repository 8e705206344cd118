"""The board: description, health, expected speed, and how many frames it can process."""
