"""What stands between a step and the proof: its script sealed, the folders read-only."""
