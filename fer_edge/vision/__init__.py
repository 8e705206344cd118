"""From pixels to readings: detector, landmarks, quality, expression, and the TFLite models they run."""
