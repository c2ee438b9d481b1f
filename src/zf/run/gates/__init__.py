"""Gates of a run: what is asked before a task begins, how answers come in, and which count."""
