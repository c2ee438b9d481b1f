"""What stands between a step and the proof: its script out of reach, the folders read-only."""
