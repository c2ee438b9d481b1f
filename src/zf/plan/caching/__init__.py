"""What a task file says of its cache: the keys, and what cannot be meant."""
