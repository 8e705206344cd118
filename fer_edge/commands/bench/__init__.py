"""`fer-edge bench`: how fast this machine is."""
