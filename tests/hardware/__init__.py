"""Real or emulated boards; each test skips with a reason where what it needs is missing."""
