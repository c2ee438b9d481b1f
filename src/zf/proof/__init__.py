"""KEEP: the journal, the proof tree and the seal, written and safely read."""
