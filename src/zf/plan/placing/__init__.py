"""Where tasks run that do not run here: the keys that say so, and what cannot be meant by them."""
