"""More machines than one, with Ray."""
