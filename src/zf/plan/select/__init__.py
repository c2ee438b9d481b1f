"""Which tasks are meant: a small language of names, tags, files and what depends on what."""
