"""The front door: parse, one call, print, exit code. One file per family of verbs."""
