"""Gates in task files: the keys of `approval`, those who may approve, and what cannot be meant."""
