"""When what ran, what it waited for, and what would have made the run shorter."""
