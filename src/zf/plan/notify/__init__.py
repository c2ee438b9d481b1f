"""Where messages about runs go: the keys of `notify` in zf.yaml, and what is wrong with them."""
