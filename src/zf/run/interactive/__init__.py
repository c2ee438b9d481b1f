"""A person at a task: a shell in its surroundings, or the terminal while it runs."""
