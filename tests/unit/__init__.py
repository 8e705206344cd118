"""One room of fer_edge/ at a time."""
