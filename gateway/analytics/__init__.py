"""What readings mean: indices, lighting, roll-ups, alerts."""
