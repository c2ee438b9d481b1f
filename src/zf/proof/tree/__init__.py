"""The tree of one task: what its worker writes, and what is kept of what the task left."""
