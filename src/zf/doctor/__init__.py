"""EXAMINE: what stands in the way of runs, in this place and project, and the remedy."""
