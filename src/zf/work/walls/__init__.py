"""What stands between a step and the proof: folders that it finds read-only."""
