"""Where the steps of a task start: the keys of `sandbox`, and what cannot be meant by them."""
