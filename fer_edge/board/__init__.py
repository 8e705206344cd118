"""What the board is, how it fares, how fast it should be, and how many frames it can take."""
