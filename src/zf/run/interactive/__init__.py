"""A person at a task: a shell in its surroundings."""
