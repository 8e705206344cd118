"""From readings to tracks, and from tracks to events, alerts, counts and summaries."""
