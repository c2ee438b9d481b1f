"""Which runs stay: what was pruned, what is held, and removing whole runs."""
