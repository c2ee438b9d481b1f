"""Signatures: made over a run's statements, and checked against trusted keys."""
